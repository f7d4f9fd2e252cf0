import { z } from "zod";
import { VAULT_NAMES } from "../names.ts";
import { told } from "./outside.ts";
import { isRecent } from "./proof.ts";
import type { Adapter, Part } from "./types.ts";

const PING = 1;
const COMMAND = 2;
/** "The application is thinking": the answer follows within 15 minutes, or as a message of its own. */
const DEFERRED = 5;
const STRING_OPTION = 3;
const ALONE_WITH_THE_BOT = 1;
const NO_PREVIEWS = 4;
const DISCORD_EPOCH_MS = 1_420_070_400_000;
const API = "/api/v10";

/** 64 bits, in decimal and without leading zeros: one spelling each. */
const snowflake = z.string().refine((id) => /^[1-9]\d{16,19}$/.test(id) && BigInt(id) < 2n ** 64n);
const user = z.object({ id: snowflake, bot: z.boolean().default(false) });
const interaction = z.object({
  id: snowflake,
  application_id: snowflake.optional(),
  type: z.int(),
  token: z
    .string()
    // Part of a path: no `..` of it.
    .regex(/^[\w-][\w.-]{0,499}$/)
    .optional(),
  channel_id: snowflake.optional(),
  context: z.int().optional(),
  /** In a server; alone with the bot it is `user`. */
  member: z.object({ user }).optional(),
  user: user.optional(),
  data: z.object({ options: z.array(z.object({ type: z.int(), value: z.unknown() })).default([]) }).optional(),
});
const application = z.object({
  id: snowflake,
  name: z.string().min(1).max(100),
  verify_key: z.string().regex(/^[0-9a-f]{64}$/),
});

const as = (token: string) => ({ authorization: `Bot ${token}` });
const anything = z.unknown();
/** Mentions nobody, whatever the text says. */
const contentOf = ({ text }: Part) => ({ content: text, allowed_mentions: { parse: [] }, flags: NO_PREVIEWS });

/** Discord, "Interactions: security and authorization": Ed25519 over time and body, and an answer to a PING. */
export const discord: Adapter = {
  label: "Discord",
  origin: "https://discord.com",
  proof: { name: VAULT_NAMES.discord.proof, shape: /^[0-9a-f]{64}$/, hint: "" },
  token: VAULT_NAMES.discord.token,
  asks: [],
  maxCharacters: 2_000,
  promise: { type: DEFERRED },

  async verify({ headers, body, nowMs }, publicKey) {
    const signature = headers.get("x-signature-ed25519") ?? "";
    const time = headers.get("x-signature-timestamp");
    if (!/^[0-9a-f]{128}$/i.test(signature) || !isRecent(time, nowMs)) return false;
    const key = await crypto.subtle.importKey("raw", bytesOf(publicKey), "Ed25519", false, ["verify"]);
    const signed = new Uint8Array([...new TextEncoder().encode(time ?? ""), ...body]);
    return crypto.subtle.verify("Ed25519", key, bytesOf(signature), signed);
  },

  parse(body, accountId) {
    const parsed = interaction.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const { id, type, channel_id: conversation, member, data, token: reply = null } = parsed.data;
    const { context = ALONE_WITH_THE_BOT } = parsed.data;
    if (type === PING) return { kind: "handshake", answer: { type: PING } };
    const from = member?.user ?? parsed.data.user;
    const isOurs = parsed.data.application_id === accountId;
    if (type !== COMMAND || !isOurs || !conversation || !from) return { kind: "unsupported" };
    const words = data?.options.flatMap(({ value }) => (typeof value === "string" ? [value] : [])) ?? [];
    return {
      kind: "messages",
      messages: [
        {
          ...{ updateId: id, conversation, senderId: from.id, isAutomaton: from.bot, text: words.join(" "), reply },
          // Rises with time; the lower bits would not fit a number, and break no ties that matter.
          position: Number(BigInt(id) >> 12n),
          // A group's conversation has a `user`, too.
          isPrivate: parsed.data.user !== undefined && context === ALONE_WITH_THE_BOT,
          sentAt: Number(BigInt(id) >> 22n) + DISCORD_EPOCH_MS,
        },
      ],
    };
  },

  async identify(call, { token }) {
    const asked = await call({ method: "GET", path: `${API}/applications/@me`, headers: as(token) });
    const given = told(asked, application);
    if (!given.ok) return given;
    const { id, name, verify_key: proof } = given.result;
    return { ok: true, result: { accountId: id, account: name, proof } };
  },

  /** A command by which people write, and where it is sent. Discord tries the address at once, rightly and wrongly signed. */
  async register(call, { token, accountId, url }) {
    const headers = as(token);
    const text = { type: STRING_OPTION, name: "text", description: "What you say", required: true, max_length: 6_000 };
    const json = { name: "ask", type: 1, description: "Write to your agent", contexts: [ALONE_WITH_THE_BOT] };
    const path = `${API}/applications/${accountId}/commands`;
    const made = told(await call({ path, headers, json: { ...json, options: [text] } }), anything);
    if (!made.ok) return made;
    const where = { interactions_endpoint_url: url };
    return told(await call({ method: "PATCH", path: `${API}/applications/@me`, headers, json: where }), anything);
  },
  unregister: (call, token) =>
    call({
      ...{ method: "PATCH", path: `${API}/applications/@me`, headers: as(token) },
      json: { interactions_endpoint_url: null },
    }),

  /** By the interaction's own token while it lasts; afterwards as a message of the bot. */
  async send(call, part) {
    const { token, accountId, conversation, reply } = part;
    const json = contentOf(part);
    if (reply !== null) {
      const webhook = `${API}/webhooks/${accountId}/${reply}`;
      const asked =
        part.part === 0
          ? await call({ method: "PATCH", path: `${webhook}/messages/@original`, json })
          : await call({ path: webhook, json });
      const isOver = asked !== null && [401, 403, 404].includes(asked.status);
      if (!isOver) return told(asked, anything);
    }
    return told(await call({ path: `${API}/channels/${conversation}/messages`, headers: as(token), json }), anything);
  },
};

const bytesOf = (hex: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array((hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));
