import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/**
 * What an owner's plan is derived from, one row per owner: their trial, and the payment provider's own word about their
 * subscription as it was last fetched. Nothing in here is computed from an event.
 */
export const billingAccounts = sqliteTable(
  "billing_accounts",
  {
    ownerId: text().primaryKey(),
    openedAt: integer().notNull(),
    trialEndsAt: integer().notNull(),
    customerId: text(),
    subscriptionId: text(),
    plan: text({ enum: ["starter", "pro", "team"] }),
    standing: text({ enum: ["paid", "owing", "ended"] }),
    /** End of the period that is paid for. */
    periodEndsAt: integer(),
    /** Set when it ends then, by its owner's wish. */
    cancelsAt: integer(),
    /** When the oldest bill that is still unpaid was made out. */
    owingSince: integer(),
    endedAt: integer(),
    fetchedAt: integer(),
    /** Rises with every change: whoever read an older one must look again before they write. */
    version: integer().notNull().default(1),
    /** When the clock next has something to say about this account. */
    reviewAt: integer().notNull(),
  },
  (t) => [uniqueIndex("billing_accounts_customer").on(t.customerId), index("billing_accounts_review").on(t.reviewAt)],
);

/** The events that were taken in. The row and the event's effect commit together. */
export const billingEvents = sqliteTable("billing_events", {
  id: text().primaryKey(),
  type: text().notNull(),
  ownerId: text(),
  createdAt: integer().notNull(),
  receivedAt: integer().notNull(),
});

/** The one checkout of an owner that may be open, written before the provider is asked for it. */
export const billingCheckouts = sqliteTable("billing_checkouts", {
  ownerId: text().primaryKey(),
  /** Idempotency key of the session. */
  attempt: text().notNull(),
  plan: text({ enum: ["starter", "pro", "team"] }).notNull(),
  startedAt: integer().notNull(),
  /** Known once our answer with its address may have been seen. */
  sessionId: text(),
});

/** What an owner was told by mail, once per cause: the row, the mail and the step that it tells about commit together. */
export const billingNotices = sqliteTable(
  "billing_notices",
  {
    ownerId: text().notNull(),
    kind: text().notNull(),
    /** The end of the trial, the unpaid bill or the end of the subscription that it is about. */
    cause: integer().notNull(),
    at: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.ownerId, t.kind, t.cause] })],
);
