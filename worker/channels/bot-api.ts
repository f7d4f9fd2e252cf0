import { z } from "zod";
import { readLimited } from "../http.ts";

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** Telegram's own words for what went wrong, as far as they change what we do. */
export type BotFailure =
  | { why: "wrong_token" }
  | { why: "busy"; retryAfterSeconds: number }
  | { why: "refused" }
  | { why: "unreachable" };
export type BotAnswer<T> = { ok: true; result: T } | ({ ok: false } & BotFailure);

const failed = z.object({
  ok: z.literal(false),
  parameters: z.object({ retry_after: z.int().min(1).max(86_400).optional() }).optional(),
});
const me = z.object({ id: z.int().min(1), is_bot: z.literal(true), username: z.string().min(1).max(64) });
const anything = z.unknown();

/** `at`: origin of a stand-in, for trials; null for Telegram itself. */
export const botApiAt = (at: string | null) => (at === null ? "https://api.telegram.org" : `${at}/telegram`);

/** The Bot API, as far as the platform itself speaks to it. A token stands in the URL, so no error's text leaves here. */
export function createBotApi({ fetch, at }: { fetch: typeof globalThis.fetch; at: string | null }) {
  async function call<T>(token: string, method: string, shape: z.ZodType<T>, params: object): Promise<BotAnswer<T>> {
    let status: number;
    let body: unknown;
    try {
      const response = await fetch(`${botApiAt(at)}/bot${token}/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(params),
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      status = response.status;
      body = JSON.parse(await readLimited(response, MAX_ANSWER_BYTES));
    } catch {
      return { ok: false, why: "unreachable" };
    }
    const good = z.object({ ok: z.literal(true), result: shape }).safeParse(body);
    if (status === 200 && good.success) return { ok: true, result: good.data.result as T };
    const seconds = failed.safeParse(body).data?.parameters?.retry_after;
    if (status === 429) return { ok: false, why: "busy", retryAfterSeconds: seconds ?? 30 };
    // 404: the first half of the token is no bot's number.
    if (status === 401 || status === 404) return { ok: false, why: "wrong_token" };
    return { ok: false, why: status >= 500 ? "unreachable" : "refused" };
  }

  return {
    /** Who the token is. */
    me: (token: string) => call(token, "getMe", me, {}),
    /** One at a time, so that they come in order; what came while nobody listened comes now. */
    setWebhook: (token: string, { url, secret }: { url: string; secret: string }) =>
      call(token, "setWebhook", anything, {
        ...{ url, secret_token: secret, max_connections: 1, drop_pending_updates: false },
        allowed_updates: ["message", "edited_message", "callback_query"],
      }),
    deleteWebhook: (token: string) => call(token, "deleteWebhook", anything, {}),
    say: (token: string, chatId: string, text: string) =>
      call(token, "sendMessage", anything, { chat_id: Number(chatId), text }),
  };
}
export type BotApi = ReturnType<typeof createBotApi>;
