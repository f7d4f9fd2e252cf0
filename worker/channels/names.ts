import { type ChannelName, TELEGRAM_SECRET } from "../../schema/protocol/index.ts";

/** Under which names an agent's vault has what proves a provider, and what lets us speak as the bot. */
export const VAULT_NAMES = {
  telegram: { proof: TELEGRAM_SECRET, token: "TELEGRAM_BOT_TOKEN" },
  discord: { proof: "DISCORD_PUBLIC_KEY", token: "DISCORD_BOT_TOKEN" },
  slack: { proof: "SLACK_SIGNING_SECRET", token: "SLACK_BOT_TOKEN" },
  whatsapp: { proof: "WHATSAPP_APP_SECRET", token: "WHATSAPP_ACCESS_TOKEN" },
} as const satisfies Record<ChannelName, { proof: string; token: string }>;
