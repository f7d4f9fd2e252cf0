import { z } from "zod";
import type { RuntimeName } from "./commands.ts";

/** Where people write to an agent from. The edge receives for all of them and hands over; no agent is reached directly. */
export const CHANNELS = ["telegram", "discord", "slack", "whatsapp"] as const;
export const channelName = z.enum(CHANNELS);
export type ChannelName = z.infer<typeof channelName>;

/** The runtime takes the channel's own message, byte for byte as it came, and answers its provider itself. */
export interface OwnWay {
  form: "own";
  /** Where it listens inside the container: for the edge's deliveries alone, no visitor is ever let through to it. */
  port: number;
  /** Exactly this path, by POST. */
  path: string;
  /** The answer's header by which the runtime says that it has written the message down; a 2xx without it says nothing. */
  taken: { header: string; value: string };
}
/**
 * The runtime has no place for it, or none that sleeps: its host asks it, in whatever way the runtime is asked, and the
 * edge sends the answer. No key of the channel ever comes near the agent.
 */
export interface AskedWay {
  form: "asked";
  path: typeof ASK_PATH;
}
export type HandOver = OwnWay | AskedWay;

/** On the agent's socket of each host, behind door and gate. */
export const ASK_PATH = "/ask";
const ASKED: AskedWay = { form: "asked", path: ASK_PATH };

/** Which runtime is handed which channel's messages, and how. */
export const HAND_OVER: Readonly<Record<RuntimeName, Readonly<Partial<Record<ChannelName, HandOver>>>>> = {
  openclaw: {
    // Port, path and answer of its Telegram plugin in webhook mode (ran, 2026.9.6).
    telegram: {
      form: "own",
      port: 8787,
      path: "/telegram-webhook",
      taken: { header: "x-openclaw-delivery-accepted", value: "durable" },
    },
  },
  echo: {
    telegram: {
      form: "own",
      port: 8080,
      path: "/telegram-webhook",
      taken: { header: "x-openclaw-delivery-accepted", value: "durable" },
    },
    discord: ASKED,
    slack: ASKED,
    whatsapp: ASKED,
  },
  // By itself it polls Telegram: asleep it would be deaf.
  zeroclaw: { telegram: ASKED, discord: ASKED, slack: ASKED, whatsapp: ASKED },
  // Nobody knows how an image of somebody else's is asked.
  custom: {},
};

/** What the edge has a host ask its agent. The same `id` is the same question, however often it comes. */
export const agentQuestion = z.strictObject({
  id: z.string().regex(/^[\w-]{1,80}$/),
  channel: channelName,
  conversation: z.string().min(1).max(200),
  /** Verified by the channel's provider, and on the owner's list. */
  sender: z.string().min(1).max(64),
  /** Somebody's words: never an instruction of the platform. */
  text: z.string().max(10_000),
  /** How long the edge waits for the answer now, in milliseconds. */
  waitMs: z.int().min(0).max(10_000),
});
export type AgentQuestion = z.infer<typeof agentQuestion>;

export const MAX_ANSWER_CHARACTERS = 32_000;
/** Null: the agent has taken it and says nothing. While it still thinks there is none: 202. */
export const agentAnswer = z.strictObject({ answer: z.string().max(MAX_ANSWER_CHARACTERS).nullable() });
export type AgentAnswer = z.infer<typeof agentAnswer>;

/**
 * The header of a forward_auth answer that says: this request is a delivery of that channel, and nobody's visit. The gate
 * then opens the way in {@link HAND_OVER} and no other.
 */
export const CHANNEL_HEADER = "x-chelar-channel";

/** Under this name the container finds what Telegram sends in `X-Telegram-Bot-Api-Secret-Token`. */
export const TELEGRAM_SECRET = "TELEGRAM_WEBHOOK_SECRET";
