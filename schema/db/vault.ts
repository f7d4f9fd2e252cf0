import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** One sealed value: a fresh data key per version, wrapped by a versioned key of the keyring. All bytes in base64url. */
export const secrets = sqliteTable(
  "secrets",
  {
    tenantId: text().notNull(),
    name: text().notNull(),
    version: integer().notNull(),
    /** Format of the envelope; part of the associated data. */
    format: integer().notNull(),
    keyVersion: integer().notNull(),
    wrapNonce: text().notNull(),
    wrappedKey: text().notNull(),
    nonce: text().notNull(),
    ciphertext: text().notNull(),
    lastFour: text().notNull(),
    createdAt: integer().notNull(),
    createdBy: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.tenantId, t.name] })],
);
