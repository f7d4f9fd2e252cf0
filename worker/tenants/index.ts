export { createNews, type News } from "./news.ts";
export {
  DEFAULT_PLAN,
  limitsOf,
  messagesPerDayOf,
  PLAN_IDS,
  PLANS,
  type Plan,
  type PlanId,
  planOf,
  sleepOf,
  snapshotsOf,
  TRIAL_DAYS,
  TRIAL_PLAN,
} from "./plans.ts";
export { displayState } from "./rules.ts";
export type { Background, TenantService, TenantView } from "./types.ts";
