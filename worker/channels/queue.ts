import { and, asc, eq, exists, gt, isNull, lt, lte, sql } from "drizzle-orm";
import {
  channelConversations,
  channelMessages,
  channelPeople,
  channels,
  hosts,
  tenants,
} from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";
import type { Refusal } from "./rules.ts";
import { type ConversationRow, countChanged, isIn, type MessageRow } from "./store.ts";

const isWaiting = (db: Database) =>
  exists(
    db
      .select({ one: sql`1` })
      .from(channelMessages)
      .where(
        and(
          eq(channelMessages.channelId, channelConversations.channelId),
          eq(channelMessages.conversation, channelConversations.conversation),
          eq(channelMessages.state, "waiting"),
        ),
      ),
  );

/**
 * Conversations in which something waits, of agents that are meant to run. `channelId` null: of all, the first of each
 * channel, then the second of each: an agent that never answers must not stand before all others with its hundred.
 */
export function dueConversations(db: Database, channelId: string | null, now: number, limit: number) {
  const { leaseUntil, nextAttemptAt, stoppedAt } = channelConversations;
  return db
    .select({ channelId: channelConversations.channelId, conversation: channelConversations.conversation })
    .from(channelConversations)
    .innerJoin(channels, eq(channels.id, channelConversations.channelId))
    .innerJoin(tenants, eq(tenants.id, channels.tenantId))
    .where(
      and(
        channelId === null ? undefined : eq(channels.id, channelId),
        eq(tenants.desired, "running"),
        isNull(stoppedAt),
        lte(leaseUntil, now),
        lte(nextAttemptAt, now),
        isWaiting(db),
      ),
    )
    .orderBy(sql`row_number() over (partition by ${channels.id} order by ${nextAttemptAt})`)
    .limit(limit);
}

type Place = Pick<ConversationRow, "channelId" | "conversation">;
const isPlace = (it: Place) =>
  and(eq(channelConversations.channelId, it.channelId), eq(channelConversations.conversation, it.conversation));

/** One deliverer at a time; one that has died is waited for until its lease ends. */
export async function claim(
  db: Database,
  place: Place,
  lease: { lease: string; leaseUntil: number },
  now: number,
): Promise<ConversationRow | null> {
  const { leaseUntil, stoppedAt } = channelConversations;
  const rows = await db
    .update(channelConversations)
    .set(lease)
    .where(and(isPlace(place), lte(leaseUntil, now), isNull(stoppedAt)))
    .returning();
  return rows[0] ?? null;
}

/** Everything that is needed to hand over what waits in a conversation, oldest first. */
export async function readWaiting(db: Database, place: Place, limit: number) {
  const [about, people, waiting] = await db.batch([
    db
      .select({ channel: channels, tenant: tenants, host: { id: hosts.id, endpoint: hosts.endpoint } })
      .from(channels)
      .innerJoin(tenants, eq(tenants.id, channels.tenantId))
      .innerJoin(hosts, eq(hosts.id, tenants.hostId))
      .where(eq(channels.id, place.channelId)),
    db
      .select({ senderId: channelPeople.senderId })
      .from(channelPeople)
      .where(eq(channelPeople.channelId, place.channelId)),
    db
      .select()
      .from(channelMessages)
      .where(and(isIn(place), eq(channelMessages.state, "waiting")))
      .orderBy(asc(channelMessages.position), asc(channelMessages.id))
      .limit(limit),
  ]);
  return about[0] ? { ...about[0], people: new Set(people.map(({ senderId }) => senderId)), waiting } : null;
}

/** It is with the agent, or it never will be. True while this deliverer's lease still holds. */
export async function endMessage(
  db: Database,
  message: MessageRow,
  { what, held, more }: { what: "taken" | Refusal; held: { lease: string; leaseUntil: number }; more: Statement[] },
  now: number,
): Promise<boolean> {
  const [extended] = (await db.batch([
    db
      .update(channelConversations)
      .set({ leaseUntil: held.leaseUntil, attempts: 0, lastError: null })
      .where(and(isPlace(message), eq(channelConversations.lease, held.lease))),
    ...end(db, message, what, now),
    ...more,
  ] as [Statement, ...Statement[]])) as [{ rowsAffected: number }];
  return extended.rowsAffected === 1;
}

/** It answers again: what waits in its other conversations need not wait for their own turn. */
export const hurry = (db: Database, channelId: string): Statement =>
  db.update(channelConversations).set({ nextAttemptAt: 0 }).where(eq(channelConversations.channelId, channelId));

/** Whether somebody holds a conversation of this agent right now. */
export async function hasHeld(db: Database, tenantId: string, now: number): Promise<boolean> {
  const held = await db
    .select({ one: sql`1` })
    .from(channelConversations)
    .innerJoin(channels, eq(channels.id, channelConversations.channelId))
    .where(and(eq(channels.tenantId, tenantId), gt(channelConversations.leaseUntil, now)))
    .limit(1);
  return held.length > 0;
}

/** Whether the lease was still held, and is now for longer. */
export async function extend(
  db: Database,
  place: Place,
  held: { lease: string; leaseUntil: number },
): Promise<boolean> {
  const extended = await db
    .update(channelConversations)
    .set({ leaseUntil: held.leaseUntil })
    .where(and(isPlace(place), eq(channelConversations.lease, held.lease)));
  return extended.rowsAffected === 1;
}

/** True when nothing waits any more; false when something has come in meanwhile, for which nobody else will begin. */
export async function release(db: Database, place: Place, lease: string): Promise<boolean> {
  const released = await db
    .update(channelConversations)
    .set({ lease: null, leaseUntil: 0 })
    .where(and(isPlace(place), eq(channelConversations.lease, lease), sql`not ${isWaiting(db)}`));
  return released.rowsAffected === 1;
}

export async function postpone(
  db: Database,
  place: Place,
  lease: string,
  to: { attempts: number; nextAttemptAt: number; lastError: string | null },
): Promise<void> {
  await db
    .update(channelConversations)
    .set({ ...to, lease: null, leaseUntil: 0 })
    .where(and(isPlace(place), eq(channelConversations.lease, lease)));
}

/** What has waited for longer than anybody would still want the answer, with its channel. */
export function expired(db: Database, receivedBefore: number, limit: number): Promise<MessageRow[]> {
  return db
    .select()
    .from(channelMessages)
    .where(and(eq(channelMessages.state, "waiting"), lt(channelMessages.receivedAt, receivedBefore)))
    .limit(limit);
}

/** It is with the agent, or will not be handed over any more; whoever is first counts it. */
export const end = (db: Database, message: MessageRow, what: "taken" | Refusal, now: number): Statement[] => [
  db
    .update(channelMessages)
    .set({ state: what === "taken" ? "taken" : "dropped", body: null, answer: null, endedAt: now })
    .where(and(eq(channelMessages.id, message.id), eq(channelMessages.state, "waiting"))),
  countChanged(db, message.channelId, what, now),
];
