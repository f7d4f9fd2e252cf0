import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { channels, secrets } from "../../schema/db/index.ts";
import { Client } from "../testing/edge.ts";
import { type Lab, OWNER_ID, startLab } from "./testing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ isEarly: true });
});
beforeEach(async () => {
  lab = await lab.another();
});

describe("a bot that its owner connects", () => {
  it("is asked who it is, and sends here with a secret of its own from then on", async () => {
    const channel = await lab.connect();
    expect(channel).toMatchObject({ kind: "telegram", account: "@ada_bot", state: "connected", failure: null });
    const webhook = lab.telegram.webhookOf(lab.token);
    expect(webhook?.url).toMatch(/^https:\/\/chelar\.example\/hooks\/telegram\/chn_[a-z2-7]{26}$/);
    expect(webhook?.secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const newest = lab.host.commands.findLast((command) => command.type === "tenant.apply");
    expect(newest?.tenant.channels).toEqual({ telegram: { webhookUrl: webhook?.url, allowFrom: [OWNER_ID] } });
    const rows = JSON.stringify(await lab.edge.db.select().from(secrets).where(eq(secrets.tenantId, lab.tenantId)));
    expect(rows).not.toContain(lab.token.split(":")[1]);
    expect(rows).not.toContain(webhook?.secret);
  });

  it("is refused at the field when Telegram does not know its lab.token, and tried again while Telegram is busy", async () => {
    const unknown = await lab.owner.json("PUT", `${lab.path}/telegram`, { token: `999${lab.token}`.slice(0, 46) });
    expect(unknown).toMatchObject({ status: 422, body: { code: "invalid_secret", field: "token" } });
    lab.telegram.busy(lab.token, 1);
    expect((await lab.owner.json("PUT", `${lab.path}/telegram`, { token: lab.token })).status).toBe(429);
    await lab.owner.json("PUT", `${lab.path}/telegram`, { token: lab.token });
    expect((await lab.view()).state).toBe("connected");
  });

  it("speaks for one agent only, and not for somebody else's", async () => {
    await lab.connect();
    const second = (await lab.owner.create()).body.id;
    const taken = await lab.owner.json("PUT", `/api/v1/tenants/${second}/channels/telegram`, { token: lab.token });
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
    await lab.write("still waiting");
    expect((await lab.owner.request("DELETE", `${lab.path}/telegram`)).status).toBe(202);
    expect(lab.telegram.webhookOf(lab.token)).toBeNull();
    expect(await lab.edge.db.select().from(secrets).where(eq(secrets.name, "TELEGRAM_BOT_TOKEN"))).not.toContainEqual(
      expect.objectContaining({ tenantId: lab.tenantId }),
    );
    expect((await lab.owner.json<{ channels: [] }>("GET", lab.path)).body.channels).toEqual([]);
  });

  it("is told to stop when its agent is deleted, and what it still sends finds nobody", async () => {
    await lab.connect();
    const hook = lab.telegram.webhookOf(lab.token)?.url ?? "";
    await lab.owner.request("DELETE", `/api/v1/tenants/${lab.tenantId}`);
    expect(lab.telegram.webhookOf(lab.token)).toBeNull();
    expect((await lab.edge.send(hook, { method: "POST", body: "{}" })).status).toBe(404);
    await lab.edge.tick();
    expect(await lab.edge.db.select().from(channels).where(eq(channels.tenantId, lab.tenantId))).toEqual([]);
  });
});

describe("a pairing code", () => {
  const open = async () => (await lab.owner.json<{ code: string }>("POST", `${lab.path}/telegram/pairing`)).body.code;
  const stranger = { id: 31_337 };
  const people = async () => (await lab.view()).people.map(({ id }) => id);

  it("makes whoever sends it one who is heard: once", async () => {
    await lab.connect();
    const code = await open();
    await lab.write(`/start ${code}`, stranger);
    expect(await people()).toEqual([String(OWNER_ID), "31337"]);
    expect(lab.telegram.sent(lab.token)).toEqual([{ chatId: 31_337, text: expect.stringContaining("connected") }]);
    const newest = lab.host.commands.findLast((command) => command.type === "tenant.apply");
    expect(newest?.tenant.channels?.telegram?.allowFrom).toEqual([OWNER_ID, 31_337]);
    await lab.write("hello", stranger);
    expect(lab.texts()).toEqual(["hello"]);
    await lab.write(code, { id: 31_338 });
    expect(await people()).toHaveLength(2);
  });

  it("is used up by one of two who send it at once", async () => {
    await lab.connect();
    const code = await open();
    const updates = [41_001, 41_002].map((id) => JSON.stringify(lab.telegram.write(lab.token, { id }, code)));
    await Promise.all(updates.map((update) => lab.hook(update)));
    expect(await people()).toHaveLength(2);
  });

  it("ends after ten minutes, and after five wrong ones", async () => {
    await lab.connect();
    let code = await open();
    lab.edge.world.forward(10 * 60_000 + 1);
    await lab.write(code, stranger);
    expect(await people()).toEqual([String(OWNER_ID)]);
    code = await open();
    for (let n = 2; n < 7; n++) await lab.write(`ABCD-EFG${n}`, stranger);
    await lab.write(code, stranger);
    expect(await people()).toEqual([String(OWNER_ID)]);
    expect((await lab.today()).wrong_code).toBe(5);
  });

  it("is not taken from a bot", async () => {
    await lab.connect();
    await lab.write(await open(), { id: 55_555, is_bot: true });
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
    await lab.write("still there?");
    expect([lab.texts(), await lab.today()]).toEqual([[], { not_allowed: 1 }]);
  });
});
