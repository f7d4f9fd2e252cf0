import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What an operator must look at: one row for each thing that is wrong, however often it is noticed. */
export const alerts = sqliteTable(
  "alerts",
  {
    kind: text({
      enum: [
        "no_capacity",
        "keyset_behind",
        "host_rolled_back",
        "host_silent",
        "stranger",
        "left_behind",
        "disk_short",
        "engine_away",
        "deletion_waits",
      ],
    }).notNull(),
    /** A host, a tenant, or a region. */
    subject: text().notNull(),
    detail: text().notNull(),
    firstAt: integer().notNull(),
    lastAt: integer().notNull(),
    times: integer().notNull().default(1),
    /** Null while it is so. */
    resolvedAt: integer(),
  },
  (t) => [primaryKey({ columns: [t.kind, t.subject] })],
);
