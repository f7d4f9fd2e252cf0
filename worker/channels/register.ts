import { eq } from "drizzle-orm";
import { channels } from "../../schema/db/index.ts";
import { ADAPTERS } from "./adapters/index.ts";
import type { ChannelsContext } from "./context.ts";
import { channelKeys } from "./keys.ts";
import { hookUrl, pauseMs } from "./rules.ts";
import type { ChannelRow } from "./store.ts";

/** Tells the provider where to send. Done again as often as it takes; asking twice changes nothing. */
export async function register(context: ChannelsContext, channel: ChannelRow): Promise<void> {
  const { db, world, config } = context;
  const { label, register } = ADAPTERS[channel.kind];
  const set = (to: Partial<ChannelRow>) => db.update(channels).set(to).where(eq(channels.id, channel.id));
  const keys = await channelKeys(db, config.vaultKeys, channel);
  if (!keys?.token)
    return void (await set({ registerAt: null, failure: "The bot's token was removed. Connect it again." }));
  // Its owner says it at the provider's own pages: it is connected once the provider has called.
  if (register === null) return void (await set({ registerAt: null, failure: null }));
  const url = hookUrl(config.dashboardOrigin, channel);
  const { accountId } = channel;
  const answer = await register(context.call(channel.kind), { token: keys.token, accountId, url, proof: keys.proof });
  const now = world.now();
  if (answer.ok) return void (await set({ registeredAt: now, registerAt: null, registerAttempts: 0, failure: null }));
  const later = (inMs: number, failure: string | null) =>
    set({ registerAt: now + inMs, registerAttempts: channel.registerAttempts + 1, failure });
  const random01 = (world.random(1)[0] as number) / 255;
  switch (answer.why) {
    case "wrong_token":
      return void (await set({ registerAt: null, failure: wrongToken(label) }));
    case "busy":
      return void (await later(answer.retryAfterSeconds * 1000, channel.failure));
    case "refused":
      return void (await later(
        pauseMs(channel.registerAttempts + 5, random01),
        `${label} does not send to this address.`,
      ));
    case "unreachable":
      return void (await later(pauseMs(channel.registerAttempts, random01), `${label} cannot be reached right now.`));
  }
}

export const wrongToken = (label: string) =>
  `${label} does not accept the bot's token any more. Connect it again with a new one.`;

/** Whether it hears us or not: what it still sends finds nobody. */
export async function unregister(context: ChannelsContext, channel: ChannelRow): Promise<void> {
  const { db, config } = context;
  const keys = await channelKeys(db, config.vaultKeys, channel);
  if (keys?.token) await ADAPTERS[channel.kind].unregister(context.call(channel.kind), keys.token);
  await db.update(channels).set({ registeredAt: null, registerAt: null }).where(eq(channels.id, channel.id));
}
