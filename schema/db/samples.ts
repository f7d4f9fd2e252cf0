import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** How an agent was during its last day, for the curves on its page. Numbers only; what is older is gone. */
export const tenantSamples = sqliteTable(
  "tenant_samples",
  {
    tenantId: text().notNull(),
    /** Minutes since the epoch: however often a host speaks, a day has 1440 rows. */
    minute: integer().notNull(),
    memoryMiB: integer().notNull(),
    /** Of one core. */
    cpuPercent: integer().notNull(),
    /** Null before its host has said anything about its data. */
    diskMiB: integer(),
    /** That were let in since the sample before. Null where its host does not count. */
    requests: integer(),
  },
  (t) => [primaryKey({ columns: [t.tenantId, t.minute] })],
);
