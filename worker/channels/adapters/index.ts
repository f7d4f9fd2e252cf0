import type { ChannelName } from "../../../schema/protocol/index.ts";
import { discord } from "./discord.ts";
import { slack } from "./slack.ts";
import { telegram } from "./telegram.ts";
import type { Adapter } from "./types.ts";
import { whatsapp } from "./whatsapp.ts";

export type { Adapter, Delivered, Parsed } from "./types.ts";

/** How each provider proves itself, and how its messages read. A new channel is one row here, and one file. */
export const ADAPTERS: Readonly<Record<ChannelName, Adapter>> = { telegram, discord, slack, whatsapp };
