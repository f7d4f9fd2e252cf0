import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * What was asked for under an Idempotency-Key. Nothing in a row can be read without the key itself, which is not stored:
 * a body may hold somebody's secret, and an answer an API key.
 */
export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    /** Keyed hash of caller and Idempotency-Key. */
    id: text().primaryKey(),
    /** Keyed hash of method, path and body. */
    request: text().notNull(),
    /** Who is at work on it: whoever takes over writes another, and the former one's transaction then fails. */
    claim: text().notNull(),
    claimedAt: integer().notNull(),
    /** Written in the transaction of the effect itself. */
    doneAt: integer(),
    /** Sealed; null until it was given. */
    answer: text(),
    expiresAt: integer().notNull(),
  },
  (t) => [index("idempotency_keys_expiry").on(t.expiresAt)],
);
