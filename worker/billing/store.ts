import { and, asc, eq, isNotNull, lt, lte, sql } from "drizzle-orm";
import {
  billingAccounts,
  billingCheckouts,
  billingEvents,
  billingNotices,
  tenants,
  user,
} from "../../schema/db/index.ts";
import { changedOne, type Database, insist, type Row, type Statement } from "../db.ts";
import type { BillingEvent } from "./payments.ts";
import { type Stage, type Subscription, TRIAL_MS } from "./rules.ts";

export type AccountRow = Row<typeof billingAccounts>;
export type CheckoutRow = Row<typeof billingCheckouts>;

/** Everything about one owner that a decision needs, read at one moment. */
export async function readAccount(db: Database, ownerId: string) {
  const [accounts, warnings, people] = await db.batch([
    db.select().from(billingAccounts).where(eq(billingAccounts.ownerId, ownerId)),
    db
      .select({ cause: billingNotices.cause, at: billingNotices.at })
      .from(billingNotices)
      .where(and(eq(billingNotices.ownerId, ownerId), eq(billingNotices.kind, "warned" satisfies Stage))),
    db.select({ email: user.email, name: user.name }).from(user).where(eq(user.id, ownerId)),
  ]);
  const account = accounts[0];
  return account ? { account, warnings, person: people[0] ?? null } : null;
}

/** A trial counts from the sign-up, whenever its owner first looks at it. Nothing happens where an account is open. */
export function openAccount(db: Database, ownerId: string, now: number): Statement {
  return db.run(sql`insert or ignore into ${billingAccounts} (owner_id, opened_at, trial_ends_at, review_at)
    select ${user.id}, ${now}, ${user.createdAt} + ${TRIAL_MS}, ${now} from ${user} where ${user.id} = ${ownerId}`);
}

/** Whoever had agents before there was billing here gets their trial from now: nothing may stop over night. */
export function openMissingAccounts(db: Database, now: number): Statement {
  return db.run(sql`insert or ignore into ${billingAccounts} (owner_id, opened_at, trial_ends_at, review_at)
    select distinct ${tenants.ownerId}, ${now}, ${now + TRIAL_MS}, ${now} from ${tenants}
    where ${tenants.purgedAt} is null
      and not exists (select 1 from ${billingAccounts} where ${billingAccounts.ownerId} = ${tenants.ownerId})`);
}

export async function ownerOfCustomer(db: Database, customerId: string): Promise<string | null> {
  const rows = await db
    .select({ ownerId: billingAccounts.ownerId })
    .from(billingAccounts)
    .where(eq(billingAccounts.customerId, customerId));
  return rows[0]?.ownerId ?? null;
}

export interface DueAccount {
  ownerId: string;
  customerId: string | null;
}

export async function dueAccounts(db: Database, now: number, limit: number): Promise<DueAccount[]> {
  return db
    .select({ ownerId: billingAccounts.ownerId, customerId: billingAccounts.customerId })
    .from(billingAccounts)
    .where(lte(billingAccounts.reviewAt, now))
    .orderBy(asc(billingAccounts.reviewAt))
    .limit(limit);
}

/** Owners whose agents were stopped while there was billing here. */
export async function heldOwners(db: Database, _now: number, limit: number): Promise<DueAccount[]> {
  const rows = await db
    .selectDistinct({ ownerId: tenants.ownerId })
    .from(tenants)
    .where(isNotNull(tenants.heldFrom))
    .limit(limit);
  return rows.map(({ ownerId }) => ({ ownerId, customerId: null }));
}

/** Fails the transaction unless the account is still as it was read. */
export function insistUnchanged(
  db: Database,
  { ownerId, version }: Pick<AccountRow, "ownerId" | "version">,
): Statement {
  return insist(
    db,
    sql`(select ${billingAccounts.version} from ${billingAccounts} where ${billingAccounts.ownerId} = ${ownerId}) = ${version}`,
  );
}

export function updateAccount(
  db: Database,
  { ownerId, version }: Pick<AccountRow, "ownerId" | "version">,
  to: Partial<AccountRow>,
): Statement[] {
  return [
    db
      .update(billingAccounts)
      .set({ ...to, version: version + 1 })
      .where(and(eq(billingAccounts.ownerId, ownerId), eq(billingAccounts.version, version))),
    insist(db, changedOne),
  ];
}

export async function postpone(db: Database, ownerId: string, reviewAt: number): Promise<void> {
  await db.update(billingAccounts).set({ reviewAt }).where(eq(billingAccounts.ownerId, ownerId));
}

export async function isKnownEvent(db: Database, id: string): Promise<boolean> {
  const rows = await db.select({ id: billingEvents.id }).from(billingEvents).where(eq(billingEvents.id, id));
  return rows.length > 0;
}

/** Fails the transaction when the event was taken in before. */
export function insertEvent(db: Database, { id, type, at }: BillingEvent, ownerId: string | null, now: number) {
  return db.insert(billingEvents).values({ id, type, ownerId, createdAt: at, receivedAt: now });
}

export const hasNotice = async (db: Database, notice: { ownerId: string; kind: Stage; cause: number }) => {
  const { ownerId, kind, cause } = notice;
  const rows = await db
    .select({ at: billingNotices.at })
    .from(billingNotices)
    .where(and(eq(billingNotices.ownerId, ownerId), eq(billingNotices.kind, kind), eq(billingNotices.cause, cause)));
  return rows.length > 0;
};

export function insertNotice(
  db: Database,
  row: { ownerId: string; kind: Stage; cause: number; at: number },
): Statement {
  return db.insert(billingNotices).values(row);
}

export async function readCheckout(db: Database, ownerId: string): Promise<CheckoutRow | null> {
  return (await db.select().from(billingCheckouts).where(eq(billingCheckouts.ownerId, ownerId)))[0] ?? null;
}

/** Puts one attempt in the place of another, provided that this is still the other. */
export function replaceCheckout(db: Database, before: CheckoutRow | null, row: CheckoutRow): Statement[] {
  if (before === null) return [db.insert(billingCheckouts).values(row).onConflictDoNothing(), insist(db, changedOne)];
  return [
    db
      .update(billingCheckouts)
      .set(row)
      .where(and(eq(billingCheckouts.ownerId, row.ownerId), eq(billingCheckouts.attempt, before.attempt))),
    insist(db, changedOne),
  ];
}

/** Marks an attempt as shown, provided that it still counts. */
export function keepSession(db: Database, { ownerId, attempt }: CheckoutRow, sessionId: string): Statement[] {
  return [
    db
      .update(billingCheckouts)
      .set({ sessionId })
      .where(and(eq(billingCheckouts.ownerId, ownerId), eq(billingCheckouts.attempt, attempt))),
    insist(db, changedOne),
  ];
}

/** The stored word of the provider. */
export function subscriptionOf(row: AccountRow): Subscription | null {
  const { subscriptionId: id, plan, standing, periodEndsAt, cancelsAt, owingSince, endedAt } = row;
  if (id === null || plan === null || standing === null || periodEndsAt === null) return null;
  return { id, plan, standing, periodEndsAt, cancelsAt, owingSince, endedAt };
}

export const columnsOf = (it: Subscription | null) => ({
  subscriptionId: it?.id ?? null,
  plan: it?.plan ?? null,
  standing: it?.standing ?? null,
  periodEndsAt: it?.periodEndsAt ?? null,
  cancelsAt: it?.cancelsAt ?? null,
  owingSince: it?.owingSince ?? null,
  endedAt: it?.endedAt ?? null,
});

const EVENTS_KEPT_MS = 90 * 24 * 3_600_000;

/** Far beyond the days for which the provider repeats an event. */
export function forgetEvents(db: Database, now: number): Statement {
  return db.delete(billingEvents).where(lt(billingEvents.receivedAt, now - EVENTS_KEPT_MS));
}
