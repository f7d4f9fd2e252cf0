import { index, integer, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Milliseconds since the epoch, in every table. */
export const tenants = sqliteTable(
  "tenants",
  {
    id: text().primaryKey(),
    ownerId: text().notNull(),
    slug: text().notNull(),
    runtime: text({ enum: ["openclaw", "echo", "zeroclaw", "custom"] }).notNull(),
    plan: text().notNull(),
    hostId: text().notNull(),
    /** What the owner wants. Only ever changed together with a higher generation and an outbox row. */
    desired: text({ enum: ["running", "suspended", "stopped", "deleted"] }).notNull(),
    /** What `desired` was when the account lost the right to it, and is again when it is paid; null: nothing is held. */
    heldFrom: text({ enum: ["running", "suspended", "stopped"] }),
    generation: integer().notNull(),
    restarts: integer().notNull().default(0),
    /** What the host last said, and about which generation. */
    observed: text({
      enum: ["pending", "creating", "running", "asleep", "suspended", "stopped", "failed", "purged"],
    }).notNull(),
    observedGeneration: integer().notNull().default(0),
    failure: text(),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    /** Set when the host has proven that nothing is left. The slug stays taken by the row. */
    purgedAt: integer(),
  },
  (t) => [
    uniqueIndex("tenants_slug").on(t.slug),
    index("tenants_owner").on(t.ownerId),
    index("tenants_host").on(t.hostId),
  ],
);

/** What the owner's page shows and streams: steps by the host, and the owner's own actions. */
export const tenantEvents = sqliteTable(
  "tenant_events",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    tenantId: text().notNull(),
    generation: integer().notNull(),
    at: integer().notNull(),
    step: text().notNull(),
    status: text({ enum: ["started", "progress", "done", "failed"] }).notNull(),
    detail: text(),
    fraction: real(),
    tookMs: integer(),
    /** The host's own number of the report: unique with the host, so a repeated report is dropped. */
    hostId: text(),
    hostSeq: integer(),
  },
  (t) => [index("tenant_events_tenant").on(t.tenantId, t.id), uniqueIndex("tenant_events_seq").on(t.hostId, t.hostSeq)],
);
