import { and, asc, eq, inArray, isNotNull, isNull, lt, lte, notInArray, type or, sql } from "drizzle-orm";
import {
  channelConversations,
  channelCounts,
  channelMessages,
  channelPeople,
  channelRefusals,
  channels,
  tenantDataWishes,
  tenants,
} from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";
import { PAIRING } from "./rules.ts";
import type { ChannelRow } from "./store.ts";

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

export const noteRegistered = (db: Database, id: string, at: number) =>
  db.update(channels).set({ registeredAt: at, registerAt: null, failure: null }).where(ofOneChannel(id));

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
