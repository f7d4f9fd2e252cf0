export * from "./access.ts";
export * from "./accounts.ts";
export * from "./alerts.ts";
export * from "./audit.ts";
export * from "./hosts.ts";
export * from "./ledger.ts";
export * from "./tenants.ts";
export * from "./vault.ts";
