import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** One way to write to an agent: a bot or an app that its owner has connected. Its keys are among the agent's secrets. */
export const channels = sqliteTable(
  "channels",
  {
    /** Part of the address that the provider sends to: 128 random bits. */
    id: text().primaryKey(),
    tenantId: text().notNull(),
    kind: text({ enum: ["telegram", "discord", "slack", "whatsapp"] }).notNull(),
    /** Of the bot at its provider: its number, and the public name that people look for. */
    accountId: text().notNull(),
    account: text().notNull(),
    createdAt: integer().notNull(),
    /** When the provider last agreed to send here. */
    registeredAt: integer(),
    /** When it is to be asked (again); null: nothing to ask. */
    registerAt: integer(),
    registerAttempts: integer().notNull().default(0),
    /** A sentence for the owner; null while all is well. */
    failure: text(),
    /** base64url SHA-256 of the code by which a person becomes one who is heard; null: none is open. */
    pairingHash: text(),
    pairingExpiresAt: integer(),
    pairingTries: integer().notNull().default(0),
  },
  (t) => [
    uniqueIndex("channels_tenant").on(t.tenantId, t.kind),
    uniqueIndex("channels_account").on(t.kind, t.accountId),
  ],
);

/** Who is heard: by the number that the provider gave them for good, never by a name, which anybody may take. */
export const channelPeople = sqliteTable(
  "channel_people",
  { channelId: text().notNull(), senderId: text().notNull(), addedAt: integer().notNull() },
  (t) => [primaryKey({ columns: [t.channelId, t.senderId] })],
);

/** One conversation is handed over by one deliverer at a time, in order; another one does not wait for it. */
export const channelConversations = sqliteTable(
  "channel_conversations",
  {
    channelId: text().notNull(),
    conversation: text().notNull(),
    /** Who hands over now, and until when nobody else may. */
    lease: text(),
    leaseUntil: integer().notNull().default(0),
    attempts: integer().notNull().default(0),
    nextAttemptAt: integer().notNull().default(0),
    lastError: text(),
    /** When and why the exchange was stopped; null: it goes on. */
    stoppedAt: integer(),
    stoppedWhy: text(),
    /** When its owner let it go on: what came before shows no loop any more. */
    resumedAt: integer(),
  },
  (t) => [primaryKey({ columns: [t.channelId, t.conversation] })],
);

/** The inbox. A row is there before the provider hears 200, and loses its body once the agent has written it down. */
export const channelMessages = sqliteTable(
  "channel_messages",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    channelId: text().notNull(),
    conversation: text().notNull(),
    /** The provider's own name for it: unique, so that what comes twice is there once. */
    updateId: text().notNull(),
    /** The provider's order within a conversation. */
    position: integer().notNull(),
    senderId: text().notNull(),
    /** By the provider's clock. */
    sentAt: integer().notNull(),
    receivedAt: integer().notNull(),
    /** Keyed hash of the text, to see one that repeats itself. */
    digest: text().notNull(),
    /** The message as it came, sealed with the agent's own channel key; null once handed over. */
    body: text(),
    /** What the agent said to it, sealed like the body, where the platform is the one to send it on; null once sent. */
    answer: text(),
    /** How many parts of the answer its provider has taken. */
    answerSent: integer().notNull().default(0),
    state: text({ enum: ["waiting", "taken", "dropped"] }).notNull(),
    endedAt: integer(),
  },
  (t) => [
    uniqueIndex("channel_messages_update").on(t.channelId, t.updateId),
    index("channel_messages_queue").on(t.channelId, t.conversation, t.state, t.position),
    index("channel_messages_sender").on(t.channelId, t.senderId, t.sentAt),
    index("channel_messages_ended").on(t.state, t.endedAt),
  ],
);

/** How many, by day (`2026-11-22`) and by what became of them: `accepted`, `taken`, or the reason of a refusal. */
export const channelCounts = sqliteTable(
  "channel_counts",
  { channelId: text().notNull(), day: text().notNull(), what: text().notNull(), n: integer().notNull() },
  (t) => [primaryKey({ columns: [t.channelId, t.day, t.what] })],
);

/** The latest refusals of a channel, for its owner. Never what was written. */
export const channelRefusals = sqliteTable(
  "channel_refusals",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    channelId: text().notNull(),
    at: integer().notNull(),
    why: text().notNull(),
    senderId: text(),
  },
  (t) => [index("channel_refusals_channel").on(t.channelId, t.id)],
);
