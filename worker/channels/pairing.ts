import { createHash } from "node:crypto";
import { channelPeople } from "../../schema/db/index.ts";
import { atomically, changedOne, insist, isGuardFailure } from "../db.ts";
import type { Background } from "../tenants/types.ts";
import { isSame } from "./adapters/proof.ts";
import { changeAlong, type TenantRow } from "./change.ts";
import { closePairing } from "./channel-store.ts";
import type { ChannelsContext } from "./context.ts";
import type { ChannelKeys } from "./keys.ts";
import { codeIn, type Incoming, MAX_PEOPLE } from "./rules.ts";
import type { ChannelRow } from "./store.ts";

export const hashOf = (code: string): string => createHash("sha256").update(code).digest("base64url");

export function isRightCode({ pairingHash }: Pick<ChannelRow, "pairingHash">, text: string): boolean {
  const code = codeIn(text);
  return code !== null && pairingHash !== null && isSame(hashOf(code), pairingHash);
}

/** Whoever sent the code is heard from now on. The code is used up by the very transaction that lets them in. */
export async function pair(
  context: ChannelsContext,
  it: { channel: ChannelRow; tenant: TenantRow; message: Incoming; keys: ChannelKeys; people: ReadonlySet<string> },
  later: Background,
): Promise<void> {
  const { db, world, bot, hosts } = context;
  const { channel, tenant, message, keys } = it;
  const change = changeAlong(context, tenant, {
    actor: tenant.ownerId,
    step: "channel.pair",
    detail: { channel: channel.kind, person: message.senderId },
  });
  if (!change || it.people.size >= MAX_PEOPLE) return;
  try {
    await atomically(db, [
      ...change,
      closePairing(db, channel),
      insist(db, changedOne),
      db.insert(channelPeople).values({ channelId: channel.id, senderId: message.senderId, addedAt: world.now() }),
    ]);
  } catch (error) {
    // Somebody else was faster with the code, or with the agent: the provider does not repeat it, the person can.
    if (isGuardFailure(error)) return;
    throw error;
  }
  later(hosts.deliver(tenant.id));
  if (channel.kind === "telegram" && keys.token) {
    later(bot.say(keys.token, message.conversation, "You are connected. From now on your agent hears you."));
  }
}

export const openPairing = (code: string, expiresAt: number) => ({
  pairingHash: hashOf(code),
  pairingExpiresAt: expiresAt,
  pairingTries: 0,
});
