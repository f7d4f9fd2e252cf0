import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { createAndWait } from "../../stack/bench/tenants.ts";
import { expectStatus } from "../../stack/client.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { internet } from "../hosts/index.ts";
import { createDiscord } from "../stand-ins/discord.ts";
import type { Provider } from "../stand-ins/provider.ts";
import { layerOf, layerWith, type Registry, startRegistry } from "../stand-ins/registry.ts";
import { createSlack } from "../stand-ins/slack.ts";
import { createWhatsapp } from "../stand-ins/whatsapp.ts";
import { type MessagesLab, sendThrough, startMessagesLab, until } from "./messages-lab.ts";

const PORT = 5_000;
const ZEROCLAW = fileURLToPath(new URL("../stand-ins/zeroclaw", import.meta.url));
const TOKEN = "123454321:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
const ADA = 4_242;
const SECRET = "8f742231b10e8888abcd99edcba85a51";
const NUMBER = "106540352242922";
/** What an owner types, and who writes: as each provider names people. */
const CHANNELS = {
  slack: { token: "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy", secret: SECRET },
  discord: { token: "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs" },
  whatsapp: { token: `EAA${"J".repeat(60)}`, secret: SECRET, account: NUMBER },
};
type Kind = keyof typeof CHANNELS;
const [PERSON, STRANGER] = [
  { slack: "U2147483697", discord: "53908232506183680", whatsapp: "16315551234" },
  { slack: "U2147483698", discord: "53908232506183681", whatsapp: "16315551235" },
];
/** Where an answer goes: the conversation that it answers. */
const CONVERSATION = { slack: "D2147483697", discord: "645027906669183680", whatsapp: PERSON.whatsapp };

const now = Date.now;
const seconds = () => Math.floor(now() / 1000);
const slack = createSlack(CHANNELS.slack.token, SECRET, { now });
const discord = await createDiscord(CHANNELS.discord.token, { fetch, now });
const whatsapp = createWhatsapp({ token: CHANNELS.whatsapp.token, secret: SECRET, number: NUMBER }, { now });
const providers: Readonly<Record<Kind, Provider>> = { slack, discord, whatsapp };
let lab: MessagesLab;
let registry: Registry;
beforeAll(async () => {
  registry = await startRegistry(internet.address, PORT);
  const dockerArgs = [`--insecure-registry=${internet.address}:${PORT}`];
  lab = await startMessagesLab({ others: providers, server: { dockerArgs } });
}, 120_000);
afterAll(async () => {
  await lab?.stop();
  await registry?.close();
});

// A hundred here; `npm run bench -- messages` sends a thousand.
test("messages to a sleeping agent, killed twice, over an edge that is killed once: each once, in order, none lost", async () => {
  const told = await sendThrough(lab, 100, console.log);
  expect(told).toMatchObject({ sent: 100, taken: 100, inOrder: told.conversations });
  expect(told.faults).toHaveLength(3);
  expect(told.counts).toMatchObject({ accepted: 100, taken: 100 });
});

test("ZeroClaw, which has no place for them: asked by its host, answered by the platform, however long it thinks", async () => {
  const { telegram, owner, platform, tag } = lab;
  const { edge } = platform;
  const base = layerOf(`${IMAGE_CACHE}/${imageRef("echo").replace(/[/:]/g, "-")}.tar`);
  const claw = layerWith(ZEROCLAW, "zeroclaw", "usr/local/bin");
  const image = registry.push("zeroclaw", [base, claw], { Env: ["PATH=/usr/local/bin:/bin"] });
  const allowed = await fetch(`${edge.dashboard}/api/v1/operator/images`, {
    method: "PUT",
    headers: { authorization: `Bearer ${edge.operatorToken}`, "content-type": "application/json" },
    body: JSON.stringify({ runtime: "zeroclaw", image }),
  });
  expect(allowed.status).toBe(204);
  const { id } = await createAndWait(owner, `claw-${tag}`, { runtime: "zeroclaw", image });
  telegram.addBot(TOKEN, "claw_bot");
  const path = `/api/v1/tenants/${id}/channels/telegram`;
  expectStatus(await owner.api(path, { method: "PUT", body: { token: TOKEN } }), 200);
  expectStatus(await owner.api(`${path}/people/${ADA}`, { method: "PUT" }), 202);

  const chat = async (text: string) => {
    const before = telegram.sent(TOKEN).length;
    telegram.write(TOKEN, { id: ADA }, text);
    expect(await telegram.push(TOKEN)).toBe(200);
    await until(`an answer to ${text}`, () => telegram.sent(TOKEN).length > before);
    return telegram.sent(TOKEN).slice(before);
  };
  expect(await chat("hello")).toEqual([{ chatId: ADA, text: "I heard: hello" }]);
  // Longer than the edge waits: nobody is on the line when it is done, and no clock of the edge ticks here.
  expect(await chat("think for 9500 ms")).toEqual([{ chatId: ADA, text: "I heard: think for 9500 ms" }]);
  expect(await chat("fail once")).toEqual([{ chatId: ADA, text: "I heard: fail once" }]);
  const [channel] = (await owner.api(`/api/v1/tenants/${id}/channels`)).json<{ channels: { today: object }[] }>()
    .channels;
  expect(channel?.today).toEqual({ accepted: 3, taken: 3 });
}, 120_000);

describe("one agent on every other channel", () => {
  let agent: string;
  const hooks = new Map<Kind, string>();
  beforeAll(async () => {
    agent = (await createAndWait(lab.owner, `every-${lab.tag}`)).id;
  }, 60_000);

  const path = (kind: Kind) => `/api/v1/tenants/${agent}/channels/${kind}`;
  const view = async (kind: Kind) => {
    interface View {
      kind: Kind;
      state: string;
      today: Record<string, number>;
      setup: { word: string | null } | null;
    }
    const { channels } = (await lab.owner.api(`/api/v1/tenants/${agent}/channels`)).json<{ channels: View[] }>();
    return channels.find((channel) => channel.kind === kind) as View;
  };
  const post = async (kind: Kind, body: string, proof?: Record<string, string>) => {
    const headers = {
      "content-type": "application/json",
      ...(proof ?? (await providers[kind].proof(body, seconds()))),
    };
    return fetch(hooks.get(kind) ?? "", { method: "POST", headers, body });
  };
  const texts = (kind: Kind) => providers[kind].sent.map(({ text }) => text);

  /** How each provider sees that the address is ours, before it sends anything there. */
  const isSeen: Readonly<Record<Kind, (url: string) => Promise<void>>> = {
    async slack() {
      expect(await (await post("slack", slack.challenge)).json()).toMatchObject({ challenge: expect.any(String) });
    },
    // Asked by itself when it is told the address: a ping that is signed, and one that is not.
    discord: async (url) => expect(url).toMatch(/\/hooks\/discord\/chn_/),
    async whatsapp(url) {
      const word = (await view("whatsapp")).setup?.word;
      const ask = (token: unknown) =>
        fetch(`${url}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=${token}`);
      expect((await ask("guessed")).status).toBe(401);
      expect(await (await ask(word)).text()).toBe("1158201444");
    },
  };
  /**
   * What a recording that is signed long ago is answered: WhatsApp signs no time, so that its number alone tells. And what
   * is counted: Discord's own badly signed ping is among the forged, and the guessed word of WhatsApp's question.
   */
  const TOLD = {
    slack: { recorded: 401, counts: { replayed: 1, forged: 2 } },
    discord: { recorded: 401, counts: { replayed: 1, forged: 3 } },
    whatsapp: { recorded: 200, counts: { replayed: 2, forged: 2 } },
  };

  test.each(Object.keys(CHANNELS) as Kind[])(
    "%s: in with its own proof, the answer out, and nothing else in",
    async (kind) => {
      const connected = expectStatus(await lab.owner.api(path(kind), { method: "PUT", body: CHANNELS[kind] }), 200);
      const { setup } = connected.json<{ setup: { url: string } | null }>();
      const url = setup?.url ?? discord.endpoint() ?? "";
      hooks.set(kind, url);
      expectStatus(await lab.owner.api(`${path(kind)}/people/${PERSON[kind]}`, { method: "PUT" }), 202);
      await isSeen[kind](url);
      expect((await view(kind)).state).toBe("connected");

      const body = providers[kind].body({ from: PERSON[kind], text: "hello" });
      const heard = await post(kind, body);
      expect([heard.status, await heard.json()]).toEqual([200, kind === "discord" ? { type: 5 } : {}]);
      await until("an answer", () => providers[kind].sent.length > 0);
      expect((await post(kind, body)).status).toBe(200);
      expect((await post(kind, body, await providers[kind].proof(body, seconds() - 400))).status).toBe(
        TOLD[kind].recorded,
      );
      expect((await post(kind, `${body} `, await providers[kind].proof(body, seconds()))).status).toBe(401);
      const spoof = providers[kind].body({ from: STRANGER[kind], text: "me", name: PERSON[kind] });
      expect((await post(kind, spoof)).status).toBe(200);
      expect(providers[kind].sent).toEqual([{ to: CONVERSATION[kind], text: "You said: hello" }]);
      const counts = { accepted: 1, taken: 1, not_allowed: 1, ...TOLD[kind].counts };
      await until(JSON.stringify(counts), async () => (await view(kind)).today.taken === 1);
      expect((await view(kind)).today).toEqual(counts);
    },
    60_000,
  );

  test("Discord is too busy for an answer: it is sent when Discord has said, and not before", async () => {
    discord.busy(1);
    expect((await post("discord", discord.body({ from: PERSON.discord, text: "again" }))).status).toBe(200);
    await until("an answer", async () => {
      await lab.platform.edge.tick();
      return discord.sent.length > 1;
    });
    expect([texts("discord"), discord.hasty()]).toEqual([["You said: hello", "You said: again"], 0]);
  }, 60_000);

  test("Discord's fifteen minutes are over: the answer is a message of the bot", async () => {
    const body = discord.body({ from: PERSON.discord, text: "late" });
    discord.expire();
    expect((await post("discord", body)).status).toBe(200);
    await until("an answer", () => discord.sent.length > 2);
    expect(discord.sent.at(-1)).toEqual({ to: CONVERSATION.discord, text: "You said: late" });
  }, 60_000);

  test("WhatsApp answers nobody who has not written for a day: the answer is given up and counted", async () => {
    // Written before its day was over, and brought after it: Meta repeats for days.
    const from = "16315551236";
    expectStatus(await lab.owner.api(`${path("whatsapp")}/people/${from}`, { method: "PUT" }), 202);
    const body = whatsapp.body({ from, text: "hello", at: seconds() - 25 * 3_600 });
    expect((await post("whatsapp", body)).status).toBe(200);
    await until("its end", async () => (await view("whatsapp")).today.unanswered === 1);
    expect(texts("whatsapp")).toEqual(["You said: hello"]);
  }, 60_000);
});
