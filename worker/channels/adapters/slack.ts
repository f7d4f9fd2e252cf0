import { z } from "zod";
import { VAULT_NAMES } from "../names.ts";
import { type Failure, told } from "./outside.ts";
import { hmacHex, isRecent, isSame } from "./proof.ts";
import type { Adapter } from "./types.ts";

const handshake = z.object({ type: z.literal("url_verification"), challenge: z.string().max(500) });
const id = z
  .string()
  .regex(/^[A-Z0-9]{1,40}$/)
  .optional();
const envelope = z.object({
  type: z.literal("event_callback"),
  event_id: z.string().regex(/^[A-Za-z0-9]{6,40}$/),
  team_id: id,
  api_app_id: id,
  event: z.object({
    type: z.string(),
    subtype: z.string().optional(),
    channel: id,
    channel_type: z.string().optional(),
    user: id,
    bot_id: id,
    app_id: id,
    bot_profile: z.object({ app_id: id }).optional(),
    text: z.string().default(""),
    ts: z
      .string()
      .regex(/^\d{10}\.\d{6}$/)
      .optional(),
  }),
});

const WRONG = ["invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"];
const AWAY = ["internal_error", "fatal_error", "service_unavailable", "request_timeout"];
const failed = z.object({ ok: z.literal(false), error: z.string() });
/** Slack answers 200 to everything and says in words what it thinks. */
function ofSlack(body: unknown): Failure | null {
  const error = failed.safeParse(body).data?.error;
  if (error === undefined) return null;
  if (WRONG.includes(error)) return { why: "wrong_token" };
  if (AWAY.includes(error)) return { why: "unreachable" };
  return error === "ratelimited" ? { why: "busy", retryAfterSeconds: 30 } : { why: "refused" };
}
const me = z.object({
  ok: z.literal(true),
  team_id: z.string().regex(/^[TE][A-Z0-9]{4,20}$/),
  team: z.string().min(1).max(100),
  user: z.string().min(1).max(100),
  user_id: z.string().regex(/^[UWB][A-Z0-9]{4,20}$/),
});

/** Slack, "Verifying requests from Slack": v0 over the time and the very body, not older than five minutes. */
export const slack: Adapter = {
  label: "Slack",
  origin: "https://slack.com",
  proof: {
    name: VAULT_NAMES.slack.proof,
    shape: /^[0-9a-f]{32}$/,
    hint: "A signing secret has 32 characters, digits and a to f: your app, Basic information.",
  },
  token: VAULT_NAMES.slack.token,
  asks: ["secret"],
  maxCharacters: 4_000,

  async verify({ headers, body, nowMs }, secret) {
    const time = headers.get("x-slack-request-timestamp");
    if (!isRecent(time, nowMs)) return false;
    return isSame(headers.get("x-slack-signature") ?? "", `v0=${hmacHex(secret, `v0:${time}:`, body)}`);
  },

  parse(body, accountId) {
    const hello = handshake.safeParse(body);
    if (hello.success) return { kind: "handshake", answer: { challenge: hello.data.challenge } };
    const parsed = envelope.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const { event_id: updateId, team_id: team, api_app_id: app, event } = parsed.data;
    const { channel, user, ts, text, subtype, bot_id: bot } = event;
    // What our own app has said comes back as an event: counted, it would hide the strangers.
    if (bot !== undefined && app !== undefined && app === (event.bot_profile?.app_id ?? event.app_id)) {
      return { kind: "nothing" };
    }
    const isWritten = event.type === "message" && (subtype === undefined || subtype === "bot_message");
    const isOurs = team !== undefined && accountId.startsWith(`${team}-`);
    if (!isWritten || !isOurs || !channel || !ts || (!user && !bot)) return { kind: "unsupported" };
    return {
      kind: "messages",
      messages: [
        {
          ...{ updateId, conversation: channel, senderId: user ?? bot ?? "", text: asWritten(text), reply: null },
          position: Number(ts.replace(".", "")),
          isAutomaton: bot !== undefined || subtype === "bot_message",
          isPrivate: event.channel_type === "im",
          sentAt: Math.round(Number(ts) * 1000),
        },
      ],
    };
  },

  async identify(call, { token }) {
    const asked = await call({ path: "/api/auth.test", headers: as(token), json: {} });
    const given = told(asked, me, ofSlack);
    if (!given.ok) return given;
    const { team_id, team, user, user_id } = given.result;
    return { ok: true, result: { accountId: `${team_id}-${user_id}`, account: `@${user} in ${team}` } };
  },
  register: null,
  unregister: async () => undefined,

  async send(call, { token, conversation, text }) {
    const json = {
      ...{ channel: conversation, text: asShown(text), mrkdwn: false, parse: "none", link_names: false },
      // A preview fetches the address: what an agent was talked into telling would leave with it.
      ...{ unfurl_links: false, unfurl_media: false },
    };
    return told(await call({ path: "/api/chat.postMessage", headers: as(token), json }), sent, ofSlack);
  },
};
const sent = z.object({ ok: z.literal(true) });
const as = (token: string) => ({ authorization: `Bearer ${token}` });

/** Slack, "Formatting text: escaping": three characters, and without them nothing is a mention or a link. */
const asShown = (text: string) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const asWritten = (text: string) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
