import { Secret } from "./secret.ts";

/** One row per kind of key that an agent may be given. The name is the variable that the runtimes read (ran, RUNTIMES). */
interface Provider {
  id: string;
  label: string;
  kind: "model" | "channel";
  env: string;
  /** Catches what was pasted wrongly, not what is invalid: only the provider knows that. */
  shape: RegExp;
  hint: string;
}

export const PROVIDERS = [
  {
    id: "anthropic",
    label: "Anthropic",
    kind: "model",
    env: "ANTHROPIC_API_KEY",
    shape: /^sk-ant-[A-Za-z0-9_-]{16,300}$/,
    hint: "An Anthropic key starts with sk-ant-.",
  },
  {
    id: "openai",
    label: "OpenAI",
    kind: "model",
    env: "OPENAI_API_KEY",
    shape: /^sk-(?!ant-|or-)[A-Za-z0-9_-]{16,300}$/,
    hint: "An OpenAI key starts with sk-.",
  },
  {
    id: "google",
    label: "Google Gemini",
    kind: "model",
    env: "GEMINI_API_KEY",
    shape: /^[A-Za-z0-9_.-]{20,200}$/,
    hint: "A Gemini key has letters, digits, dots, hyphens and underscores, often starting with AIza.",
  },
  {
    id: "mistral",
    label: "Mistral",
    kind: "model",
    env: "MISTRAL_API_KEY",
    shape: /^[A-Za-z0-9]{24,80}$/,
    hint: "A Mistral key has letters and digits only.",
  },
  {
    id: "openrouter",
    label: "OpenRouter",
    kind: "model",
    env: "OPENROUTER_API_KEY",
    shape: /^sk-or-[A-Za-z0-9_-]{16,300}$/,
    hint: "An OpenRouter key starts with sk-or-.",
  },
  {
    id: "telegram",
    label: "Telegram bot",
    kind: "channel",
    env: "TELEGRAM_BOT_TOKEN",
    shape: /^\d{6,12}:[A-Za-z0-9_-]{30,60}$/,
    hint: "A bot token from @BotFather is a number, a colon and 35 characters.",
  },
] as const satisfies readonly Provider[];

const byEnv: ReadonlyMap<string, Provider> = new Map(PROVIDERS.map((provider) => [provider.env, provider]));

/** Other names are the platform's own: no owner sees or writes them. */
export const isOwnersName = (name: string): boolean => byEnv.has(name);

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
  if (/[\s\p{Cc}]/u.test(value)) return { ok: false, refusal: { reason: "whitespace" } };
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
