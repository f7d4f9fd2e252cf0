import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { channelMessages, tenants } from "../../schema/db/index.ts";
import { dueConversations } from "./queue.ts";
import { type Lab, startLab } from "./testing.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ isEarly: true });
});
beforeEach(async () => {
  lab = await lab.another();
});

describe("a message", () => {
  it("is handed over byte for byte, with a token that names this agent and place, and leaves no text behind", async () => {
    await lab.connect();
    expect(await lab.write("good morning ☀")).toBe(200);
    expect(lab.texts()).toEqual(["good morning ☀"]);
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
    for (const text of ["one", "two", "three"]) expect(await lab.write(text)).toBe(200);
    const rows = await lab.edge.db.select().from(channelMessages).where(eq(channelMessages.state, "waiting"));
    expect(JSON.stringify(rows)).not.toMatch(/one|two|three|Somebody/);
    expect((await lab.view()).waiting).toBe(3);
    lab.agent.fails = null;
    lab.edge.world.forward(11 * 60_000);
    await lab.edge.tick();
    expect(lab.texts()).toEqual(["one", "two", "three"]);
  });

  it("is handed over again when the agent dies before it has answered, and nothing overtakes it", async () => {
    await lab.connect();
    let deaths = 2;
    lab.agent.fails = ({ message }) => (message.text === "one" && deaths-- > 0 ? "dies_after_taking" : null);
    await lab.write("one");
    await lab.write("two");
    expect(lab.texts()).toEqual(["one", "one", "one", "two"]);
    expect(new Set(lab.agent.seen.map(({ update_id }) => update_id)).size).toBe(2);
  });

  it("is not overtaken while it fails, nor gone before the agent says that it has it", async () => {
    await lab.connect();
    for (const how of ["away", "says_nothing"] as const) {
      lab.agent.fails = ({ message }) => (message.text === `one ${how}` ? how : null);
      await lab.write(`one ${how}`);
      await lab.write(`two ${how}`);
      expect([lab.texts(), (await lab.view()).waiting], how).toEqual([[], 2]);
      lab.agent.fails = null;
      lab.edge.world.forward(11 * 60_000);
      await lab.edge.tick();
      expect(lab.agent.seen.splice(0).map(({ message }) => message.text)).toEqual([`one ${how}`, `two ${how}`]);
    }
  });

  it("that the agent itself refuses is given up, so that those behind it come", async () => {
    await lab.connect();
    lab.agent.fails = ({ message }) => (message.text === "poison" ? "refuses" : null);
    await lab.write("poison");
    await lab.write("after it");
    for (let turn = 0; turn < 3; turn++) {
      lab.edge.world.forward(11 * 60_000);
      await lab.edge.tick();
    }
    expect(lab.texts()).toEqual(["after it"]);
    expect(await lab.today()).toMatchObject({ accepted: 2, taken: 1, not_taken: 1 });
  });

  it("of an agent that is not meant to run is not even looked at", async () => {
    const channel = await lab.connect();
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/stop`);
    await lab.write("for later");
    const due = () => dueConversations(lab.edge.db, null, lab.edge.world.now(), 10);
    expect([channel.kind, await due()]).toEqual(["telegram", []]);
    await lab.edge.db.update(tenants).set({ desired: "running" }).where(eq(tenants.id, lab.tenantId));
    expect(await due()).toHaveLength(1);
    await lab.edge.db.update(tenants).set({ desired: "stopped" }).where(eq(tenants.id, lab.tenantId));
  });

  it("waits for an agent that its owner has stopped, for a day and no longer", async () => {
    await lab.connect();
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/stop`);
    await lab.write("for later");
    await lab.edge.tick();
    expect([lab.texts(), (await lab.view()).waiting]).toEqual([[], 1]);
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/start`);
    await lab.edge.tick();
    expect(lab.texts()).toEqual(["for later"]);
    await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/stop`);
    await lab.write("too late");
    lab.edge.world.forward(25 * 3_600_000);
    await lab.edge.tick();
    expect([(await lab.today()).expired, (await lab.view()).waiting]).toEqual([1, 0]);
  });
});
