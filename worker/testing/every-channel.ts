import { eq } from "drizzle-orm";
import { channels, tenants } from "../../schema/db/index.ts";
import { CHANNELS, type ChannelName } from "../../schema/protocol/index.ts";
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

/**
 * One agent that speaks over all four channels only through the platform, all of them connected, on one edge with four
 * providers around it. Its day has just begun: counts are of a day, and no test reaches over its end.
 */
export interface EveryChannel extends Omit<Lab, "write" | "texts" | "token" | "another"> {
  providers: Readonly<Record<ChannelName, Provider>>;
  channel(kind: ChannelName): Promise<ChannelView>;
  /** A webhook call as the provider would make it. */
  call(kind: ChannelName, body: string, proof?: Record<string, string>): Promise<Response>;
  write(kind: ChannelName, written: Written): Promise<Response>;
  /** Nobody was asked yet, the agent answers everybody, and what counts by the minute begins anew. */
  begin(): void;
  /** What the agent was asked since then. */
  texts(): string[];
  /** Somebody whom nobody knows. */
  someone(kind: ChannelName): string;
  /** Somebody who is heard from now on. */
  heard(kind: ChannelName): Promise<string>;
  /** By the agent's host: there is an answer, and nobody is on the line. */
  tellAnswered(): Promise<unknown>;
  /** What `act` adds to the counts of today, and to what people were sent. */
  counted(kind: ChannelName, act: () => Promise<unknown>): Promise<{ counts: Record<string, number>; sent: string[] }>;
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
  async function channel(kind: ChannelName): Promise<ChannelView> {
    const found = (await views()).find((one) => one.kind === kind);
    if (!found) throw new Error(`${kind} is not connected`);
    return found;
  }
  lab.edge.world.forward(Math.ceil(now() / 86_400_000) * 86_400_000 + 3_600_000 - now());
  for (const kind of CHANNELS) {
    const connected = await lab.owner.json("PUT", `${lab.path}/${kind}`, TYPED[kind]);
    if (connected.status !== 200) throw new Error(JSON.stringify(connected.body));
  }
  let people = 0;
  const someone = (kind: ChannelName) => PERSON[kind](++people);
  return {
    ...lab,
    providers: all,
    channel,
    call,
    begin() {
      lab.agent.questions.length = 0;
      lab.agent.says = ({ text }) => ({ status: 200, answer: `You said: ${text}` });
      lab.edge.world.forward(61_000);
    },
    texts: () => lab.agent.questions.map(({ text }) => text),
    someone,
    async heard(kind) {
      const person = someone(kind);
      const allowed = await lab.owner.request("PUT", `${lab.path}/${kind}/people/${person}`);
      if (allowed.status !== 202) throw new Error(await allowed.text());
      return person;
    },
    tellAnswered: async () =>
      lab.host.post(lab.edge, await lab.host.report({ type: "tenant.answered", at: now(), tenantId: lab.tenantId })),
    async counted(kind, act) {
      const [before, already] = [(await channel(kind)).today, all[kind].sent.length];
      await act();
      const changed = Object.entries((await channel(kind)).today).flatMap(([what, n]) => {
        const more = n - (before[what] ?? 0);
        return more > 0 ? [[what, more]] : [];
      });
      return { counts: Object.fromEntries(changed), sent: all[kind].sent.slice(already).map(({ text }) => text) };
    },
    write: (kind, written) => call(kind, all[kind].body(written)),
  };
}

async function hookOf(lab: Pick<Lab, "edge" | "tenantId">, kind: ChannelName): Promise<string> {
  const rows = await lab.edge.db.select().from(channels).where(eq(channels.tenantId, lab.tenantId));
  return `/hooks/${kind}/${rows.find((one) => one.kind === kind)?.id}`;
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
