import { and, count, desc, eq, isNotNull } from "drizzle-orm";
import {
  channelConversations,
  channelCounts,
  channelMessages,
  channelPeople,
  channelRefusals,
} from "../../schema/db/index.ts";
import { messagesPerDayOf } from "../tenants/index.ts";
import { ADAPTERS } from "./adapters/index.ts";
import type { TenantRow } from "./change.ts";
import type { ChannelsContext } from "./context.ts";
import { channelKeys } from "./keys.ts";
import { dayOf, hookUrl } from "./rules.ts";
import type { ChannelRow } from "./store.ts";
import type { ChannelView } from "./types.ts";

const iso = (ms: number) => new Date(ms).toISOString();

/** One channel for its owner: who is heard, what became of today's messages, and nothing of what is written. */
export async function viewOf(context: ChannelsContext, tenant: TenantRow, channel: ChannelRow): Promise<ChannelView> {
  const { db, world } = context;
  const of = channel.id;
  const [people, counts, waiting, stopped, refusals] = await db.batch([
    db.select().from(channelPeople).where(eq(channelPeople.channelId, of)).orderBy(channelPeople.addedAt),
    db
      .select()
      .from(channelCounts)
      .where(and(eq(channelCounts.channelId, of), eq(channelCounts.day, dayOf(world.now())))),
    db
      .select({ n: count() })
      .from(channelMessages)
      .where(and(eq(channelMessages.channelId, of), eq(channelMessages.state, "waiting"))),
    db
      .select()
      .from(channelConversations)
      .where(and(eq(channelConversations.channelId, of), isNotNull(channelConversations.stoppedAt))),
    db
      .select()
      .from(channelRefusals)
      .where(eq(channelRefusals.channelId, of))
      .orderBy(desc(channelRefusals.id))
      .limit(10),
  ]);
  const isOpen = channel.pairingHash !== null && (channel.pairingExpiresAt ?? 0) > world.now();
  return {
    kind: channel.kind,
    account: channel.account,
    state: channel.failure !== null ? "failed" : channel.registeredAt === null ? "connecting" : "connected",
    failure: channel.failure,
    setup: await setupOf(context, channel),
    people: people.map(({ senderId, addedAt }) => ({ id: senderId, addedAt: iso(addedAt) })),
    pairingUntil: isOpen ? iso(channel.pairingExpiresAt ?? 0) : null,
    // What the owner was told stands beside the counts, and is none.
    today: Object.fromEntries(counts.filter(({ what }) => !what.startsWith("told_")).map(({ what, n }) => [what, n])),
    waiting: waiting[0]?.n ?? 0,
    perDay: messagesPerDayOf(tenant.plan),
    stopped: stopped.map(({ conversation, stoppedAt, stoppedWhy }) => ({
      ...{ conversation, at: iso(stoppedAt ?? 0), why: stoppedWhy ?? "" },
    })),
    refusals: refusals.map(({ at, why, senderId }) => ({ at: iso(at), why, senderId })),
  };
}

/** What the owner copies into the provider's pages, where only they can say it there. */
async function setupOf({ db, config }: ChannelsContext, channel: ChannelRow): Promise<ChannelView["setup"]> {
  const { register, word } = ADAPTERS[channel.kind];
  if (register !== null) return null;
  const keys = word && (await channelKeys(db, config.vaultKeys, channel));
  const url = hookUrl(config.dashboardOrigin, channel);
  return { url, word: keys && word ? word(keys.proof, channel.id) : null };
}
