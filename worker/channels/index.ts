import { Hono } from "hono";
import type { Accounts } from "../accounts/index.ts";
import { atomically } from "../db.ts";
import { backgroundOf, logFailure } from "../http.ts";
import { ADAPTERS, callTo } from "./adapters/index.ts";
import * as channelStore from "./channel-store.ts";
import type { ChannelsContext } from "./context.ts";
import { AT_ONCE, drain, IN_TURN } from "./deliver.ts";
import { greet, HOOKS_PATH, receive } from "./inbox.ts";
import { channelKeys } from "./keys.ts";
import * as queue from "./queue.ts";
import { register, unregister } from "./register.ts";
import { channelRoutes } from "./routes.ts";
import { COUNTS_KEPT_DAYS, dayOf, KEPT_WAITING_MS, REPLAY_KNOWN_MS } from "./rules.ts";
import { createChannelsService } from "./service.ts";

export { HOOKS_PATH } from "./inbox.ts";
export type { ChannelsService, ChannelView } from "./types.ts";

const ANSWER_TRIES = 4;
const PER_TICK = 100;
const DAY_MS = 24 * 3_600_000;

/** The inbox: what people write to an agent, from their provider's call until the agent has it. docs/channels.md. */
export function createChannels(options: Omit<ChannelsContext, "call"> & { accounts: Pick<Accounts, "caller"> }) {
  const { db, world, config, fetch } = options;
  const context: ChannelsContext = { ...options, call: callTo(fetch, config.providersAt) };
  const service = createChannelsService(context);

  return {
    service,
    api: channelRoutes({ service, accounts: options.accounts }),
    hooks: new Hono()
      .post(HOOKS_PATH, (c) => receive(context, c, backgroundOf(c)))
      .get(HOOKS_PATH, (c) => greet(context, c)),

    /** Its host says that an answer is there. Perhaps before whoever last asked for it has let the conversation go. */
    async answered(tenantId: string): Promise<void> {
      for (let tried = 1; ; tried += 1) {
        for (const { id } of await channelStore.channelsOfTenant(db, tenantId)) {
          await atomically(db, [queue.hurry(db, id)]);
          await drain(context, id, AT_ONCE);
        }
        if (tried === ANSWER_TRIES || !(await queue.hasHeld(db, tenantId, world.now()))) return;
        await world.sleep(500);
      }
    },

    async goodbye(tenantId: string): Promise<() => Promise<unknown>> {
      const rows = await channelStore.channelsOfTenant(db, tenantId);
      const known = await Promise.all(
        rows.map(async ({ kind }) => ({ kind, keys: await channelKeys(db, config.vaultKeys, { tenantId, kind }) })),
      );
      return () =>
        Promise.all(
          known.map(({ kind, keys }) => keys?.token && ADAPTERS[kind].unregister(context.call(kind), keys.token)),
        );
    },

    /** What is due: registrations, hand-overs, and forgetting. */
    async tick(): Promise<void> {
      const now = world.now();
      // While a deletion can still be undone there are keys to say it with; afterwards a bot would call in vain.
      for (const channel of await channelStore.onTheirWayOut(db, PER_TICK)) await unregister(context, channel);
      await channelStore.registerAgain(db, now);
      for (const channel of await channelStore.dueRegistrations(db, now, PER_TICK)) await register(context, channel);
      for (const message of await queue.expired(db, now - KEPT_WAITING_MS, PER_TICK)) {
        await atomically(db, queue.end(db, message, "expired", now));
      }
      await atomically(db, [
        ...channelStore.forgetChannels(db, channelStore.ofGoneTenants(db)),
        ...channelStore.forgetEnded(db, { ended: now - REPLAY_KNOWN_MS, day: dayOf(now - COUNTS_KEPT_DAYS * DAY_MS) }),
      ]);
      await logFailure(drain(context, null, IN_TURN));
    },
  };
}
export type Channels = ReturnType<typeof createChannels>;
