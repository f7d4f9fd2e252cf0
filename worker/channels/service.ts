import { and, eq } from "drizzle-orm";
import { channelConversations, channelPeople, channels } from "../../schema/db/index.ts";
import { good, refuse } from "../problem.ts";
import { ADAPTERS } from "./adapters/index.ts";
import * as channelStore from "./channel-store.ts";
import { connecting } from "./connect.ts";
import type { ChannelsContext } from "./context.ts";
import { changeChannel, ownedChannel, ownedTenant } from "./owned.ts";
import { openPairing } from "./pairing.ts";
import { codeFrom, MAX_PEOPLE, PAIRING, SENDER_SHAPE } from "./rules.ts";
import type { ChannelsService } from "./types.ts";
import { viewOf } from "./view.ts";

/** What an owner does with the channels of an agent. */
export function createChannelsService(context: ChannelsContext): ChannelsService {
  const { db, world } = context;
  const notAPerson = (detail: string) => refuse("invalid_body", { field: "person", detail });

  return {
    ...connecting(context),

    async list(person, id) {
      const tenant = await ownedTenant(context, person, id);
      if (!tenant.ok) return tenant;
      const rows = await db.select().from(channels).where(eq(channels.tenantId, id)).orderBy(channels.createdAt);
      return good(await Promise.all(rows.map((row) => viewOf(context, tenant.value, row))));
    },

    async openPairing(person, id, kind) {
      const one = await ownedChannel(context, person, id, kind);
      if (!one.ok) return one;
      const code = codeFrom(world.random(8));
      const until = world.now() + PAIRING.minutes * 60_000;
      await db.update(channels).set(openPairing(code, until)).where(channelStore.ofOneChannel(one.value.channel.id));
      return good({ code, until: new Date(until).toISOString() });
    },

    allow(person, id, kind, senderId, later) {
      const it = { person, id, kind, later, step: "channel.allow", detail: { person: senderId } };
      return changeChannel(context, it, async ({ channel }) => {
        if (!SENDER_SHAPE[channel.kind].test(senderId)) {
          return notAPerson(
            `People are named by the number or id that ${ADAPTERS[channel.kind].label} gave them, never by a name.`,
          );
        }
        const known = await db.select().from(channelPeople).where(eq(channelPeople.channelId, channel.id));
        if (known.some((one) => one.senderId === senderId)) return good([]);
        if (known.length >= MAX_PEOPLE) return notAPerson(`At most ${MAX_PEOPLE} people are heard.`);
        return good([db.insert(channelPeople).values({ channelId: channel.id, senderId, addedAt: world.now() })]);
      });
    },

    disallow(person, id, kind, senderId, later) {
      const it = { person, id, kind, later, step: "channel.disallow", detail: { person: senderId } };
      return changeChannel(context, it, async ({ channel }) => {
        const isIt = and(eq(channelPeople.channelId, channel.id), eq(channelPeople.senderId, senderId));
        if ((await db.select().from(channelPeople).where(isIt)).length === 0) return good([]);
        return good([db.delete(channelPeople).where(isIt)]);
      });
    },

    async resume(person, id, kind, conversation) {
      const one = await ownedChannel(context, person, id, kind);
      if (!one.ok) return one;
      await db
        .update(channelConversations)
        .set({ stoppedAt: null, stoppedWhy: null, resumedAt: world.now() })
        .where(
          and(
            eq(channelConversations.channelId, one.value.channel.id),
            eq(channelConversations.conversation, conversation),
          ),
        );
      return good(null);
    },
  };
}
