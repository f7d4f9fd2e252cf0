import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * The tables of better-auth's core and of its plugins two-factor and passkey, in the shape that its drizzle adapter
 * expects (better-auth 1.7), and our own: API keys and mails.
 */
const timestamp = () => integer({ mode: "timestamp_ms" });

export const user = sqliteTable("user", {
  id: text().primaryKey(),
  name: text().notNull(),
  email: text().notNull().unique(),
  emailVerified: integer({ mode: "boolean" }).notNull().default(false),
  image: text(),
  /** `person` or `operator`. */
  role: text().notNull().default("person"),
  /** Set while the operator keeps this person out: no session, no API key and no agent of theirs is served. */
  suspendedAt: timestamp(),
  twoFactorEnabled: integer({ mode: "boolean" }).notNull().default(false),
  createdAt: timestamp().notNull(),
  updatedAt: timestamp().notNull(),
});

export const session = sqliteTable(
  "session",
  {
    id: text().primaryKey(),
    expiresAt: timestamp().notNull(),
    token: text().notNull().unique(),
    createdAt: timestamp().notNull(),
    updatedAt: timestamp().notNull(),
    ipAddress: text(),
    userAgent: text(),
    userId: text()
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
  },
  (t) => [index("session_user").on(t.userId)],
);

export const account = sqliteTable(
  "account",
  {
    id: text().primaryKey(),
    accountId: text().notNull(),
    providerId: text().notNull(),
    userId: text()
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    accessToken: text(),
    refreshToken: text(),
    idToken: text(),
    accessTokenExpiresAt: timestamp(),
    refreshTokenExpiresAt: timestamp(),
    scope: text(),
    password: text(),
    createdAt: timestamp().notNull(),
    updatedAt: timestamp().notNull(),
  },
  (t) => [index("account_user").on(t.userId)],
);

export const verification = sqliteTable(
  "verification",
  {
    id: text().primaryKey(),
    identifier: text().notNull(),
    value: text().notNull(),
    expiresAt: timestamp().notNull(),
    createdAt: timestamp().notNull(),
    updatedAt: timestamp().notNull(),
  },
  (t) => [index("verification_identifier").on(t.identifier)],
);

export const rateLimit = sqliteTable("rate_limit", {
  id: text().primaryKey(),
  key: text().notNull().unique(),
  count: integer().notNull(),
  lastRequest: integer().notNull(),
});

export const twoFactor = sqliteTable(
  "two_factor",
  {
    id: text().primaryKey(),
    /** Both encrypted with a key made of AUTH_SECRET. */
    secret: text().notNull(),
    backupCodes: text().notNull(),
    userId: text()
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    verified: integer({ mode: "boolean" }).notNull().default(true),
    failedVerificationCount: integer().notNull().default(0),
    lockedUntil: timestamp(),
  },
  (t) => [index("two_factor_user").on(t.userId)],
);

export const passkey = sqliteTable(
  "passkey",
  {
    id: text().primaryKey(),
    name: text(),
    publicKey: text().notNull(),
    userId: text()
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    credentialID: text("credential_id").notNull().unique(),
    counter: integer().notNull(),
    deviceType: text().notNull(),
    backedUp: integer({ mode: "boolean" }).notNull(),
    transports: text(),
    createdAt: timestamp(),
    aaguid: text(),
  },
  (t) => [index("passkey_user").on(t.userId)],
);

export const apiKeys = sqliteTable(
  "api_keys",
  {
    id: text().primaryKey(),
    userId: text()
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    name: text().notNull(),
    /** base64url SHA-256 of the key, which has 256 random bits: a slow hash would protect nothing more. */
    hash: text().notNull().unique(),
    /** Its first characters, by which its owner knows it. */
    hint: text().notNull(),
    /** Separated by spaces. */
    scopes: text().notNull(),
    createdAt: integer().notNull(),
    expiresAt: integer().notNull(),
  },
  (t) => [index("api_keys_user").on(t.userId)],
);

/** Mails on their way. A row is deleted when its mail was accepted: it may hold a link that opens an account. */
export const mails = sqliteTable(
  "mails",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    recipient: text().notNull(),
    subject: text().notNull(),
    body: text().notNull(),
    createdAt: integer().notNull(),
    attempts: integer().notNull().default(0),
    dueAt: integer().notNull(),
  },
  (t) => [index("mails_due").on(t.dueAt), index("mails_recipient").on(t.recipient)],
);
