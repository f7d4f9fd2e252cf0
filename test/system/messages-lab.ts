import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@libsql/client/http";
import { createAndWait } from "../../stack/bench/tenants.ts";
import { Account, expectStatus } from "../../stack/client.ts";
import { internet, type TestHostOptions } from "../hosts/index.ts";
import type { Provider } from "../stand-ins/provider.ts";
import { startTelegram, type TelegramServer } from "../stand-ins/telegram-server.ts";
import { type Platform, startPlatform, TENANT_ORIGIN } from "./platform.ts";

const TOKEN = "987654321:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
const CONVERSATIONS = 10;

export interface Told {
  sent: number;
  /** Of those sent, how many the agent has written down at least once. */
  taken: number;
  /** Times that one was written down again. */
  doubles: number;
  /** Conversations in which the first writing down of each was in the order of sending. */
  inOrder: number;
  conversations: number;
  /** Messages that were waiting in the inbox when each of the faults struck. */
  faults: { what: string; taken: number }[];
  counts: Record<string, number>;
}

interface Update {
  update_id: number;
  message: { from: { id: number } };
}

/** The whole product, and providers of channels around it. */
export interface MessagesLab {
  platform: Platform;
  telegram: TelegramServer;
  owner: Account;
  tag: string;
  stop(): Promise<void>;
}

export async function startMessagesLab(
  options: { others?: Readonly<Record<string, Provider>>; server?: TestHostOptions } = {},
): Promise<MessagesLab> {
  const telegram = await startTelegram(internet.address, 0, options.others);
  try {
    const platform = await startPlatform({ edge: { PROVIDERS_AT: telegram.url }, server: options.server });
    const { edge, server } = platform;
    const resolve = (hostname: string) => (hostname.endsWith(".agents.localhost") ? server.address : null);
    const owner = new Account(edge.dashboard, resolve);
    const tag = randomBytes(4).toString("hex");
    await owner.signUp({ name: "owner", email: `${tag}@example.test`, password: `${tag}-correct-horse` });
    const stop = async () => {
      await platform.stop();
      await telegram.close();
    };
    return { platform, telegram, owner, tag, stop };
  } catch (error) {
    await telegram.close();
    throw error;
  }
}

export async function until(what: string, holds: () => boolean | Promise<boolean>, seconds = 120): Promise<void> {
  for (const deadline = Date.now() + seconds * 1000; !(await holds()); await sleep(100)) {
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
  }
}

/**
 * So many messages to an agent that sleeps, which is killed twice and whose edge is killed once while they are handed
 * over. What the agent wrote down is read back through its door.
 */
export async function sendThrough(lab: MessagesLab, count: number, say: (line: string) => void): Promise<Told> {
  const { platform, telegram, owner, tag } = lab;
  const { edge, server } = platform;
  const database = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
  const number = async (sql: string) => Number((await database.execute(sql)).rows[0]?.[0] ?? 0);
  const { id } = await createAndWait(owner, `inbox-${tag}`);
  telegram.addBot(TOKEN, "inbox_bot");
  const path = `/api/v1/tenants/${id}/channels/telegram`;
  expectStatus(await owner.api(path, { method: "PUT", body: { token: TOKEN } }), 200);
  const people = Array.from({ length: CONVERSATIONS }, (_, at) => 1_000_001 + at);
  for (const person of people) expectStatus(await owner.api(`${path}/people/${person}`, { method: "PUT" }), 202);
  // The plan that sleeps; its messages of a day are fewer than these, so only the host hears of it.
  await database.execute({ sql: "update tenants set plan = 'starter' where id = ?", args: [id] });
  expectStatus(await owner.api(`/api/v1/tenants/${id}/restart`, { method: "POST" }), 202);
  const state = async () => (await owner.api(`/api/v1/tenants/${id}`)).json<{ state: string }>().state;
  const container = () =>
    server.run("docker", ["-H", `unix://${server.dockerSocket}`, "ps", "-aq", "--filter", `name=${id}`]);
  const status = async () =>
    (
      await server.run("docker", [
        "-H",
        `unix://${server.dockerSocket}`,
        "inspect",
        "-f",
        "{{.State.Status}}",
        (await container()).trim(),
      ])
    ).trim();
  await until("asleep", async () => (await state()) === "asleep" && (await status()) === "exited");
  await database.execute({ sql: "update tenants set plan = 'pro' where id = ?", args: [id] });
  say("asleep");

  // As people write: over hours, and never twice after the same time.
  const began = Math.floor(Date.now() / 1000) - 20 * 3_600;
  const sent: Update[] = [];
  for (let at = 0; at < count; at++) {
    const from = people[at % CONVERSATIONS] as number;
    const date = began + at * 13 + ((at * 7_919) % 41);
    sent.push(telegram.write(TOKEN, { id: from }, `message ${at}`, { date }) as Update);
  }
  const kill = async () =>
    server.run("docker", ["-H", `unix://${server.dockerSocket}`, "kill", (await container()).trim()]).then(() => {});
  const taken = () => number("select count(*) from channel_messages where state = 'taken'");
  const faults: Told["faults"] = [];
  const strike = async (share: number, what: string, act: () => Promise<unknown>) => {
    await until(what, async () => (await taken()) >= count * share);
    await act();
    faults.push({ what, taken: await taken() });
    say(`${what} after ${faults.at(-1)?.taken} of ${count}`);
  };
  const striking = (async () => {
    await strike(0.2, "the agent was killed", kill);
    await strike(0.4, "the edge was killed", () => edge.restartWorker());
    await strike(0.6, "the agent was killed", kill);
  })();
  // Telegram repeats what was not answered.
  const pushing = (async () => {
    while (telegram.waiting(TOKEN) > 0) if ((await telegram.push(TOKEN)) !== 200) await sleep(200);
  })();
  const waiting = () => number("select count(*) from channel_messages where state = 'waiting'");
  const ticking = until(
    "all handed over",
    async () => {
      await edge.tick().catch(() => {});
      return telegram.waiting(TOKEN) === 0 && (await waiting()) === 0;
    },
    400,
  );
  await Promise.all([striking, pushing, ticking]);

  const inbox = await owner.client.visit(`${TENANT_ORIGIN.replace("*", `inbox-${tag}`)}/inbox`);
  const { updates } = inbox.json<{ updates: Update[] }>();
  const firsts = [...new Map(updates.map((update) => [update.update_id, update])).values()];
  const known = new Set(sent.map(({ update_id }) => update_id));
  const [channel] = (await owner.api(`/api/v1/tenants/${id}/channels`)).json<{
    channels: { today: Record<string, number> }[];
  }>().channels;
  const isRising = (ids: number[]) => ids.every((one, at) => at === 0 || (ids[at - 1] as number) < one);
  const inOrder = people.filter((person) =>
    isRising(firsts.filter(({ message }) => message.from.id === person).map(({ update_id }) => update_id)),
  );
  return {
    sent: count,
    taken: firsts.filter(({ update_id }) => known.has(update_id)).length,
    doubles: updates.length - firsts.length,
    inOrder: inOrder.length,
    conversations: CONVERSATIONS,
    faults,
    counts: channel?.today ?? {},
  };
}
