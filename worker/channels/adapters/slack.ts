import { z } from "zod";
import { hmacHex, isRecent, isSame } from "./proof.ts";
import type { Adapter } from "./types.ts";

const handshake = z.object({ type: z.literal("url_verification"), challenge: z.string().max(500) });
const envelope = z.object({
  type: z.literal("event_callback"),
  event_id: z.string().regex(/^[A-Za-z0-9]{6,40}$/),
  event: z.object({
    type: z.string(),
    subtype: z.string().optional(),
    channel: z.string().max(40).optional(),
    channel_type: z.string().optional(),
    user: z.string().max(40).optional(),
    bot_id: z.string().optional(),
    text: z.string().default(""),
    ts: z
      .string()
      .regex(/^\d{1,12}\.\d{1,6}$/)
      .optional(),
  }),
});

/** Slack, "Verifying requests from Slack": v0 over the time and the very body, not older than five minutes. */
export const slack: Adapter = {
  proof: { name: "SLACK_SIGNING_SECRET", shape: /^[0-9a-f]{32}$/ },

  async verify({ headers, body, nowMs }, secret) {
    const time = headers.get("x-slack-request-timestamp");
    if (!isRecent(time, nowMs)) return false;
    return isSame(headers.get("x-slack-signature") ?? "", `v0=${hmacHex(secret, `v0:${time}:`, body)}`);
  },

  parse(body) {
    const hello = handshake.safeParse(body);
    if (hello.success) return { kind: "handshake", answer: { challenge: hello.data.challenge } };
    const parsed = envelope.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const { event_id: updateId, event } = parsed.data;
    const { channel, user, ts, text, subtype, bot_id: bot } = event;
    const isWritten = event.type === "message" && (subtype === undefined || subtype === "bot_message");
    if (!isWritten || !channel || !ts || (!user && !bot)) return { kind: "unsupported" };
    return {
      kind: "message",
      message: {
        ...{ updateId, conversation: channel, senderId: user ?? bot ?? "", text },
        position: Math.round(Number(ts) * 1_000_000),
        isAutomaton: bot !== undefined || subtype === "bot_message",
        isPrivate: event.channel_type === "im",
        sentAt: Math.round(Number(ts) * 1000),
      },
    };
  },
};
