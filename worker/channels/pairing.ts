import { createHash } from "node:crypto";
import { channelPeople } from "../../schema/db/index.ts";
import { atomically, changedOne, insist, isGuardFailure } from "../db.ts";
import type { Background } from "../tenants/types.ts";
import { ADAPTERS } from "./adapters/index.ts";
import { isSame } from "./adapters/proof.ts";
import { changeAlong, type TenantRow } from "./change.ts";
import { closePairing } from "./channel-store.ts";
import type { ChannelsContext } from "./context.ts";
import type { ChannelKeys } from "./keys.ts";
import { codeIn, type Incoming, isTold, MAX_PEOPLE } from "./rules.ts";
import type { ChannelRow } from "./store.ts";

export const hashOf = (code: string): string => createHash("sha256").update(code).digest("base64url");

export function isRightCode({ pairingHash }: Pick<ChannelRow, "pairingHash">, text: string): boolean {
  const code = codeIn(text);
  return code !== null && pairingHash !== null && isSame(hashOf(code), pairingHash);
}

/** Whoever sent the code is heard from now on. The code is used up by the very transaction that lets them in. True: they are. */
export async function pair(
  context: ChannelsContext,
  it: { channel: ChannelRow; tenant: TenantRow; message: Incoming; keys: ChannelKeys; people: ReadonlySet<string> },
  later: Background,
): Promise<boolean> {
  const { db, world, hosts } = context;
  const { channel, tenant, message, keys } = it;
  const change = changeAlong(context, tenant, channel.kind, {
    actor: tenant.ownerId,
    step: "channel.pair",
    detail: { person: message.senderId },
  });
  if (!change || it.people.size >= MAX_PEOPLE) return false;
  try {
    await atomically(db, [
      ...change,
      closePairing(db, channel),
      insist(db, changedOne),
      db.insert(channelPeople).values({ channelId: channel.id, senderId: message.senderId, addedAt: world.now() }),
    ]);
  } catch (error) {
    // Somebody else was faster with the code, or with the agent: the provider does not repeat it, the person can.
    if (isGuardFailure(error)) return false;
    throw error;
  }
  if (isTold(tenant.runtime, channel.kind)) later(hosts.deliver(tenant.id));
  if (keys.token) {
    const { accountId } = channel;
    const { conversation, reply } = message;
    const part = { token: keys.token, accountId, conversation, reply, text: WELCOME, part: 0 };
    later(ADAPTERS[channel.kind].send(context.call(channel.kind), part));
  }
  return true;
}
const WELCOME = "You are connected. From now on your agent hears you.";

export const openPairing = (code: string, expiresAt: number) => ({
  pairingHash: hashOf(code),
  pairingExpiresAt: expiresAt,
  pairingTries: 0,
});
