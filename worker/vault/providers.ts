import type { RuntimeName } from "../../schema/protocol/index.ts";
import { type LiveCheck, says } from "./live.ts";
import { Secret } from "./secret.ts";

/** One row per kind of key that an agent may be given. */
interface Provider {
  id: string;
  label: string;
  kind: "model" | "channel";
  /** Its name in our API, and the variable that runtimes read where `variables` says nothing else (ran, RUNTIMES). */
  env: string;
  /** What the wizard asks for, in the provider's own words, and where it is found. */
  asks: string;
  /** Catches what was pasted wrongly, not what is invalid: only the provider knows that. */
  shape: RegExp;
  hint: string;
  /** What an agent thinks with that has this key: what OpenClaw itself chooses in its setup, which nobody walks through here. */
  model?: string;
  /** Runtimes that want another variable; null where one has no use for the key. */
  variables?: Partial<Record<RuntimeName, string | null>>;
  check: LiveCheck;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const hello = (model: string, limit: object) => ({ model, messages: [{ role: "user", content: "Hi" }], ...limit });

export const PROVIDERS = [
  {
    id: "anthropic",
    label: "Anthropic",
    kind: "model",
    env: "ANTHROPIC_API_KEY",
    asks: "An API key from console.anthropic.com, Settings, API keys",
    shape: /^sk-ant-[A-Za-z0-9_-]{16,300}$/,
    hint: "An Anthropic key starts with sk-ant-.",
    model: "anthropic/claude-opus-5",
    // One token: a list of models is given to a key without credit, too.
    check: {
      url: "https://api.anthropic.com/v1/messages",
      headers: (key) => ({ "x-api-key": key, "anthropic-version": "2023-06-01" }),
      body: hello("claude-haiku-4-5", { max_tokens: 1 }),
      judge: ({ status, text }) => (status === 400 && /credit balance/i.test(text) ? "no_credit" : null),
    },
  },
  {
    id: "openai",
    label: "OpenAI",
    kind: "model",
    env: "OPENAI_API_KEY",
    asks: "A secret key from platform.openai.com, API keys",
    shape: /^sk-(?!ant-|or-)[A-Za-z0-9_-]{16,300}$/,
    hint: "An OpenAI key starts with sk-.",
    model: "openai/gpt-6-astra",
    check: {
      url: "https://api.openai.com/v1/chat/completions",
      headers: bearer,
      body: hello("gpt-4o-mini", { max_completion_tokens: 1 }),
      judge: ({ status, text }) => (status === 429 && text.includes("insufficient_quota") ? "no_credit" : null),
    },
  },
  {
    id: "google",
    label: "Google Gemini",
    kind: "model",
    env: "GEMINI_API_KEY",
    asks: "An API key from aistudio.google.com, Get API key",
    shape: /^[A-Za-z0-9_.-]{20,200}$/,
    hint: "A Gemini key has letters, digits, dots, hyphens and underscores, often starting with AIza.",
    model: "google/gemini-3.1-pro-preview",
    check: {
      url: "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1",
      headers: (key) => ({ "x-goog-api-key": key }),
      judge: ({ status, text }) => (status === 400 && text.includes("API_KEY_INVALID") ? "wrong_key" : null),
    },
  },
  {
    id: "mistral",
    label: "Mistral",
    kind: "model",
    env: "MISTRAL_API_KEY",
    asks: "An API key from console.mistral.ai, API keys",
    shape: /^[A-Za-z0-9]{24,80}$/,
    hint: "A Mistral key has letters and digits only.",
    model: "mistral/mistral-large-latest",
    check: { url: "https://api.mistral.ai/v1/models", headers: bearer },
  },
  {
    id: "openrouter",
    label: "OpenRouter",
    kind: "model",
    env: "OPENROUTER_API_KEY",
    asks: "A key from openrouter.ai, Keys",
    shape: /^sk-or-[A-Za-z0-9_-]{16,300}$/,
    hint: "An OpenRouter key starts with sk-or-.",
    model: "openrouter/auto",
    check: {
      url: "https://openrouter.ai/api/v1/key",
      headers: bearer,
      judge: ({ json }) => (says(json, "data", "limit_remaining") === 0 ? "no_credit" : null),
    },
  },
  {
    id: "telegram",
    label: "Telegram bot",
    kind: "channel",
    env: "TELEGRAM_BOT_TOKEN",
    asks: "The token that @BotFather gives you for your bot",
    shape: /^\d{6,12}:[A-Za-z0-9_-]{30,60}$/,
    hint: "A bot token from @BotFather is a number, a colon and 35 characters.",
    check: {
      url: "https://api.telegram.org/bot{key}/getMe",
      headers: () => ({}),
      judge: ({ status }) => (status === 404 ? "wrong_key" : null),
    },
  },
  {
    id: "discord",
    label: "Discord bot",
    kind: "channel",
    env: "DISCORD_BOT_TOKEN",
    asks: "The bot's token from discord.com/developers, your application, Bot, Reset token",
    shape: /^[A-Za-z0-9_-]{20,40}\.[A-Za-z0-9_-]{5,10}\.[A-Za-z0-9_-]{25,60}$/,
    hint: "A Discord bot token is three parts with dots between them.",
    check: {
      url: "https://discord.com/api/v10/users/@me",
      headers: (key) => ({ authorization: `Bot ${key}` }),
    },
  },
  {
    id: "slack",
    label: "Slack bot",
    kind: "channel",
    env: "SLACK_BOT_TOKEN",
    asks: "The bot user OAuth token from api.slack.com/apps, your app, OAuth & Permissions",
    shape: /^xoxb-[A-Za-z0-9-]{20,200}$/,
    hint: "A Slack bot token starts with xoxb-.",
    check: { url: "https://slack.com/api/auth.test", headers: bearer, body: {}, judge: ({ json }) => ofSlack(json) },
  },
  {
    id: "slack-app",
    label: "Slack app",
    kind: "channel",
    env: "SLACK_APP_TOKEN",
    asks: "An app-level token with connections:write, from api.slack.com/apps, your app, Basic information",
    shape: /^xapp-[A-Za-z0-9-]{20,250}$/,
    hint: "A Slack app-level token starts with xapp-.",
    check: {
      url: "https://slack.com/api/apps.connections.open",
      headers: bearer,
      body: {},
      judge: ({ json }) => ofSlack(json),
    },
  },
  {
    id: "whatsapp",
    label: "WhatsApp Business",
    kind: "channel",
    env: "WHATSAPP_ACCESS_TOKEN",
    asks: "A permanent access token from developers.facebook.com, your app, WhatsApp, API setup",
    shape: /^EAA[A-Za-z0-9]{40,400}$/,
    hint: "A WhatsApp access token starts with EAA.",
    // OpenClaw is linked to a phone by a QR code that it shows itself: there is no key to give it.
    variables: { openclaw: null },
    check: {
      url: "https://graph.facebook.com/v23.0/me",
      headers: bearer,
      judge: ({ json }) => (says(json, "error", "code") === 190 ? "wrong_key" : null),
    },
  },
] as const satisfies readonly Provider[];

/** Slack answers 200 to everything and says in words what it thinks. */
function ofSlack(json: unknown) {
  if (says(json, "ok") === true) return "accepted" as const;
  const error = says(json, "error");
  if (typeof error !== "string") return null;
  const wrong = ["invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"];
  if (wrong.includes(error)) return "wrong_key" as const;
  return error === "ratelimited" ? ("busy" as const) : ("not_allowed" as const);
}

const byEnv: ReadonlyMap<string, Provider> = new Map(PROVIDERS.map((provider) => [provider.env, provider]));

/** Other names are the platform's own: no owner sees or writes them. */
export const isOwnersName = (name: string): boolean => byEnv.has(name);

export const providerOf = (name: string): Provider | undefined => byEnv.get(name);

/** What an agent with these keys thinks with: the first provider's of the table that it has a key of. */
export function modelFor(names: readonly string[]): string | undefined {
  const providers: readonly Provider[] = PROVIDERS;
  return providers.find(({ env, model }) => model !== undefined && names.includes(env))?.model;
}

/** The variable under which this runtime looks for that key; null when it has no use for it. */
export function variableFor(name: string, runtime: RuntimeName): string | null {
  const own = byEnv.get(name)?.variables?.[runtime];
  return own === undefined ? name : own;
}

export type SecretRefusal =
  | { reason: "unknown_name" }
  | { reason: "empty" }
  | { reason: "whitespace" }
  | { reason: "shape"; hint: string };

/** Takes one name and value as they were typed. The refusal never repeats the value. */
export function parseSecret(
  name: string,
  value: string,
): { ok: true; name: string; secret: Secret } | { ok: false; refusal: SecretRefusal } {
  const provider = byEnv.get(name);
  if (!provider) return { ok: false, refusal: { reason: "unknown_name" } };
  if (value === "") return { ok: false, refusal: { reason: "empty" } };
  // A key pasted with a line break works nowhere and is hard to see later.
  if (/[\s\p{Cc}\p{Cf}]/u.test(value)) return { ok: false, refusal: { reason: "whitespace" } };
  if (!provider.shape.test(value)) return { ok: false, refusal: { reason: "shape", hint: provider.hint } };
  return { ok: true, name, secret: new Secret(value) };
}

export function describeRefusal(refusal: SecretRefusal): string {
  switch (refusal.reason) {
    case "unknown_name":
      return `Keys have one of these names: ${PROVIDERS.map(({ env }) => env).join(", ")}.`;
    case "empty":
      return "The key is empty.";
    case "whitespace":
      return "The key holds a space, a line break or an invisible character. Copy it again.";
    case "shape":
      return `This does not look like such a key. ${refusal.hint}`;
  }
}
