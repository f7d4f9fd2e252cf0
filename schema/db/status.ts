import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What an agent's host last said of how it is. Never what it says or hears. */
export const tenantStatus = sqliteTable("tenant_status", {
  tenantId: text().primaryKey(),
  /** Milliseconds since the epoch, by the host's clock. */
  at: integer().notNull(),
  /** JSON of the report, as the protocol has it. */
  report: text().notNull(),
});
