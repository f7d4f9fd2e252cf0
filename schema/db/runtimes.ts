import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Images that agents may run from, each by its digest, because the operator has allowed it. */
export const runtimeImages = sqliteTable(
  "runtime_images",
  { runtime: text().notNull(), image: text().notNull(), allowedAt: integer().notNull() },
  (t) => [primaryKey({ columns: [t.runtime, t.image] })],
);

/** What an agent runs from. No row: what its host makes of its runtime. */
export const tenantImages = sqliteTable("tenant_images", {
  tenantId: text().primaryKey(),
  /** Part of its desired state: changed only with its generation. Null: what its host makes. */
  image: text(),
  /** What its host last said, and about which generation; 0: nothing yet. */
  running: text(),
  runningGeneration: integer().notNull().default(0),
  /** It did not become ready, and the one before it runs again. */
  refused: text(),
});

/** An image brought to all agents of a runtime, a few at a time. */
export const rollouts = sqliteTable(
  "rollouts",
  {
    id: text().primaryKey(),
    runtime: text().notNull(),
    /** Null: what hosts make. */
    image: text(),
    /** How many at the same time. */
    batch: integer().notNull(),
    state: text({ enum: ["running", "done", "stopped"] }).notNull(),
    /** Why it was stopped. */
    detail: text(),
    startedAt: integer().notNull(),
    endedAt: integer(),
  },
  (t) => [index("rollouts_state").on(t.state)],
);
