import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { createAndWait } from "../../stack/bench/tenants.ts";
import { expectStatus } from "../../stack/client.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { internet } from "../hosts/index.ts";
import { layerOf, layerWith, type Registry, startRegistry } from "../stand-ins/registry.ts";
import { createSlack } from "../stand-ins/slack.ts";
import { type MessagesLab, sendThrough, startMessagesLab, until } from "./messages-lab.ts";

const PORT = 5_000;
const ZEROCLAW = fileURLToPath(new URL("../stand-ins/zeroclaw", import.meta.url));
const TOKEN = "123454321:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
const ADA = 4_242;
const SLACK = {
  token: "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
  secret: "8f742231b10e8888abcd99edcba85a51",
};

const slack = createSlack(SLACK.token, SLACK.secret, { now: Date.now });
let lab: MessagesLab;
let registry: Registry;
beforeAll(async () => {
  registry = await startRegistry(internet.address, PORT);
  const dockerArgs = [`--insecure-registry=${internet.address}:${PORT}`];
  lab = await startMessagesLab({ others: { slack }, server: { dockerArgs } });
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

test("Slack: a signed event in, a message out, and what anybody else sends is refused and counted", async () => {
  const { owner, platform, tag } = lab;
  const { id } = await createAndWait(owner, `slack-${tag}`);
  const path = `/api/v1/tenants/${id}/channels/slack`;
  const connected = expectStatus(await owner.api(path, { method: "PUT", body: SLACK }), 200);
  const { setup } = connected.json<{ setup: { url: string } }>();
  expectStatus(await owner.api(`${path}/people/U2147483697`, { method: "PUT" }), 202);
  const post = async (body: string, at = Math.floor(Date.now() / 1000)) => {
    const url = `${platform.edge.dashboard}${new URL(setup.url).pathname}`;
    const headers = { "content-type": "application/json", ...(await slack.proof(body, at)) };
    return fetch(url, { method: "POST", headers, body });
  };
  expect((await post(slack.challenge)).status).toBe(200);
  const body = slack.body({ from: "U2147483697", text: "hello" });
  expect((await post(body)).status).toBe(200);
  await until("an answer", () => slack.sent.length > 0);
  expect((await post(body)).status).toBe(200);
  expect((await post(body, Math.floor(Date.now() / 1000) - 400)).status).toBe(401);
  expect((await post(slack.body({ from: "U2147483698", text: "me", name: "U2147483697" }))).status).toBe(200);
  expect(slack.sent).toEqual([{ to: "D2147483697", text: "You said: hello" }]);
  const [channel] = (await owner.api(`/api/v1/tenants/${id}/channels`)).json<{ channels: { today: object }[] }>()
    .channels;
  expect(channel?.today).toEqual({ accepted: 1, taken: 1, replayed: 1, forged: 1, not_allowed: 1 });
}, 60_000);
