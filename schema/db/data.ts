import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What an agent's host last said about its data. */
export const tenantStorage = sqliteTable("tenant_storage", {
  tenantId: text().primaryKey(),
  /** Of ciphertext, against the hard quota. */
  usedBytes: integer().notNull(),
  limitBytes: integer().notNull(),
  /** Files with another owner, or open to others, at the last sweep. */
  strays: integer().notNull(),
  /** JSON of the names of its snapshots, newest last; a name is its time. */
  snapshots: text().notNull(),
  /** JSON of the last copy in object storage and when it was read back; null before the first. */
  backup: text(),
  /** JSON of the last restore that was carried out, with what it took; null before the first. */
  restored: text(),
  at: integer().notNull(),
});

/** What is wanted of an agent's data. Part of the agent's desired state: changed only with its generation. */
export const tenantDataWishes = sqliteTable(
  "tenant_data_wishes",
  {
    tenantId: text().primaryKey(),
    /** Rises with every restore that is asked for. */
    restores: integer().notNull().default(0),
    /** A snapshot's name, or `backup`. */
    restoreFrom: text(),
    /** Rises with every backup that is asked for beside the plan's own. */
    backups: integer().notNull().default(0),
    /** Deletion waits until then, and can be undone. */
    deleteAt: integer(),
    /** What was wanted of it when it was deleted, and is again when that is undone. */
    deleteFrom: text({ enum: ["running", "suspended", "stopped"] }),
    /** Where it is being moved to, from when it was asked for until it runs there. */
    moveTo: text(),
    moveAskedAt: integer(),
    /** How long it was not reachable during its last move. */
    moveDownMs: integer(),
  },
  (t) => [index("tenant_data_wishes_delete").on(t.deleteAt)],
);

/** The signed proof that nothing is left of an agent. Kept without the agent, found by an id that cannot be guessed. */
export const deletionReceipts = sqliteTable(
  "deletion_receipts",
  {
    id: text().primaryKey(),
    tenantId: text().notNull().unique(),
    /** Null once the account is gone. */
    ownerId: text(),
    slug: text().notNull(),
    /** Compact JWS of the edge around that of the host. */
    receipt: text().notNull(),
    createdAt: integer().notNull(),
  },
  (t) => [index("deletion_receipts_owner").on(t.ownerId)],
);

/** Public keys that have signed a receipt: published for as long as there are receipts, whatever became of their holder. */
export const receiptKeys = sqliteTable("receipt_keys", {
  kid: text().primaryKey(),
  /** The edge's origin or a host's id. */
  holder: text().notNull(),
  jwk: text().notNull(),
  firstUsedAt: integer().notNull(),
});

/** Names of deleted agents: nobody else gets one before its time, so that nobody inherits its visitors. */
export const slugLocks = sqliteTable("slug_locks", {
  slug: text().primaryKey(),
  ownerId: text().notNull(),
  until: integer().notNull(),
});

/** What a sweep found that belongs to nobody; removed when it is still there after the grace period. */
export const orphans = sqliteTable("orphans", {
  /** Where and what: `object tenants/tnt_…`, `host hst_… tnt_…`, `row secrets tnt_…`. */
  what: text().primaryKey(),
  firstSeenAt: integer().notNull(),
  removedAt: integer(),
});

/** What each host last found that its own journal knows nothing of. Whose it is, only the whole database can say. */
export const hostLeftovers = sqliteTable("host_leftovers", {
  hostId: text().primaryKey(),
  at: integer().notNull(),
  /** JSON of the items, as the protocol has them. */
  items: text().notNull(),
});

/** One row for each run of the reaper, also when it has found nothing: that it looked is the news then. */
export const sweeps = sqliteTable("sweeps", {
  id: integer().primaryKey({ autoIncrement: true }),
  at: integer().notNull(),
  found: integer().notNull(),
  removed: integer().notNull(),
  /** JSON of what was looked at and what was found. */
  report: text().notNull(),
});

/**
 * An account on its way out: how far it is, and at the end the signed word that it is gone. Without a person's name or
 * address once that has been mailed.
 */
export const accountDeletions = sqliteTable(
  "account_deletions",
  {
    userId: text().primaryKey(),
    /** Where the receipt goes; null once it is on its way. */
    email: text(),
    askedAt: integer().notNull(),
    /** When nothing was left to be paid. */
    billingEndedAt: integer(),
    doneAt: integer(),
    /** Compact JWS of the edge. */
    receipt: text(),
    /** base64url SHA-256 of the one-time link to it; null once it was used. */
    linkHash: text().unique(),
    /** When the receipt itself is forgotten. */
    keptUntil: integer(),
  },
  (t) => [index("account_deletions_done").on(t.doneAt)],
);
