import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Who did what to what, written in the same transaction as the change itself. `detail` is JSON without secrets. */
export const audit = sqliteTable(
  "audit",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    at: integer().notNull(),
    /** `usr…`, `hst_…`, `operator` or `system`. */
    actor: text().notNull(),
    action: text().notNull(),
    subject: text().notNull(),
    detail: text(),
  },
  (t) => [
    index("audit_subject").on(t.subject, t.id),
    index("audit_actor").on(t.actor, t.id),
    index("audit_action").on(t.action, t.id),
  ],
);
