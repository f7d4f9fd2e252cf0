import type { ChannelName } from "../../../schema/protocol/index.ts";
import { discord } from "./discord.ts";
import { type Call, callAt } from "./outside.ts";
import { slack } from "./slack.ts";
import { telegram } from "./telegram.ts";
import type { Adapter } from "./types.ts";
import { whatsapp } from "./whatsapp.ts";

export type { Call, Failure, Told } from "./outside.ts";
export type { Adapter, Delivered, Parsed, Part, Spoken, Typed } from "./types.ts";

/** How each provider proves itself, how its messages read, and how it is answered. A new channel is one row and one file. */
export const ADAPTERS: Readonly<Record<ChannelName, Adapter>> = { telegram, discord, slack, whatsapp };

/** `at`: origin of stand-ins, each below its own name, for trials; null for the providers themselves. */
export type CallTo = (kind: ChannelName) => Call;
export const callTo =
  (fetch: typeof globalThis.fetch, at: string | null): CallTo =>
  (kind) =>
    callAt(fetch, at === null ? ADAPTERS[kind].origin : `${at}/${kind}`);
