import { createHash } from "node:crypto";
import { and, eq, isNull, lt, ne, sql } from "drizzle-orm";
import {
  accountDeletions,
  apiKeys,
  audit,
  deletionReceipts,
  receiptKeys,
  session,
  tenants,
  user,
} from "../../schema/db/index.ts";
import { type Statement as Signed, signStatement, toBase64url } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/types.ts";
import type { World } from "../clock.ts";
import { atomically, changedOne, type Database, insist, isGuardFailure, type Statement } from "../db.ts";
import type { Config } from "../env.ts";
import { describeError } from "../http.ts";
import type { Post } from "../mail/index.ts";
import { deletion } from "../tenants/service.ts";
import { HOLDINGS, rowsOf } from "./holdings.ts";
import type { DataHosts } from "./moves.ts";
import { edgeSigner, isSworn } from "./receipts.ts";
import { ACCOUNT_RECEIPT_KEPT_MS, accountGone, accountLeaving, remainsOfAccount, wordOnAgents } from "./rules.ts";

type Row = typeof accountDeletions.$inferSelect;

export interface AccountDeletionOptions {
  db: Database;
  world: World;
  hosts: Pick<DataHosts, "announce" | "deliver">;
  /** Ends what is paid for, at the provider; throws when that does not answer. */
  billing: { close(ownerId: string): Promise<void> };
  post: Pick<Post, "posting">;
  config: Pick<Config, "dashboardOrigin" | "commandKeys">;
}

export interface AccountDeletion {
  /** From here on the person is out, for good. The rest goes on by itself, wherever it is cut off. */
  ask(person: Person, later: (work: Promise<unknown>) => void): Promise<void>;
  /** The receipt behind a one-time link, or null. */
  takeReceipt(token: string): Promise<string | null>;
  tick(): Promise<void>;
}

export const sha256 = (text: string) => createHash("sha256").update(text).digest("base64url");

/**
 * An account's way out: nothing more is paid → every agent through its own chain, each with its receipt → all rows, in
 * one transaction with the signed word that they are gone. Each step looks at what is so and does the rest, so that one
 * that was cut off is done again; a payment provider that is away holds up no agent's deletion, only the last word.
 */
export function createAccountDeletion(options: AccountDeletionOptions): AccountDeletion {
  const { db, world, hosts, billing, post, config } = options;

  async function goOn({ userId }: Pick<Row, "userId">): Promise<void> {
    // What fails in one holds up nothing of the other; it is told, and tried again.
    const ends = await Promise.allSettled([endBilling(userId), deleteAgents(userId)]);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    await finish(userId);
  }

  async function endBilling(userId: string): Promise<void> {
    const isIt = and(eq(accountDeletions.userId, userId), isNull(accountDeletions.billingEndedAt));
    if ((await db.select().from(accountDeletions).where(isIt)).length === 0) return;
    await billing.close(userId);
    await db.update(accountDeletions).set({ billingEndedAt: world.now() }).where(isIt);
  }

  async function deleteAgents(userId: string): Promise<void> {
    const living = await db
      .select()
      .from(tenants)
      .where(and(eq(tenants.ownerId, userId), ne(tenants.desired, "deleted")));
    for (const row of living) {
      const why = { actor: userId, step: "owner.delete", now: world.now() };
      await atomically(db, deletion(db, row, why, hosts.announce));
      await hosts.deliver(row.id);
    }
  }

  async function finish(userId: string): Promise<void> {
    const [rows, agents, people] = await db.batch([
      db.select().from(accountDeletions).where(eq(accountDeletions.userId, userId)),
      db
        .select()
        .from(tenants)
        .where(and(eq(tenants.ownerId, userId), isNull(tenants.purgedAt))),
      db.select({ email: user.email }).from(user).where(eq(user.id, userId)),
    ]);
    const row = rows[0];
    if (!row || row.doneAt !== null || row.billingEndedAt === null || agents.length > 0) return;
    // Once more: a checkout may have been paid between the first time and the end of the last agent.
    await billing.close(userId);
    const email = people[0]?.email ?? row.email ?? "";
    await atomically(db, await lastWord({ ...row, email }));
  }

  async function lastWord({ userId, email, askedAt }: Row & { email: string }): Promise<Statement[]> {
    const now = world.now();
    const receipts = await db.select().from(deletionReceipts).where(eq(deletionReceipts.ownerId, userId));
    const unsworn = receipts.filter(({ receipt }) => !isSworn(receipt)).length;
    const { kid, privateKey, published } = await edgeSigner(config, now);
    const words: Signed<"account"> = {
      ...{ iss: config.dashboardOrigin, sub: userId, iat: Math.floor(now / 1_000), askedAt },
      agents: receipts.map(({ tenantId: id, slug: name, receipt }) => ({ id, name, receipt: sha256(receipt) })),
      steps: [
        { step: "billing", at: now, checked: "nothing is subscribed to, and nothing is left that could be paid" },
        { step: "agents", at: now, checked: wordOnAgents(receipts.length, unsworn) },
        { step: "rows", at: now, checked: "the database holds no session, key, factor, mail or bill of it" },
      ],
      remains: remainsOfAccount(now, unsworn),
    };
    const receipt = await signStatement("account", words, { kid, privateKey });
    const token = toBase64url(world.random(32));
    const keptUntil = now + ACCOUNT_RECEIPT_KEPT_MS;
    const link = `${config.dashboardOrigin}/account-receipts/${token}`;
    return [
      // It ends once, however many turns are at it.
      db
        .update(accountDeletions)
        .set({ doneAt: now, email: null, receipt, linkHash: sha256(token), keptUntil })
        .where(and(eq(accountDeletions.userId, userId), isNull(accountDeletions.doneAt))),
      insist(db, changedOne),
      insist(
        db,
        sql`not exists (select 1 from ${tenants} where ${tenants.ownerId} = ${userId} and ${tenants.purgedAt} is null)`,
      ),
      ...erasing({ id: userId, email }),
      db.update(deletionReceipts).set({ ownerId: null }).where(eq(deletionReceipts.ownerId, userId)),
      db.insert(receiptKeys).values(published).onConflictDoNothing(),
      line(userId, "account.deleted", now),
      post.posting(accountGone({ to: email, origin: config.dashboardOrigin, link, receipt, keptUntil })),
    ];
  }

  function erasing(person: { id: string; email: string }): Statement[] {
    return HOLDINGS.flatMap((holding): Statement[] => {
      const mine = holding.goes === "at_once" || holding.goes === "soon" ? rowsOf(db, holding, person) : null;
      return mine === null ? [] : [db.delete(holding.table).where(mine)];
    });
  }

  const line = (userId: string, action: string, at: number) =>
    db.insert(audit).values({ at, actor: userId, action, subject: userId, detail: null });

  const quietly = (row: Pick<Row, "userId">) =>
    goOn(row).catch((error) => {
      // Somebody else is at the same step. What fails otherwise is tried again, and must not stand before the others.
      if (isGuardFailure(error)) return;
      console.error(JSON.stringify({ event: "account_deletion_waits", id: row.userId, error: describeError(error) }));
    });

  return {
    async ask({ id: userId, email }, later) {
      const now = world.now();
      await atomically(db, [
        db.insert(accountDeletions).values({ userId, email, askedAt: now }).onConflictDoNothing(),
        // Out at once, by every way in: what is deleted from here on must not be added to.
        db
          .update(user)
          .set({ suspendedAt: new Date(now) })
          .where(eq(user.id, userId)),
        db.delete(session).where(eq(session.userId, userId)),
        db.delete(apiKeys).where(eq(apiKeys.userId, userId)),
        line(userId, "account.delete", now),
        post.posting(accountLeaving({ to: email, origin: config.dashboardOrigin })),
      ]);
      later(quietly({ userId }));
    },

    async takeReceipt(token) {
      const isIt = eq(accountDeletions.linkHash, sha256(token));
      const [row] = await db.update(accountDeletions).set({ linkHash: null }).where(isIt).returning();
      return row?.receipt ?? null;
    },

    async tick() {
      const waiting = await db.select().from(accountDeletions).where(isNull(accountDeletions.doneAt));
      for (const row of waiting) await quietly(row);
      await db.delete(accountDeletions).where(lt(accountDeletions.keptUntil, world.now()));
    },
  };
}
