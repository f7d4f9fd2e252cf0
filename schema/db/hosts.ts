import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const hosts = sqliteTable("hosts", {
  id: text().primaryKey(),
  name: text().notNull(),
  region: text().notNull(),
  /** Base URL of the host's ingress, as the edge reaches it. */
  endpoint: text().notNull(),
  state: text({ enum: ["enrolled", "draining", "removed"] }).notNull(),
  /** Rises when the host is enrolled again; commands and reports of another epoch are refused. */
  epoch: integer().notNull(),
  /** Public keys of the host, as JWK JSON. */
  signingKey: text().notNull(),
  sealingKey: text().notNull(),
  /** base64url SHA-256 of the secret by which its ingress asks for decisions; without one it gets none. */
  ingressHash: text(),
  memoryMiB: integer().notNull(),
  diskMiB: integer().notNull(),
  maxTenants: integer().notNull(),
  /** Of the host's own desired state: rises whenever `desiredHash` changes. */
  generation: integer().notNull().default(0),
  desiredHash: text(),
  /** JSON of the command keys that the host would believe, in its own signed words. Null before the first of them. */
  keyset: text(),
  /** Highest report number taken in: what is at or below it has been seen. */
  reportSeq: integer().notNull().default(0),
  /** Seconds, by the host's clock: when the newest of what was taken in was signed. */
  reportSignedAt: integer().notNull().default(0),
  lastReportAt: integer(),
  /** JSON of the last inventory: versions and image states. */
  inventory: text(),
  /** JSON of the last full run of the attacks on its walls, signed by it. */
  posture: text(),
  enrolledAt: integer().notNull(),
});

export const enrolmentTokens = sqliteTable("enrolment_tokens", {
  /** base64url SHA-256 of the token: the token itself is shown once and never stored. */
  hash: text().primaryKey(),
  createdBy: text().notNull(),
  createdAt: integer().notNull(),
  expiresAt: integer().notNull(),
  usedAt: integer(),
  usedBy: text(),
});

/**
 * "This host must hear about this tenant (or about itself)". A row holds no payload: the command is built from the
 * desired state at delivery, so that a late delivery carries the newest word and no row holds a secret.
 */
export const outbox = sqliteTable(
  "outbox",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    hostId: text().notNull(),
    /** Null for a command about the host itself. */
    tenantId: text(),
    generation: integer().notNull(),
    createdAt: integer().notNull(),
    attempts: integer().notNull().default(0),
    nextAttemptAt: integer().notNull(),
    /** The host's signed word that the intent is in its journal. */
    deliveredAt: integer(),
    lastError: text(),
  },
  (t) => [index("outbox_due").on(t.deliveredAt, t.nextAttemptAt), index("outbox_tenant").on(t.tenantId)],
);
