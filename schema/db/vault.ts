import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** One sealed value: a fresh data key per version, wrapped under a versioned key of the ring. All bytes in base64url. */
export const secrets = sqliteTable(
  "secrets",
  {
    tenantId: text().notNull(),
    name: text().notNull(),
    version: integer().notNull(),
    /** Format of the envelope; part of the associated data. */
    format: integer().notNull(),
    keyVersion: integer().notNull(),
    /** To the wrapping key, and by it to all below; compared before anything is decrypted. Null in format 1. */
    keyCommitment: text(),
    /** Empty since format 3, as `nonce`: a box begins with its own. */
    wrapNonce: text().notNull(),
    wrappedKey: text().notNull(),
    nonce: text().notNull(),
    ciphertext: text().notNull(),
    lastFour: text().notNull(),
    createdAt: integer().notNull(),
    createdBy: text().notNull(),
    /** When the agent's host last had this version in its journal. */
    deliveredAt: integer(),
  },
  (t) => [primaryKey({ columns: [t.tenantId, t.name] })],
);

/** What every wrapping key of a tenant is derived with. Without its salt the ring opens nothing of that tenant. */
export const tenantSalts = sqliteTable("tenant_salts", {
  tenantId: text().primaryKey(),
  /** 32 random bytes; null once destroyed. The row stays, so that a late write cannot begin a new one. */
  salt: text(),
  createdAt: integer().notNull(),
  erasedAt: integer(),
  /** The newest key of the ring at that time: copies of the database are opened by nothing once it is retired. */
  erasedUnder: integer(),
});

/** How often each key of the ring has wrapped: random nonces are good for a number of times only. */
export const vaultWraps = sqliteTable("vault_wraps", {
  keyVersion: integer().primaryKey(),
  wraps: integer().notNull(),
});
