import { z } from "zod";
import { isRecent } from "./proof.ts";
import type { Adapter } from "./types.ts";

const PING = 1;
const COMMAND = 2;
const DISCORD_EPOCH_MS = 1_420_070_400_000;

const snowflake = z.string().regex(/^\d{17,20}$/);
const user = z.object({ id: snowflake, bot: z.boolean().default(false) });
const interaction = z.object({
  id: snowflake,
  type: z.int(),
  channel_id: snowflake.optional(),
  /** In a server; alone with the bot it is `user`. */
  member: z.object({ user }).optional(),
  user: user.optional(),
  data: z.object({ options: z.array(z.object({ type: z.int(), value: z.unknown() })).default([]) }).optional(),
});

/** Discord, "Interactions: security and authorization": Ed25519 over time and body, and an answer to a PING. */
export const discord: Adapter = {
  proof: { name: "DISCORD_PUBLIC_KEY", shape: /^[0-9a-f]{64}$/ },

  async verify({ headers, body, nowMs }, publicKey) {
    const signature = headers.get("x-signature-ed25519") ?? "";
    const time = headers.get("x-signature-timestamp");
    if (!/^[0-9a-f]{128}$/i.test(signature) || !isRecent(time, nowMs)) return false;
    const key = await crypto.subtle.importKey("raw", bytesOf(publicKey), "Ed25519", false, ["verify"]);
    const signed = new Uint8Array([...new TextEncoder().encode(time ?? ""), ...body]);
    return crypto.subtle.verify("Ed25519", key, bytesOf(signature), signed);
  },

  parse(body) {
    const parsed = interaction.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const { id, type, channel_id: conversation, member, data } = parsed.data;
    if (type === PING) return { kind: "handshake", answer: { type: PING } };
    const from = member?.user ?? parsed.data.user;
    if (type !== COMMAND || !conversation || !from) return { kind: "unsupported" };
    const words = data?.options.flatMap(({ value }) => (typeof value === "string" ? [value] : [])) ?? [];
    return {
      kind: "message",
      message: {
        ...{ updateId: id, conversation, senderId: from.id, isAutomaton: from.bot, text: words.join(" ") },
        // Rises with time; the lower bits would not fit a number, and break no ties that matter.
        position: Number(BigInt(id) >> 12n),
        isPrivate: parsed.data.user !== undefined,
        sentAt: Number(BigInt(id) >> 22n) + DISCORD_EPOCH_MS,
      },
    };
  },
};

const bytesOf = (hex: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array((hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));
