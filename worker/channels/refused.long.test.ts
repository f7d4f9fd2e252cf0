import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { channelCounts, tenantEvents } from "../../schema/db/index.ts";
import { type Lab, OWNER_ID, startLab } from "./testing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ isEarly: true });
});
beforeEach(async () => {
  lab = await lab.another();
});

const owner = { id: OWNER_ID };

describe("what is refused, and counted", () => {
  it("a stranger, whatever they call themselves", async () => {
    await lab.connect();
    const spoof = { id: 666_000_111, first_name: "Ada", username: String(OWNER_ID) };
    expect(await lab.write("it is me, the owner", spoof)).toBe(200);
    expect([lab.texts(), lab.telegram.sent(lab.token)]).toEqual([[], []]);
    expect(await lab.today()).toEqual({ not_allowed: 1 });
    expect((await lab.view()).refusals).toMatchObject([{ why: "not_allowed", senderId: "666000111" }]);
  });

  it("a forged call, before anything of it is believed", async () => {
    await lab.connect();
    const update = JSON.stringify(lab.telegram.write(lab.token, owner, "let me in"));
    for (const secret of ["", "guessed", "A".repeat(43)]) {
      expect((await lab.hook(update, { "x-telegram-bot-api-secret-token": secret })).status).toBe(401);
    }
    expect([lab.texts(), await lab.today()]).toEqual([[], { forged: 3 }]);
    const elsewhere = lab.telegram.webhookOf(lab.token)?.url.replace(/chn_.*/, `chn_${"a".repeat(26)}`) ?? "";
    expect((await lab.edge.send(elsewhere, { method: "POST", body: update })).status).toBe(404);
  });

  it("a replayed update, however often and at once", async () => {
    await lab.connect();
    const update = JSON.stringify(lab.telegram.write(lab.token, owner, "once"));
    const answers = await Promise.all(Array.from({ length: 4 }, () => lab.hook(update)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    await lab.hook(update);
    expect([lab.texts(), await lab.today()]).toEqual([["once"], { accepted: 1, taken: 1, replayed: 4 }]);
  });

  it("a body of 5 MB, before it is parsed, whatever length it states", async () => {
    await lab.connect();
    const update = JSON.stringify(lab.telegram.write(lab.token, owner, "x".repeat(5 * 1024 * 1024)));
    expect((await lab.hook(update)).status).toBe(413);
    expect((await lab.hook(update, { "content-length": "10" })).status).toBe(413);
    expect([lab.texts(), await lab.today()]).toEqual([[], { too_large: 2 }]);
  });

  it("what is no update", async () => {
    await lab.connect();
    const bodies = ["", "null", "[]", '{"update_id":"1"}', '{"update_id":1,"message":{"from":{"id":"4"}}}', "\xff"];
    for (const body of bodies) expect((await lab.hook(body)).status, body).toBe(200);
    expect(await lab.today()).toEqual({ malformed: bodies.length });
  });

  it("a group, even when one of the list has written in it", async () => {
    await lab.connect();
    lab.telegram.write(lab.token, owner, "hello all", { chat: { id: -100_123, type: "supergroup" } });
    await lab.telegram.push(lab.token);
    expect([lab.texts(), await lab.today()]).toEqual([[], { unsupported: 1 }]);
  });

  it("a flood of one person; a backlog that was written over hours is none", async () => {
    await lab.connect();
    const now = Math.floor(lab.edge.world.now() / 1000);
    for (let n = 0; n < 23; n++) lab.telegram.write(lab.token, owner, `flood ${n}`, { date: now });
    await lab.telegram.push(lab.token);
    expect(await lab.today()).toMatchObject({ accepted: 20, sender_limit: 3 });
    for (let n = 0; n < 12; n++)
      lab.telegram.write(lab.token, owner, `later ${n}`, { date: now - 9_000 + n * 97 + (n % 5) * 7 });
    await lab.telegram.push(lab.token);
    expect(await lab.today()).toMatchObject({ accepted: 32, sender_limit: 3 });
  });

  it("more than the plan's messages of a day, of which the owner is told in time, and once", async () => {
    await lab.connect();
    await lab.write("the first");
    const steps = async () => {
      const rows = await lab.edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, lab.tenantId));
      return rows.map(({ step }) => step).filter((step) => step.startsWith("messages."));
    };
    const used = (n: number) => lab.edge.db.update(channelCounts).set({ n }).where(eq(channelCounts.what, "accepted"));
    const { perDay } = await lab.view();
    await used(perDay * 0.8 - 2);
    await lab.write("not yet");
    expect(await steps()).toEqual([]);
    for (const text of ["told", "told already"]) await lab.write(text);
    expect(await steps()).toEqual(["messages.notice"]);
    await used(perDay - 1);
    for (const text of ["the last", "above", "above again"]) await lab.write(text);
    expect(lab.texts()).toEqual(["the first", "not yet", "told", "told already", "the last"]);
    expect(await steps()).toEqual(["messages.notice", "messages.limit"]);
    expect((await lab.today()).daily_limit).toBe(2);
  });

  it("two automata that answer each other: the exchange stops, and its owner is told and may let it go on", async () => {
    await lab.connect();
    const began = Math.floor(lab.edge.world.now() / 1000) - 600;
    for (let n = 0; n < 14; n++) {
      lab.telegram.write(lab.token, owner, `I got your message ${n}`, { date: began + n * 5 });
      await lab.telegram.push(lab.token);
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
    await lab.write("sorry, that was my script");
    expect(lab.agent.seen).toHaveLength(before + 1);
  });
});
