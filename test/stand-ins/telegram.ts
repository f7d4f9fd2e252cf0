import { crowd } from "./provider.ts";

/**
 * Telegram's Bot API as its documentation has it ("Making requests", "Getting updates", setWebhook): answers with
 * `ok`, `error_code` and `description`, 429 with `retry_after`; updates go to the webhook in order, with the secret in
 * its header, and one that is not answered by 2xx is sent again before any other.
 */
export interface Sent {
  chatId: number;
  text: string;
}

export interface User {
  id: number;
  is_bot?: boolean;
  first_name?: string;
  username?: string;
}

interface Bot {
  id: number;
  username: string;
  webhook: { url: string; secret: string; maxConnections: number } | null;
  queue: object[];
  sent: Sent[];
  blockedBy: Set<number>;
  crowd: ReturnType<typeof crowd>;
}

export interface Answer {
  status: number;
  body: object;
  headers?: Record<string, string>;
}

const failed = (status: number, description: string, parameters?: object): Answer => ({
  status,
  body: { ok: false, error_code: status, description, ...(parameters && { parameters }) },
});
const fine = (result: unknown): Answer => ({ status: 200, body: { ok: true, result } });

export function createTelegram(options: { fetch?: typeof fetch; now?: () => number } = {}) {
  const { fetch = globalThis.fetch, now = Date.now } = options;
  const bots = new Map<string, Bot>();
  let updateId = 700_000_000;
  let messageId = 0;

  const METHODS: Readonly<Record<string, (bot: Bot, params: Record<string, unknown>) => Answer>> = {
    getMe: ({ id, username }) => fine({ id, is_bot: true, first_name: username, username }),
    setWebhook(bot, { url, secret_token: secret = "", max_connections: maxConnections = 40 }) {
      if (typeof url !== "string" || !/^https?:\/\//.test(url)) return failed(400, "Bad Request: bad webhook");
      if (!/^[A-Za-z0-9_-]{0,256}$/.test(String(secret))) return failed(400, "Bad Request: secret token is invalid");
      bot.webhook = { url, secret: String(secret), maxConnections: Number(maxConnections) };
      return fine(true);
    },
    deleteWebhook(bot) {
      bot.webhook = null;
      return fine(true);
    },
    getWebhookInfo: ({ webhook, queue }) => fine({ url: webhook?.url ?? "", pending_update_count: queue.length }),
    sendMessage(bot, { chat_id: chatId, text }) {
      if (typeof text !== "string" || text === "") return failed(400, "Bad Request: message text is empty");
      if (text.length > 4_096) return failed(400, "Bad Request: message is too long");
      if (bot.blockedBy.has(Number(chatId))) return failed(403, "Forbidden: bot was blocked by the user");
      bot.sent.push({ chatId: Number(chatId), text });
      const date = Math.floor(now() / 1000);
      return fine({ message_id: ++messageId, date, chat: { id: Number(chatId), type: "private" }, text });
    },
    getUpdates: ({ webhook }) =>
      webhook ? failed(409, "Conflict: can't use getUpdates method while webhook is active") : fine([]),
    setMyCommands: () => fine(true),
    deleteMyCommands: () => fine(true),
    sendChatAction: () => fine(true),
  };

  function botOf(token: string): Bot {
    const bot = bots.get(token);
    if (!bot) throw new Error("no such bot");
    return bot;
  }

  /** One attempt to bring the oldest update to its webhook: its status, 0 when nobody answers, null with nothing to do. */
  async function pushOne(bot: Bot): Promise<number | null> {
    const [update] = bot.queue;
    if (!update || !bot.webhook) return null;
    const { url, secret } = bot.webhook;
    const headers = {
      "content-type": "application/json",
      ...(secret && { "x-telegram-bot-api-secret-token": secret }),
    };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(update) }).catch(() => null);
    await answer?.body?.cancel();
    if (answer && answer.status >= 200 && answer.status < 300) bot.queue.shift();
    return answer?.status ?? 0;
  }

  return {
    /** A bot as @BotFather makes one. */
    addBot(token: string, username: string): void {
      const id = Number(token.split(":")[0]);
      bots.set(token, { id, username, webhook: null, queue: [], sent: [], blockedBy: new Set(), crowd: crowd() });
    },
    revoke: (token: string) => void bots.delete(token),
    /** After so many more calls with this token, so many are too many. */
    busy: (token: string, calls: number, after = 0) => botOf(token).crowd.busy(calls, after),
    /** Somebody wants to hear nothing more of this bot. */
    block: (token: string, chatId: number) => void botOf(token).blockedBy.add(chatId),
    webhookOf: (token: string) => bots.get(token)?.webhook ?? null,
    sent: (token: string) => botOf(token).sent,
    waiting: (token: string) => botOf(token).queue.length,

    /** Somebody writes to the bot: the update as it will be sent. `date`: seconds since the epoch. */
    write(token: string, from: User, text: string, more: { date?: number; chat?: object } = {}) {
      const { date = Math.floor(now() / 1000), chat = { id: from.id, type: "private" } } = more;
      const person = { is_bot: false, first_name: "Somebody", ...from };
      const update = { update_id: ++updateId, message: { message_id: ++messageId, from: person, chat, date, text } };
      botOf(token).queue.push(update);
      return update;
    },

    /** Brings what waits to the webhook, in order, until all of it is taken or one attempt was in vain. */
    async push(token: string): Promise<number> {
      for (let last = 200; ; ) {
        const status = await pushOne(botOf(token));
        if (status === null) return last;
        last = status;
        if (status < 200 || status > 299) return status;
      }
    },

    /** A call of the Bot API, below any prefix: `/bot<token>/<method>`. */
    call(path: string, params: Record<string, unknown>): Answer {
      const [, token = "", method = ""] = /\/bot([^/]+)\/([A-Za-z]+)$/.exec(path) ?? [];
      if (!/^\d+:/.test(token)) return failed(404, "Not Found");
      const bot = bots.get(token);
      if (!bot) return failed(401, "Unauthorized");
      if (bot.crowd.isTooMany()) return failed(429, "Too Many Requests: retry after 3", { retry_after: 3 });
      const known = Object.entries(METHODS).find(([name]) => name.toLowerCase() === method.toLowerCase())?.[1];
      return known ? known(bot, params) : failed(404, "Not Found");
    },
  };
}
export type Telegram = ReturnType<typeof createTelegram>;
