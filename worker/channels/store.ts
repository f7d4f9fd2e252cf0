import {
  and,
  asc,
  count,
  desc,
  eq,
  exists,
  gt,
  inArray,
  isNotNull,
  isNull,
  lt,
  lte,
  notInArray,
  type or,
  sql,
} from "drizzle-orm";
import {
  channelConversations,
  channelCounts,
  channelMessages,
  channelPeople,
  channelRefusals,
  channels,
  hosts,
  tenantDataWishes,
  tenantEvents,
  tenants,
  user,
} from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";
import { BEFORE, dayOf, type Incoming, PAIRING, REFUSALS_KEPT, type Refusal } from "./rules.ts";

export type ChannelRow = typeof channels.$inferSelect;
export type MessageRow = typeof channelMessages.$inferSelect;
export type ConversationRow = typeof channelConversations.$inferSelect;

export async function findChannel(db: Database, id: string) {
  const [rows, people] = await db.batch([
    db
      .select({ channel: channels, tenant: tenants, ownerEmail: user.email })
      .from(channels)
      .innerJoin(tenants, eq(tenants.id, channels.tenantId))
      .innerJoin(user, eq(user.id, tenants.ownerId))
      .where(eq(channels.id, id)),
    db.select({ senderId: channelPeople.senderId }).from(channelPeople).where(eq(channelPeople.channelId, id)),
  ]);
  const found = rows[0];
  return found ? { ...found, people: new Set(people.map(({ senderId }) => senderId)) } : null;
}

const isIn = (it: { channelId: string; conversation: string }) =>
  and(eq(channelMessages.channelId, it.channelId), eq(channelMessages.conversation, it.conversation));

/** What {@link judge} has to know besides the message itself. */
export async function readKnown(db: Database, channel: ChannelRow, message: Incoming, now: number) {
  const { channelId, senderId, sentAt, digest, updateId, receivedAt } = channelMessages;
  const place = { channelId: channel.id, conversation: message.conversation };
  const minute = and(gt(sentAt, message.sentAt - 60_000), lte(sentAt, message.sentAt));
  const ofTenant = db.select({ id: channels.id }).from(channels).where(eq(channels.tenantId, channel.tenantId));
  const [replays, stops, bySender, inConversation, today, before] = await db.batch([
    db
      .select({ id: channelMessages.id })
      .from(channelMessages)
      .where(and(eq(channelId, channel.id), eq(updateId, message.updateId))),
    db
      .select({ at: channelConversations.stoppedAt, resumedAt: channelConversations.resumedAt })
      .from(channelConversations)
      .where(
        and(
          eq(channelConversations.channelId, channel.id),
          eq(channelConversations.conversation, message.conversation),
        ),
      ),
    db
      .select({ n: count() })
      .from(channelMessages)
      .where(and(eq(channelId, channel.id), eq(senderId, message.senderId), minute)),
    db
      .select({ n: count() })
      .from(channelMessages)
      .where(and(isIn(place), minute)),
    db
      .select({ n: sql<number>`coalesce(sum(${channelCounts.n}), 0)` })
      .from(channelCounts)
      .where(
        and(
          inArray(channelCounts.channelId, ofTenant),
          eq(channelCounts.day, dayOf(now)),
          eq(channelCounts.what, "accepted"),
        ),
      ),
    db
      .select({ senderId, sentAt, digest, receivedAt })
      .from(channelMessages)
      .where(isIn(place))
      .orderBy(desc(channelMessages.position))
      .limit(BEFORE),
  ]);
  return {
    isReplay: replays.length > 0,
    isStopped: stops[0]?.at != null,
    bySender: bySender[0]?.n ?? 0,
    inConversation: inConversation[0]?.n ?? 0,
    today: today[0]?.n ?? 0,
    before: before.filter(({ receivedAt }) => receivedAt > (stops[0]?.resumedAt ?? 0)),
  };
}

export const countOne = (
  db: Database,
  channelId: string,
  what: "accepted" | "taken" | Refusal,
  now: number,
): Statement =>
  db
    .insert(channelCounts)
    .values({ channelId, day: dayOf(now), what, n: 1 })
    .onConflictDoUpdate({
      target: [channelCounts.channelId, channelCounts.day, channelCounts.what],
      set: { n: sql`${channelCounts.n} + 1` },
    });

/** Counted, and among the latest that the owner sees; only so many are kept, since strangers cause them. */
export function refusalStatements(
  db: Database,
  channelId: string,
  refusal: { why: Refusal; senderId: string | null },
  at: number,
): Statement[] {
  const latest = db
    .select({ id: channelRefusals.id })
    .from(channelRefusals)
    .where(eq(channelRefusals.channelId, channelId))
    .orderBy(desc(channelRefusals.id))
    .limit(REFUSALS_KEPT);
  return [
    countOne(db, channelId, refusal.why, at),
    db.insert(channelRefusals).values({ channelId, at, ...refusal }),
    db
      .delete(channelRefusals)
      .where(and(eq(channelRefusals.channelId, channelId), notInArray(channelRefusals.id, latest))),
  ];
}

export const insertMessage = (db: Database, row: Omit<MessageRow, "id" | "endedAt">): Statement[] => [
  db.insert(channelMessages).values(row),
  db
    .insert(channelConversations)
    .values({ channelId: row.channelId, conversation: row.conversation })
    .onConflictDoNothing(),
];

/** A line of the agent's story, once a day and cause: the count beside it is the memory. */
export function eventOnce(
  db: Database,
  about: { channelId: string; tenantId: string; generation: number },
  it: { what: string; step: string; detail: string },
  at: number,
): Statement[] {
  const { channelId, tenantId, generation } = about;
  const { what, step, detail } = it;
  return [
    db
      .insert(channelCounts)
      .values({ channelId, day: dayOf(at), what, n: 1 })
      .onConflictDoNothing(),
    db.run(sql`insert into ${tenantEvents} (tenant_id, generation, at, step, status, detail)
      select ${tenantId}, ${generation}, ${at}, ${step}, 'failed', ${detail} where changes() = 1`),
  ];
}

export function stopConversation(
  db: Database,
  place: { channelId: string; conversation: string },
  why: string,
  at: number,
): Statement[] {
  const target = [channelConversations.channelId, channelConversations.conversation];
  return [
    db
      .insert(channelConversations)
      .values({ ...place, stoppedAt: at, stoppedWhy: why })
      .onConflictDoUpdate({ target, set: { stoppedAt: at, stoppedWhy: why } }),
    db
      .update(channelMessages)
      .set({ state: "dropped", body: null, endedAt: at })
      .where(and(isIn(place), eq(channelMessages.state, "waiting"))),
  ];
}

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
  const [about, waiting] = await db.batch([
    db
      .select({ channel: channels, tenant: tenants, host: { id: hosts.id, endpoint: hosts.endpoint } })
      .from(channels)
      .innerJoin(tenants, eq(tenants.id, channels.tenantId))
      .innerJoin(hosts, eq(hosts.id, tenants.hostId))
      .where(eq(channels.id, place.channelId)),
    db
      .select()
      .from(channelMessages)
      .where(and(isIn(place), eq(channelMessages.state, "waiting")))
      .orderBy(asc(channelMessages.position), asc(channelMessages.id))
      .limit(limit),
  ]);
  return about[0] ? { ...about[0], waiting } : null;
}

/** It is with the agent, or it never will be. True while this deliverer's lease still holds. */
export async function endMessage(
  db: Database,
  message: MessageRow,
  { state, held, more }: { state: "taken" | "dropped"; held: { lease: string; leaseUntil: number }; more: Statement[] },
  now: number,
): Promise<boolean> {
  const [extended] = (await db.batch([
    db
      .update(channelConversations)
      .set({ leaseUntil: held.leaseUntil, attempts: 0, lastError: null })
      .where(and(isPlace(message), eq(channelConversations.lease, held.lease))),
    db
      .update(channelMessages)
      .set({ state, body: null, endedAt: now })
      .where(and(eq(channelMessages.id, message.id), eq(channelMessages.state, "waiting"))),
    ...more,
  ] as [Statement, ...Statement[]])) as [{ rowsAffected: number }];
  return extended.rowsAffected === 1;
}

/** It answers again: what waits in its other conversations need not wait for their own turn. */
export const hurry = (db: Database, channelId: string): Statement =>
  db.update(channelConversations).set({ nextAttemptAt: 0 }).where(eq(channelConversations.channelId, channelId));

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

export function dueRegistrations(db: Database, now: number, limit: number): Promise<ChannelRow[]> {
  return db.select().from(channels).where(lte(channels.registerAt, now)).orderBy(asc(channels.registerAt)).limit(limit);
}

/** Everything of these channels but their secrets, which go with the agent's. */
export function forgetChannels(db: Database, which: ReturnType<typeof or>): Statement[] {
  const ids = db.select({ id: channels.id }).from(channels).where(which);
  return [
    ...[channelPeople, channelConversations, channelMessages, channelCounts, channelRefusals].map((table) =>
      db.delete(table).where(inArray(table.channelId, ids)),
    ),
    db.delete(channels).where(which),
  ];
}

export const ofOneChannel = (id: string) => eq(channels.id, id);
export const ofGoneTenants = (db: Database) =>
  notInArray(
    channels.tenantId,
    db
      .select({ id: tenants.id })
      .from(tenants)
      .where(sql`${tenants.desired} <> 'deleted' and ${tenants.purgedAt} is null`),
  );

export const forgetEnded = (db: Database, before: { ended: number; day: string }): Statement[] => [
  db
    .delete(channelMessages)
    .where(and(inArray(channelMessages.state, ["taken", "dropped"]), lt(channelMessages.endedAt, before.ended))),
  db.delete(channelCounts).where(lt(channelCounts.day, before.day)),
];

/** What has waited for longer than anybody would still want the answer, with its channel. */
export function expired(db: Database, receivedBefore: number, limit: number): Promise<MessageRow[]> {
  return db
    .select()
    .from(channelMessages)
    .where(and(eq(channelMessages.state, "waiting"), lt(channelMessages.receivedAt, receivedBefore)))
    .limit(limit);
}

/** The open code and no other: one that was used, or replaced, changes no row. */
export const closePairing = (db: Database, { id, pairingHash }: ChannelRow): Statement =>
  db
    .update(channels)
    .set({ pairingHash: null, pairingExpiresAt: null, pairingTries: 0 })
    .where(and(eq(channels.id, id), eq(channels.pairingHash, pairingHash ?? "")));

/** The last try takes the code with it. */
export const countTry = (db: Database, { id, pairingHash }: ChannelRow): Statement => {
  const isLast = sql`${channels.pairingTries} + 1 >= ${PAIRING.tries}`;
  return db
    .update(channels)
    .set({
      pairingTries: sql`${channels.pairingTries} + 1`,
      pairingHash: sql`case when ${isLast} then null else ${channels.pairingHash} end`,
    })
    .where(and(eq(channels.id, id), eq(channels.pairingHash, pairingHash ?? "")));
};

/** The owner reads it on the agent's page. */
export const tellLoop = (
  db: Database,
  { id: tenantId, generation }: { id: string; generation: number },
  { kind }: ChannelRow,
  at: number,
): Statement[] => [
  db.insert(tenantEvents).values({
    ...{ tenantId, generation, at, step: "messages.stopped", status: "failed" },
    detail: `A conversation on ${kind} looks like two automata that answer each other. It was stopped.`,
  }),
];

export const channelsOfTenant = (db: Database, tenantId: string): Promise<ChannelRow[]> =>
  db.select().from(channels).where(eq(channels.tenantId, tenantId));

const isLeaving = (db: Database) =>
  inArray(
    channels.tenantId,
    db.select({ id: tenantDataWishes.tenantId }).from(tenantDataWishes).where(isNotNull(tenantDataWishes.deleteAt)),
  );

/** Channels of agents whose deletion was asked for, and can still be undone. */
export const onTheirWayOut = (db: Database, limit: number): Promise<ChannelRow[]> =>
  db
    .select()
    .from(channels)
    .where(and(isNotNull(channels.registeredAt), isLeaving(db)))
    .limit(limit);

/** Those that stay after all. */
export const registerAgain = (db: Database, now: number) =>
  db
    .update(channels)
    .set({ registerAt: now })
    .where(
      and(
        isNull(channels.registeredAt),
        isNull(channels.registerAt),
        isNull(channels.failure),
        sql`not ${isLeaving(db)}`,
      ),
    );

/** It will not be handed over any more. */
export const drop = (db: Database, message: MessageRow, why: Refusal, now: number): Statement[] => [
  db
    .update(channelMessages)
    .set({ state: "dropped", body: null, endedAt: now })
    .where(and(eq(channelMessages.id, message.id), eq(channelMessages.state, "waiting"))),
  countOne(db, message.channelId, why, now),
];
