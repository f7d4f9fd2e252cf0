import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { channelCounts, channelMessages, channels, secrets, tenantEvents } from "../../schema/db/index.ts";
import { Client } from "../testing/edge.ts";
import { type Lab, OWNER_ID, startLab, TOKEN } from "./testing.ts";

let lab: Lab;
let token: string;
let bots = 100_000;
beforeAll(async () => {
  lab = await startLab();
  // Counts are of a day: none of these tests reaches over its end.
  const now = lab.edge.world.now();
  lab.edge.world.forward(Math.ceil(now / 86_400_000) * 86_400_000 + 3_600_000 - now);
});
beforeEach(async () => {
  // One bot speaks for one agent.
  token = TOKEN.replace("123456789", String(123_000_000 + bots++));
  lab = await lab.another(token);
});

const owner = { id: OWNER_ID };
const texts = () => lab.agent.seen.map(({ message }) => message.text);
/** Somebody who writes like a person: never twice after the same time. */
async function write(
  text: string,
  from: { id: number; is_bot?: boolean; first_name?: string; username?: string } = owner,
) {
  lab.edge.world.forward(3_000 + Math.floor(Math.random() * 9_000));
  lab.telegram.write(token, from, text);
  return lab.telegram.push(token);
}

describe("a bot that its owner connects", () => {
  it("is asked who it is, and sends here with a secret of its own from then on", async () => {
    const channel = await lab.connect();
    expect(channel).toMatchObject({ kind: "telegram", account: "@ada_bot", state: "connected", failure: null });
    const webhook = lab.telegram.webhookOf(token);
    expect(webhook?.url).toMatch(/^https:\/\/chelar\.example\/hooks\/telegram\/chn_[a-z2-7]{26}$/);
    expect(webhook?.secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const newest = lab.host.commands.findLast((command) => command.type === "tenant.apply");
    expect(newest?.tenant.channels).toEqual({ telegram: { webhookUrl: webhook?.url, allowFrom: [OWNER_ID] } });
    const rows = JSON.stringify(await lab.edge.db.select().from(secrets).where(eq(secrets.tenantId, lab.tenantId)));
    expect(rows).not.toContain(token.split(":")[1]);
    expect(rows).not.toContain(webhook?.secret);
  });

  it("is refused at the field when Telegram does not know its token, and tried again while Telegram is busy", async () => {
    const unknown = await lab.owner.json("PUT", `${lab.path}/telegram`, { token: `999${token}`.slice(0, 46) });
    expect(unknown).toMatchObject({ status: 422, body: { code: "invalid_secret", field: "token" } });
    lab.telegram.busy(token, 1);
    expect((await lab.owner.json("PUT", `${lab.path}/telegram`, { token })).status).toBe(429);
    await lab.owner.json("PUT", `${lab.path}/telegram`, { token });
    expect((await lab.view()).state).toBe("connected");
  });

  it("speaks for one agent only, and not for somebody else's", async () => {
    await lab.connect();
    const second = (await lab.owner.create()).body.id;
    const taken = await lab.owner.json("PUT", `/api/v1/tenants/${second}/channels/telegram`, { token });
    expect(taken).toMatchObject({ status: 422, body: { code: "invalid_secret" } });
    const stranger = await new Client(lab.edge).signUp();
    for (const [method, path] of [
      ["GET", lab.path],
      ["PUT", `${lab.path}/telegram/people/7`],
      ["POST", `${lab.path}/telegram/pairing`],
      ["DELETE", `${lab.path}/telegram`],
    ] as const) {
      expect((await stranger.request(method, path)).status, path).toBe(404);
    }
  });

  it("is told to stop when it is disconnected, and nothing of it stays", async () => {
    await lab.connect();
    lab.agent.fails = () => "away";
    await write("still waiting");
    expect((await lab.owner.request("DELETE", `${lab.path}/telegram`)).status).toBe(202);
    expect(lab.telegram.webhookOf(token)).toBeNull();
    expect(await lab.edge.db.select().from(secrets).where(eq(secrets.name, "TELEGRAM_BOT_TOKEN"))).not.toContainEqual(
      expect.objectContaining({ tenantId: lab.tenantId }),
    );
    expect((await lab.owner.json<{ channels: [] }>("GET", lab.path)).body.channels).toEqual([]);
  });

  it("is told to stop when its agent is deleted, and what it still sends finds nobody", async () => {
    await lab.connect();
    const hook = lab.telegram.webhookOf(token)?.url ?? "";
    await lab.owner.request("DELETE", `/api/v1/tenants/${lab.tenantId}`);
    expect(lab.telegram.webhookOf(token)).toBeNull();
    expect((await lab.edge.send(hook, { method: "POST", body: "{}" })).status).toBe(404);
    await lab.edge.tick();
    expect(await lab.edge.db.select().from(channels).where(eq(channels.tenantId, lab.tenantId))).toEqual([]);
  });
});

describe("a message", () => {
  it("is handed over byte for byte, with a token that names this agent and place, and leaves no text behind", async () => {
    await lab.connect();
    expect(await write("good morning ☀")).toBe(200);
    expect(texts()).toEqual(["good morning ☀"]);
    expect(Object.fromEntries(lab.agent.asked[0] ?? [])).toMatchObject({
      "x-chelar-channel": "telegram",
      "x-chelar-path": "/telegram-webhook",
      "x-chelar-user": "inbox",
    });
    const [row] = await lab.edge.db.select().from(channelMessages).orderBy(channelMessages.id).limit(1);
    expect(row).toMatchObject({ state: "taken", body: null });
    expect(await lab.today()).toEqual({ accepted: 1, taken: 1 });
  });

  it("waits sealed while the agent is away, and comes in order once it is back", async () => {
    await lab.connect();
    lab.agent.fails = () => "away";
    for (const text of ["one", "two", "three"]) expect(await write(text)).toBe(200);
    const rows = await lab.edge.db.select().from(channelMessages).where(eq(channelMessages.state, "waiting"));
    expect(JSON.stringify(rows)).not.toMatch(/one|two|three|Somebody/);
    expect((await lab.view()).waiting).toBe(3);
    lab.agent.fails = null;
    lab.edge.world.forward(11 * 60_000);
    await lab.edge.tick();
    expect(texts()).toEqual(["one", "two", "three"]);
  });

  it("is handed over again when the agent dies before it has answered, and nothing overtakes it", async () => {
    await lab.connect();
    let deaths = 2;
    lab.agent.fails = ({ message }) => (message.text === "one" && deaths-- > 0 ? "dies_after_taking" : null);
    await write("one");
    await write("two");
    expect(texts()).toEqual(["one", "one", "one", "two"]);
    expect(new Set(lab.agent.seen.map(({ update_id }) => update_id)).size).toBe(2);
  });

  it("is not overtaken while it fails, nor gone before the agent says that it has it", async () => {
    await lab.connect();
    for (const how of ["away", "says_nothing"] as const) {
      lab.agent.fails = ({ message }) => (message.text === `one ${how}` ? how : null);
      await write(`one ${how}`);
      await write(`two ${how}`);
      expect([texts(), (await lab.view()).waiting], how).toEqual([[], 2]);
      lab.agent.fails = null;
      lab.edge.world.forward(11 * 60_000);
      await lab.edge.tick();
      expect(lab.agent.seen.splice(0).map(({ message }) => message.text)).toEqual([`one ${how}`, `two ${how}`]);
    }
  });

  it("that the agent itself refuses is given up, so that those behind it come", async () => {
    await lab.connect();
    lab.agent.fails = ({ message }) => (message.text === "poison" ? "refuses" : null);
    await write("poison");
    await write("after it");
    for (let turn = 0; turn < 3; turn++) {
      lab.edge.world.forward(11 * 60_000);
      await lab.edge.tick();
    }
    expect(texts()).toEqual(["after it"]);
    expect(await lab.today()).toMatchObject({ accepted: 2, taken: 1, not_taken: 1 });
  });

  it("waits for an agent that its owner has stopped, for a day and no longer", async () => {
    await lab.connect();
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/stop`);
    await write("for later");
    await lab.edge.tick();
    expect([texts(), (await lab.view()).waiting]).toEqual([[], 1]);
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/start`);
    await lab.edge.tick();
    expect(texts()).toEqual(["for later"]);
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/stop`);
    await write("too late");
    lab.edge.world.forward(25 * 3_600_000);
    await lab.edge.tick();
    expect([(await lab.today()).expired, (await lab.view()).waiting]).toEqual([1, 0]);
  });
});

describe("what is refused, and counted", () => {
  it("a stranger, whatever they call themselves", async () => {
    await lab.connect();
    const spoof = { id: 666_000_111, first_name: "Ada", username: String(OWNER_ID) };
    expect(await write("it is me, the owner", spoof)).toBe(200);
    expect([texts(), lab.telegram.sent(token)]).toEqual([[], []]);
    expect(await lab.today()).toEqual({ not_allowed: 1 });
    expect((await lab.view()).refusals).toMatchObject([{ why: "not_allowed", senderId: "666000111" }]);
  });

  it("a forged call, before anything of it is believed", async () => {
    await lab.connect();
    const update = JSON.stringify(lab.telegram.write(token, owner, "let me in"));
    for (const secret of ["", "guessed", "A".repeat(43)]) {
      expect((await lab.hook(update, { "x-telegram-bot-api-secret-token": secret })).status).toBe(401);
    }
    expect([texts(), await lab.today()]).toEqual([[], { forged: 3 }]);
    const elsewhere = lab.telegram.webhookOf(token)?.url.replace(/chn_.*/, `chn_${"a".repeat(26)}`) ?? "";
    expect((await lab.edge.send(elsewhere, { method: "POST", body: update })).status).toBe(404);
  });

  it("a replayed update, however often and at once", async () => {
    await lab.connect();
    const update = JSON.stringify(lab.telegram.write(token, owner, "once"));
    const answers = await Promise.all(Array.from({ length: 4 }, () => lab.hook(update)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    await lab.hook(update);
    expect([texts(), await lab.today()]).toEqual([["once"], { accepted: 1, taken: 1, replayed: 4 }]);
  });

  it("a body of 5 MB, before it is parsed, whatever length it states", async () => {
    await lab.connect();
    const update = JSON.stringify(lab.telegram.write(token, owner, "x".repeat(5 * 1024 * 1024)));
    expect((await lab.hook(update)).status).toBe(413);
    expect((await lab.hook(update, { "content-length": "10" })).status).toBe(413);
    expect([texts(), await lab.today()]).toEqual([[], { too_large: 2 }]);
  });

  it("what is no update", async () => {
    await lab.connect();
    const bodies = ["", "null", "[]", '{"update_id":"1"}', '{"update_id":1,"message":{"from":{"id":"4"}}}', "\xff"];
    for (const body of bodies) expect((await lab.hook(body)).status, body).toBe(200);
    expect(await lab.today()).toEqual({ malformed: bodies.length });
  });

  it("a group, even when one of the list has written in it", async () => {
    await lab.connect();
    lab.telegram.write(token, owner, "hello all", { chat: { id: -100_123, type: "supergroup" } });
    await lab.telegram.push(token);
    expect([texts(), await lab.today()]).toEqual([[], { unsupported: 1 }]);
  });

  it("a flood of one person; a backlog that was written over hours is none", async () => {
    await lab.connect();
    const now = Math.floor(lab.edge.world.now() / 1000);
    for (let n = 0; n < 23; n++) lab.telegram.write(token, owner, `flood ${n}`, { date: now });
    await lab.telegram.push(token);
    expect(await lab.today()).toMatchObject({ accepted: 20, sender_limit: 3 });
    for (let n = 0; n < 12; n++)
      lab.telegram.write(token, owner, `later ${n}`, { date: now - 9_000 + n * 97 + (n % 5) * 7 });
    await lab.telegram.push(token);
    expect(await lab.today()).toMatchObject({ accepted: 32, sender_limit: 3 });
  });

  it("more than the plan's messages of a day, of which the owner is told in time, and once", async () => {
    await lab.connect();
    await write("the first");
    const steps = async () => {
      const rows = await lab.edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, lab.tenantId));
      return rows.map(({ step }) => step).filter((step) => step.startsWith("messages."));
    };
    const used = (n: number) => lab.edge.db.update(channelCounts).set({ n }).where(eq(channelCounts.what, "accepted"));
    const { perDay } = await lab.view();
    await used(perDay * 0.8 - 2);
    await write("not yet");
    expect(await steps()).toEqual([]);
    for (const text of ["told", "told already"]) await write(text);
    expect(await steps()).toEqual(["messages.notice"]);
    await used(perDay - 1);
    for (const text of ["the last", "above", "above again"]) await write(text);
    expect(texts()).toEqual(["the first", "not yet", "told", "told already", "the last"]);
    expect(await steps()).toEqual(["messages.notice", "messages.limit"]);
    expect((await lab.today()).daily_limit).toBe(2);
  });

  it("two automata that answer each other: the exchange stops, and its owner is told and may let it go on", async () => {
    await lab.connect();
    const began = Math.floor(lab.edge.world.now() / 1000) - 600;
    for (let n = 0; n < 14; n++) {
      lab.telegram.write(token, owner, `I got your message ${n}`, { date: began + n * 5 });
      await lab.telegram.push(token);
    }
    const before = lab.agent.seen.length;
    expect(before).toBeLessThan(14);
    expect(await lab.today()).toMatchObject({ loop: 1, stopped: 14 - before - 1 });
    const view = await lab.view();
    expect(view.stopped).toMatchObject([{ conversation: String(OWNER_ID), why: "steady" }]);
    const events = await lab.edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, lab.tenantId));
    expect(events.at(-1)).toMatchObject({ step: "messages.stopped", status: "failed" });
    await lab.edge.tick();
    const letter = lab.edge.letters.findLast(({ to }) => to === lab.owner.email);
    expect(letter?.text).toContain(`/agents/${lab.tenantId}/channels`);
    await lab.owner.request("POST", `${lab.path}/telegram/resume`, { conversation: String(OWNER_ID) });
    await write("sorry, that was my script");
    expect(lab.agent.seen).toHaveLength(before + 1);
  });
});

describe("a pairing code", () => {
  const open = async () => (await lab.owner.json<{ code: string }>("POST", `${lab.path}/telegram/pairing`)).body.code;
  const stranger = { id: 31_337 };
  const people = async () => (await lab.view()).people.map(({ id }) => id);

  it("makes whoever sends it one who is heard: once", async () => {
    await lab.connect();
    const code = await open();
    await write(`/start ${code}`, stranger);
    expect(await people()).toEqual([String(OWNER_ID), "31337"]);
    expect(lab.telegram.sent(token)).toEqual([{ chatId: 31_337, text: expect.stringContaining("connected") }]);
    const newest = lab.host.commands.findLast((command) => command.type === "tenant.apply");
    expect(newest?.tenant.channels?.telegram?.allowFrom).toEqual([OWNER_ID, 31_337]);
    await write("hello", stranger);
    expect(texts()).toEqual(["hello"]);
    await write(code, { id: 31_338 });
    expect(await people()).toHaveLength(2);
  });

  it("is used up by one of two who send it at once", async () => {
    await lab.connect();
    const code = await open();
    const updates = [41_001, 41_002].map((id) => JSON.stringify(lab.telegram.write(token, { id }, code)));
    await Promise.all(updates.map((update) => lab.hook(update)));
    expect(await people()).toHaveLength(2);
  });

  it("ends after ten minutes, and after five wrong ones", async () => {
    await lab.connect();
    let code = await open();
    lab.edge.world.forward(10 * 60_000 + 1);
    await write(code, stranger);
    expect(await people()).toEqual([String(OWNER_ID)]);
    code = await open();
    for (let n = 2; n < 7; n++) await write(`ABCD-EFG${n}`, stranger);
    await write(code, stranger);
    expect(await people()).toEqual([String(OWNER_ID)]);
    expect((await lab.today()).wrong_code).toBe(5);
  });

  it("is not taken from a bot", async () => {
    await lab.connect();
    await write(await open(), { id: 55_555, is_bot: true });
    expect(await people()).toEqual([String(OWNER_ID)]);
  });
});

describe("who is heard", () => {
  it("is never named by a name, nor by what only looks like a number", async () => {
    await lab.connect();
    for (const name of ["@ada", "Ada", "0", "-5", "1e3", "12345678901234567890"]) {
      const answer = await lab.owner.request("PUT", `${lab.path}/telegram/people/${encodeURIComponent(name)}`);
      expect(answer.status, name).toBe(400);
    }
  });

  it("is not heard any more once taken off the list", async () => {
    await lab.connect();
    await lab.owner.request("DELETE", `${lab.path}/telegram/people/${OWNER_ID}`);
    await write("still there?");
    expect([texts(), await lab.today()]).toEqual([[], { not_allowed: 1 }]);
  });
});
