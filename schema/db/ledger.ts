import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** The commands that a host says it has accepted about one tenant: a hash chain, as the host keeps it. */
export const ledger = sqliteTable(
  "ledger",
  {
    tenantId: text().notNull(),
    /** The host's enrolment: a journal that was lost begins a chain anew. */
    hostId: text().notNull(),
    epoch: integer().notNull(),
    number: integer().notNull(),
    at: integer().notNull(),
    type: text().notNull(),
    generation: integer().notNull(),
    jti: text().notNull(),
    /** base64url SHA-256 of the command as it was received, of the entry before, and of this one. */
    commandHash: text().notNull(),
    previous: text().notNull(),
    hash: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.tenantId, t.hostId, t.epoch, t.number] })],
);
