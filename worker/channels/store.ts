import { and, count, desc, eq, gt, inArray, isNull, lte, notInArray, sql } from "drizzle-orm";
import {
  channelConversations,
  channelCounts,
  channelMessages,
  channelPeople,
  channelRefusals,
  channels,
  tenantEvents,
  tenants,
  user,
} from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import { type Database, insist, type Statement } from "../db.ts";
import { BEFORE } from "./loops.ts";
import { dayOf, type Incoming, REFUSALS_KEPT, type Refusal } from "./rules.ts";
import { type MessageKeys, NONCE_BYTES, type Place } from "./seal.ts";

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

export const isIn = (it: { channelId: string; conversation: string }) =>
  and(eq(channelMessages.channelId, it.channelId), eq(channelMessages.conversation, it.conversation));

/** What {@link judge} has to know besides the message itself. */
export async function readKnown(db: Database, channel: ChannelRow, message: Incoming, now: number) {
  const { channelId, senderId, sentAt, digest, updateId, receivedAt } = channelMessages;
  const place = { channelId: channel.id, conversation: message.conversation };
  const minute = and(gt(sentAt, message.sentAt - 60_000), lte(sentAt, message.sentAt));
  const ofTenant = db.select({ id: channels.id }).from(channels).where(eq(channels.tenantId, channel.tenantId));
  const [replays, stops, bySender, inConversation, today, loops, before] = await db.batch([
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
      .select({ n: channelCounts.n })
      .from(channelCounts)
      .where(
        and(eq(channelCounts.channelId, channel.id), eq(channelCounts.day, dayOf(now)), eq(channelCounts.what, "loop")),
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
    loops: loops[0]?.n ?? 0,
    before: before.filter(({ receivedAt }) => receivedAt > (stops[0]?.resumedAt ?? 0)),
  };
}

export const countOne = (db: Database, channelId: string, what: "accepted" | Refusal, now: number): Statement =>
  db
    .insert(channelCounts)
    .values({ channelId, day: dayOf(now), what, n: 1 })
    .onConflictDoUpdate({
      target: [channelCounts.channelId, channelCounts.day, channelCounts.what],
      set: { n: sql`${channelCounts.n} + 1` },
    });

/** Directly after the UPDATE that makes it so: two who end the same message count it once, and one that is gone nobody. */
export const countChanged = (db: Database, channelId: string, what: "taken" | Refusal, now: number): Statement =>
  db.run(sql`insert into ${channelCounts} (channel_id, day, what, n)
    select ${channelId}, ${dayOf(now)}, ${what}, 1 where changes() = 1
    on conflict (channel_id, day, what) do update set n = n + 1`);

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

/** Bound to its message like the message itself, and never taken for it. */
export const answerPlace = ({ channelId, updateId }: Place): Place => ({
  channelId,
  updateId: `answer to ${updateId}`,
});

/** Before any of it is sent. False where somebody else has kept one, or the message is over: then that one counts. */
export async function keepAnswer(
  { db, world }: { db: Database; world: Pick<World, "random"> },
  { messages }: { messages: MessageKeys },
  message: MessageRow,
  answer: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const sealed = await messages.seal(answer, answerPlace(message), world.random(NONCE_BYTES));
  const { id, state, answer: kept } = channelMessages;
  const rows = await db
    .update(channelMessages)
    .set({ answer: sealed })
    .where(and(eq(id, message.id), eq(state, "waiting"), isNull(kept)));
  return rows.rowsAffected === 1;
}

export const insertMessage = (
  db: Database,
  row: Omit<MessageRow, "id" | "endedAt" | "answer" | "answerSent">,
): Statement[] => [
  insist(db, sql`exists (select 1 from ${channels} where ${channels.id} = ${row.channelId})`),
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
      .set({ state: "dropped", body: null, answer: null, endedAt: at })
      .where(and(isIn(place), eq(channelMessages.state, "waiting"))),
  ];
}

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
