import { eq } from "drizzle-orm";
import { channels, tenants } from "../../schema/db/index.ts";
import type { ChannelName } from "../../schema/protocol/index.ts";
import { createDiscord } from "../../test/stand-ins/discord.ts";
import type { Provider, Written } from "../../test/stand-ins/provider.ts";
import { createSlack } from "../../test/stand-ins/slack.ts";
import type { Telegram } from "../../test/stand-ins/telegram.ts";
import { createWhatsapp } from "../../test/stand-ins/whatsapp.ts";
import { asked, type Lab, startLab, TOKEN } from "../channels/testing.ts";
import type { ChannelView } from "../channels/types.ts";

const secret = "8f742231b10e8888abcd99edcba85a51";
const number = "106540352242922";
export const TYPED: Readonly<Record<ChannelName, { token: string; secret?: string; account?: string }>> = {
  telegram: { token: TOKEN },
  discord: { token: "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs" },
  slack: { token: "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy", secret },
  whatsapp: { token: `EAA${"J".repeat(60)}`, secret, account: number },
};

/** Somebody new of each channel: the n-th. */
export const PERSON: Readonly<Record<ChannelName, (n: number) => string>> = {
  telegram: (n) => String(4_242_000_000 + n),
  discord: (n) => String(53_908_232_506_000_000n + BigInt(n)),
  slack: (n) => `U2147${String(n).padStart(6, "0")}`,
  whatsapp: (n) => String(16_315_550_000 + n),
};

/** One agent that speaks over all four channels only through the platform, on one edge with four providers around it. */
export interface EveryChannel extends Omit<Lab, "write" | "texts" | "token" | "another"> {
  providers: Readonly<Record<ChannelName, Provider>>;
  channel(kind: ChannelName): Promise<ChannelView>;
  /** A webhook call as the provider would make it. */
  call(kind: ChannelName, body: string, proof?: Record<string, string>): Promise<Response>;
  write(kind: ChannelName, written: Written): Promise<Response>;
}

export async function startEveryChannel(): Promise<EveryChannel> {
  const now = () => lab.edge.world.now();
  const own: typeof fetch = (input, init) => lab.edge.send(String(input), init as RequestInit);
  const providers = {
    discord: await createDiscord(TYPED.discord.token, { fetch: own, now }),
    slack: createSlack(TYPED.slack.token, secret, { now }),
    whatsapp: createWhatsapp({ token: TYPED.whatsapp.token, secret, number }, { now }),
  };
  const at: Readonly<Record<string, Provider>> = {
    "https://discord.com": providers.discord,
    "https://slack.com": providers.slack,
    "https://graph.facebook.com": providers.whatsapp,
  };
  const lab = await startLab({
    provider(url, init) {
      const provider = at[url.origin];
      return provider ? asked(provider, url, init) : null;
    },
  });
  // Of a runtime that has no place for any channel; the test host takes whatever it is told.
  await lab.edge.db.update(tenants).set({ runtime: "zeroclaw" }).where(eq(tenants.id, lab.tenantId));
  const all = { ...providers, telegram: telegramOf(lab.telegram, now) };
  const views = async () => (await lab.owner.json<{ channels: ChannelView[] }>("GET", lab.path)).body.channels;

  async function call(kind: ChannelName, body: string, proof?: Record<string, string>): Promise<Response> {
    const signed = proof ?? (await all[kind].proof(body, Math.floor(now() / 1000)));
    const headers = { "content-type": "application/json", ...signed };
    return lab.edge.send(await hookOf(lab, kind), { method: "POST", headers, body });
  }
  return {
    ...lab,
    providers: all,
    async channel(kind) {
      const found = (await views()).find((one) => one.kind === kind);
      if (!found) throw new Error(`${kind} is not connected`);
      return found;
    },
    call,
    write: (kind, written) => call(kind, all[kind].body(written)),
  };
}

const hooks = new Map<string, string>();
async function hookOf(lab: Pick<Lab, "edge" | "tenantId">, kind: ChannelName): Promise<string> {
  const known = hooks.get(`${lab.tenantId} ${kind}`);
  if (known) return known;
  const rows = await lab.edge.db.select().from(channels).where(eq(channels.tenantId, lab.tenantId));
  for (const { id, kind: name } of rows) hooks.set(`${lab.tenantId} ${name}`, `/hooks/${name}/${id}`);
  return hooks.get(`${lab.tenantId} ${kind}`) ?? `/hooks/${kind}/chn_${"a".repeat(26)}`;
}

/** Telegram's stand-in, asked like the others. */
function telegramOf(telegram: Telegram, now: () => number): Provider {
  let update = 700_000_000;
  return {
    call: async ({ path, json }) => telegram.call(path, json),
    proof: async () => ({ "x-telegram-bot-api-secret-token": telegram.webhookOf(TOKEN)?.secret ?? "" }),
    body({ from, text, name = "somebody", id, inGroup = false, at = Math.floor(now() / 1000) }) {
      const chat = inGroup ? { id: -100_123, type: "supergroup" } : { id: Number(from), type: "private" };
      const person = { id: Number(from), is_bot: false, first_name: name, username: name };
      const message = { message_id: ++update, from: person, chat, date: at, text };
      return JSON.stringify({ update_id: id === undefined ? update : Number(id), message });
    },
    get sent() {
      return telegram.sent(TOKEN).map(({ chatId, text }) => ({ to: String(chatId), text }));
    },
    busy: (calls, after) => telegram.busy(TOKEN, calls, after),
  };
}
