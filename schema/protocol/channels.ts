import { z } from "zod";
import type { RuntimeName } from "./commands.ts";

/** Where people write to an agent from. The edge receives for all of them and hands over; no agent is reached directly. */
export const CHANNELS = ["telegram", "discord", "slack", "whatsapp"] as const;
export const channelName = z.enum(CHANNELS);
export type ChannelName = z.infer<typeof channelName>;

/** A way into a runtime that is for the edge's deliveries alone: no visitor is ever let through to it. */
export interface HandOver {
  /** Where it listens inside the container. */
  port: number;
  /** Exactly this path, by POST. */
  path: string;
  /** The answer's header by which the runtime says that it has written the message down; a 2xx without it says nothing. */
  taken: { header: string; value: string };
}

/** Which runtime has a place for which channel's own messages, byte for byte as they came. */
export const HAND_OVER: Readonly<Record<RuntimeName, Readonly<Partial<Record<ChannelName, HandOver>>>>> = {
  // Port, path and answer of its Telegram plugin in webhook mode (ran, 2026.9.6).
  openclaw: {
    telegram: {
      port: 8787,
      path: "/telegram-webhook",
      taken: { header: "x-openclaw-delivery-accepted", value: "durable" },
    },
  },
  echo: {
    telegram: {
      port: 8080,
      path: "/telegram-webhook",
      taken: { header: "x-openclaw-delivery-accepted", value: "durable" },
    },
  },
  // It polls, or takes bare text at /webhook with a bearer that opens all of it: not yet handed over to.
  zeroclaw: {},
  custom: {},
};

/**
 * The header of a forward_auth answer that says: this request is a delivery of that channel, and nobody's visit. The gate
 * then opens the way in {@link HAND_OVER} and no other.
 */
export const CHANNEL_HEADER = "x-chelar-channel";

/** Under this name the container finds what Telegram sends in `X-Telegram-Bot-Api-Secret-Token`. */
export const TELEGRAM_SECRET = "TELEGRAM_WEBHOOK_SECRET";
