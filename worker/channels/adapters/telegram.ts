import { z } from "zod";
import { VAULT_NAMES } from "../names.ts";
import { type Call, told } from "./outside.ts";
import { isSame } from "./proof.ts";
import type { Adapter } from "./types.ts";

export const SECRET_HEADER = "x-telegram-bot-api-secret-token";

const person = z.object({ id: z.int().min(1), is_bot: z.boolean().default(false) });
const chat = z.object({ id: z.int(), type: z.string().max(20) });
const message = z.object({
  message_id: z.int().min(0),
  from: person,
  chat,
  date: z.int().min(0),
  edit_date: z.int().min(0).optional(),
  text: z.string().optional(),
  caption: z.string().optional(),
});
/** Core Telegram Bot API, "Update": at most one of its optional fields is there. */
const update = z.object({
  update_id: z.int().min(0),
  message: message.optional(),
  edited_message: message.optional(),
  callback_query: z
    .object({ from: person, message: message.omit({ from: true }).optional(), data: z.string().optional() })
    .optional(),
});

const me = z.object({ id: z.int().min(1), is_bot: z.literal(true), username: z.string().min(1).max(64) });
const failed = z.object({ parameters: z.object({ retry_after: z.int().min(1).max(86_400) }) });

async function ask<T>(call: Call, token: string, method: string, shape: z.ZodType<T>, json: object) {
  const answer = await call({ path: `/bot${token}/${method}`, json });
  const given = told(answer, z.object({ ok: z.literal(true), result: shape }), (body, status) => {
    const seconds = failed.safeParse(body).data?.parameters.retry_after;
    if (status === 429 && seconds) return { why: "busy", retryAfterSeconds: seconds };
    // The first half of the token is no bot's number.
    return status === 404 ? { why: "wrong_token" } : null;
  });
  return given.ok ? { ok: true as const, result: given.result.result as T } : given;
}

export const telegram: Adapter = {
  label: "Telegram",
  origin: "https://api.telegram.org",
  proof: { name: VAULT_NAMES.telegram.proof, shape: /^[A-Za-z0-9_-]{43}$/, hint: "" },
  token: VAULT_NAMES.telegram.token,
  asks: [],
  maxCharacters: 4_096,

  // "setWebhook", secret_token: the header that tells Telegram from everybody else who knows the address.
  verify: async ({ headers }, secret) => isSame(headers.get(SECRET_HEADER) ?? "", secret),

  parse(body) {
    const parsed = update.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const { update_id: id, message, edited_message: edited, callback_query: pressed } = parsed.data;
    const about = message ?? edited ?? pressed?.message;
    const from = message?.from ?? edited?.from ?? pressed?.from;
    if (!about || !from) return { kind: "unsupported" };
    return {
      kind: "messages",
      messages: [
        {
          updateId: String(id),
          position: id,
          conversation: String(about.chat.id),
          senderId: String(from.id),
          isAutomaton: from.is_bot,
          isPrivate: about.chat.type === "private",
          text: pressed ? (pressed.data ?? "") : (about.text ?? about.caption ?? ""),
          reply: null,
          // Of a pressed button there is only the time of the bot's own message.
          sentAt: pressed ? null : (edited?.edit_date ?? about.date) * 1000,
        },
      ],
    };
  },

  async identify(call, { token }) {
    const asked = await ask(call, token, "getMe", me, {});
    if (!asked.ok) return asked;
    return { ok: true, result: { accountId: String(asked.result.id), account: `@${asked.result.username}` } };
  },
  /** One at a time, so that they come in order; what came while nobody listened comes now. */
  register: (call, { token, url, proof }) =>
    ask(call, token, "setWebhook", z.unknown(), {
      ...{ url, secret_token: proof, max_connections: 1, drop_pending_updates: false },
      allowed_updates: ["message", "edited_message", "callback_query"],
    }),
  unregister: (call, token) => ask(call, token, "deleteWebhook", z.unknown(), {}),
  // Without parse_mode nothing in the text is markup; a preview would fetch whatever address the agent was talked into.
  send: (call, { token, conversation, text }) =>
    ask(call, token, "sendMessage", z.unknown(), {
      ...{ chat_id: Number(conversation), text, link_preview_options: { is_disabled: true } },
    }),
};
