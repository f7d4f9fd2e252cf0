import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** One-time tickets for the door of a tenant. A row is deleted by the redemption that it allows. */
export const tickets = sqliteTable(
  "tickets",
  {
    /** base64url SHA-256 of the ticket. */
    hash: text().primaryKey(),
    tenantId: text().notNull(),
    userId: text().notNull(),
    sessionId: text().notNull(),
    hostname: text().notNull(),
    /** base64url SHA-256 of the cookie of the browser that asked. */
    browserHash: text().notNull(),
    returnTo: text().notNull(),
    expiresAt: integer().notNull(),
  },
  (t) => [index("tickets_expiry").on(t.expiresAt)],
);
