import { eq, inArray, or, type SQL } from "drizzle-orm";
import type { SQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";
import * as t from "../../schema/db/index.ts";
import type { Database } from "../db.ts";

/** By which of its columns a table's rows are somebody's. */
export type Whose =
  | { by: "person" | "email" | "tenant" | "channel"; column: SQLiteColumn }
  /** Lines that name a person or one of their agents, as who did it or whom it was done to. */
  | { by: "line" }
  /** Nothing in it is about a person; why. */
  | { by: "nobody"; why: string };

/**
 * When rows go that nobody needs any more: with the proof that the agent is gone (or with the account), a few minutes
 * later, with the last line of a deleted agent, or by a rule of their own, which says why.
 */
export type Goes = "at_once" | "soon" | "last" | { kept: string };

export interface Holding {
  table: SQLiteTable;
  whose: Whose;
  goes: Goes;
  /** Columns that are shown to nobody, their person included: what opens something, or is sealed. */
  hides: readonly string[];
}

const holding = (table: SQLiteTable, whose: Whose, goes: Goes, hides: readonly string[] = []): Holding => ({
  ...{ table, whose, goes, hides },
});
const person = (column: SQLiteColumn): Whose => ({ by: "person", column });
const tenant = (column: SQLiteColumn): Whose => ({ by: "tenant", column });
const channel = (column: SQLiteColumn): Whose => ({ by: "channel", column });
const nobody = (table: SQLiteTable, why: string): Holding => holding(table, { by: "nobody", why }, { kept: why });

const SEALED = ["format", "keyVersion", "keyCommitment", "wrapNonce", "wrappedKey", "nonce", "ciphertext", "lastFour"];

/**
 * Every table of the database, whose its rows are and when they go. The export of an account, its deletion and the sweep
 * for rows without an owner all read this list; a test fails for a table that is not on it. What refers stands before
 * what it refers to.
 */
export const HOLDINGS: readonly Holding[] = [
  holding(t.channelPeople, channel(t.channelPeople.channelId), "at_once"),
  holding(t.channelConversations, channel(t.channelConversations.channelId), "at_once", ["lease"]),
  holding(t.channelMessages, channel(t.channelMessages.channelId), "at_once", ["body", "digest", "answer"]),
  holding(t.channelCounts, channel(t.channelCounts.channelId), "at_once"),
  holding(t.channelRefusals, channel(t.channelRefusals.channelId), "at_once"),
  holding(t.channels, tenant(t.channels.tenantId), "at_once", ["pairingHash"]),
  holding(t.secrets, tenant(t.secrets.tenantId), "at_once", SEALED),
  holding(t.tenantStatus, tenant(t.tenantStatus.tenantId), "at_once"),
  holding(t.tenantImages, tenant(t.tenantImages.tenantId), "at_once"),
  holding(t.tenantSamples, tenant(t.tenantSamples.tenantId), "at_once"),
  holding(t.tenantEvents, tenant(t.tenantEvents.tenantId), "soon"),
  holding(t.tenantStorage, tenant(t.tenantStorage.tenantId), "soon"),
  holding(t.tenantDataWishes, tenant(t.tenantDataWishes.tenantId), "soon"),
  holding(t.outbox, tenant(t.outbox.tenantId), "last"),
  holding(t.ledger, tenant(t.ledger.tenantId), "last"),
  holding(t.tenantSalts, tenant(t.tenantSalts.tenantId), "last", ["salt"]),
  holding(t.tickets, person(t.tickets.userId), "at_once", ["hash", "browserHash"]),
  holding(t.session, person(t.session.userId), "at_once", ["token"]),
  holding(t.account, person(t.account.userId), "at_once", ["password", "accessToken", "refreshToken", "idToken"]),
  holding(t.twoFactor, person(t.twoFactor.userId), "at_once", ["secret", "backupCodes"]),
  holding(t.passkey, person(t.passkey.userId), "at_once"),
  holding(t.apiKeys, person(t.apiKeys.userId), "at_once", ["hash"]),
  holding(t.mails, { by: "email", column: t.mails.recipient }, "at_once", ["body"]),
  holding(t.billingNotices, person(t.billingNotices.ownerId), "at_once"),
  holding(t.billingCheckouts, person(t.billingCheckouts.ownerId), "at_once", ["attempt"]),
  holding(t.billingEvents, person(t.billingEvents.ownerId), "at_once"),
  holding(t.billingAccounts, person(t.billingAccounts.ownerId), "at_once"),
  holding(t.slugLocks, person(t.slugLocks.ownerId), { kept: "until nobody expects its former owner at that name" }),
  holding(t.deletionReceipts, person(t.deletionReceipts.ownerId), { kept: "the proof outlives what it proves" }),
  holding(t.accountDeletions, person(t.accountDeletions.userId), { kept: "until its receipt runs out" }, ["linkHash"]),
  holding(t.audit, { by: "line" }, { kept: "who asked for what and when, by ids alone" }),
  holding(t.tenants, person(t.tenants.ownerId), { kept: "90 days, so that no old copy brings an agent back" }),
  holding(t.user, person(t.user.id), "at_once"),
  nobody(t.verification, "codes and links by hash, which run out within a day"),
  nobody(t.idempotencyKeys, "answers that were given, sealed and by keyed hashes, gone after a day"),
  nobody(t.runtimeImages, "images"),
  nobody(t.rollouts, "images"),
  nobody(t.rateLimit, "counts of tries, gone after a day"),
  nobody(t.alerts, "what an operator has to look at"),
  nobody(t.hosts, "servers"),
  nobody(t.enrolmentTokens, "for servers"),
  nobody(t.receiptKeys, "public keys"),
  nobody(t.orphans, "what a sweep found"),
  nobody(t.hostLeftovers, "what a sweep found"),
  nobody(t.sweeps, "what a sweep found"),
  nobody(t.vaultWraps, "counts"),
  nobody(t.statusDays, "how the platform was"),
  nobody(t.statusIncidents, "how the platform was"),
];

/** The rows of a table that are one person's; null where none can be. */
export function rowsOf(db: Database, { whose }: Holding, { id, email }: { id: string; email: string }): SQL | null {
  const agents = db.select({ id: t.tenants.id }).from(t.tenants).where(eq(t.tenants.ownerId, id));
  switch (whose.by) {
    case "person":
      return eq(whose.column, id);
    case "email":
      return eq(whose.column, email);
    case "tenant":
      return inArray(whose.column, agents);
    case "channel":
      return inArray(
        whose.column,
        db.select({ id: t.channels.id }).from(t.channels).where(inArray(t.channels.tenantId, agents)),
      );
    case "line":
      return or(eq(t.audit.actor, id), eq(t.audit.subject, id), inArray(t.audit.subject, agents)) ?? null;
    case "nobody":
      return null;
  }
}
