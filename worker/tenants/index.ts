export { createNews, type News } from "./news.ts";
export { DEFAULT_PLAN, limitsOf } from "./plans.ts";
export { displayState } from "./rules.ts";
export type { Background, TenantService, TenantView } from "./types.ts";
