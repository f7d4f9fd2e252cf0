import { beforeEach, describe, expect, it } from "vitest";
import { agentView } from "./in-memory.ts";
import { errorAt, ID, type Visit, visit } from "./visiting.ts";

let ada: Visit;
beforeEach(() => {
  ada = visit();
});
const text = async (path: string) => (await ada.get(path)).text();

describe("one agent", () => {
  it("offers what makes sense in its state and nothing else", async () => {
    const offered = async (change: Parameters<typeof agentView>[0]) => {
      ada.own(change);
      const html = await text(`/agents/${ID}`);
      return ["start", "stop", "restart", "delete"].filter((act) => html.includes(`action="/agents/${ID}/${act}"`));
    };
    expect(await offered({ state: "running" })).toEqual(["stop", "restart", "delete"]);
    expect(await offered({ state: "stopped", desired: "stopped" })).toEqual(["start", "delete"]);
    expect(await offered({ state: "failed" })).toEqual(["stop", "restart", "delete"]);
    expect(await offered({ state: "deleting", desired: "deleted" })).toEqual([]);
  });

  it("can be opened only while it runs", async () => {
    ada.own();
    expect(await text(`/agents/${ID}`)).toContain(`href="${agentView().url}"`);
    ada.own({ state: "stopped", desired: "stopped" });
    expect(await text(`/agents/${ID}`)).not.toContain(`href="${agentView().url}"`);
  });

  it.each(["start", "stop", "restart"])("takes %s from a plain form and is shown again", async (action) => {
    ada.own();
    const answer = await ada.post(`/agents/${ID}/${action}`, {});
    expect([answer.status, answer.headers.get("location")]).toEqual([303, `/agents/${ID}`]);
    expect(ada.world.acted).toEqual([{ id: ID, action }]);
  });

  it("is deleted only when its name was typed", async () => {
    ada.own();
    const refused = await ada.post(`/agents/${ID}/delete`, { confirm: "ada" });
    expect(refused.status).toBe(422);
    expect(await refused.clone().text()).toMatch(/<details class="danger" open/);
    expect(await errorAt(refused, "confirm")).toContain("This is not its name");
    expect(ada.world.acted).toEqual([]);
    expect((await ada.post(`/agents/${ID}/delete`, { confirm: "ada-helper" })).status).toBe(303);
    expect(ada.world.acted).toEqual([{ id: ID, action: "delete" }]);
  });

  it("of someone else is not there at all", async () => {
    ada.world.agents.set(ID, { ...agentView(), ownerId: "usr_2" });
    for (const answer of [await ada.get(`/agents/${ID}`), await ada.post(`/agents/${ID}/stop`, {})]) {
      expect(answer.status).toBe(404);
      expect(await answer.text()).not.toContain("ada-helper");
    }
    expect(ada.world.acted).toEqual([]);
  });

  it("says why a button did nothing", async () => {
    ada.own({ state: "deleting", desired: "deleted" });
    const answer = await ada.post(`/agents/${ID}/stop`, {});
    expect(answer.status).toBe(409);
    expect(await answer.text()).toContain("This agent is being deleted");
  });

  it("shows the newest of a long story and follows on from there", async () => {
    ada.own({ state: "creating" });
    const common = { generation: 1, at: "2026-11-22T09:00:00Z", detail: null, fraction: null, tookMs: 3 };
    // More than one read of the service brings.
    const story = Array.from({ length: 700 }, (_, index) => ({
      ...common,
      id: index + 1,
      step: "uid",
      status: index === 699 ? ("done" as const) : ("progress" as const),
    }));
    ada.world.events.set(ID, story);
    const html = await text(`/agents/${ID}`);
    expect(html).toContain(`data-stream="/api/v1/tenants/${ID}/events?after=700"`);
    expect(html).toContain("Own identity given");
  });
});
