export * from "./commands.ts";
export * from "./enrolment.ts";
export * from "./envelope.ts";
export * from "./ids.ts";
export * from "./keys.ts";
export * from "./names.ts";
export * from "./reports.ts";
export * from "./seal.ts";
