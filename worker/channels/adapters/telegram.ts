import { z } from "zod";
import { TELEGRAM_SECRET } from "../../../schema/protocol/index.ts";
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

export const telegram: Adapter = {
  proof: { name: TELEGRAM_SECRET, shape: /^[A-Za-z0-9_-]{43}$/ },

  // "setWebhook", secret_token: the header that tells Telegram from everybody else who knows the address.
  verify: async ({ headers }, secret) => isSame(headers.get(SECRET_HEADER) ?? "", secret),

  parse(body) {
    const parsed = update.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const { update_id: id, message, edited_message: edited, callback_query: pressed } = parsed.data;
    const about = message ?? edited ?? pressed?.message;
    const from = message?.from ?? edited?.from ?? pressed?.from;
    // In a group others read along and write: whom the agent obeys would be up to whoever let it in.
    if (!about || !from || about.chat.type !== "private") return { kind: "unsupported" };
    return {
      kind: "message",
      message: {
        updateId: String(id),
        position: id,
        conversation: String(about.chat.id),
        senderId: String(from.id),
        isAutomaton: from.is_bot,
        isPrivate: true,
        text: pressed ? (pressed.data ?? "") : (about.text ?? about.caption ?? ""),
        sentAt: about.date * 1000,
      },
    };
  },
};
