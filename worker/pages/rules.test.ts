import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STEPS } from "../../schema/protocol/index.ts";
import type { TenantEvent } from "./deps.ts";
import { agentView } from "./in-memory.ts";
import { fortOf, isMilestone, progressOf, safeNext, storyOf } from "./rules.ts";

const event = (step: string, status: TenantEvent["status"], more: Partial<TenantEvent> = {}): TenantEvent => ({
  id: 1,
  generation: 1,
  at: "2026-11-22T09:00:00.000Z",
  step,
  status,
  detail: null,
  fraction: null,
  tookMs: null,
  ...more,
});
const stepsOf = (story: ReturnType<typeof storyOf>) => story.map(({ step, state }) => `${step} ${state}`);

describe("where sign-in may lead", () => {
  it.each(["/agents", "/authorize?host=a.agents.localhost&to=%2Fx", "/agents/tnt_a#walls", "/a//b", "/?x=//y"])(
    "leads to %s",
    (next) => expect(safeNext(next)).toBe(next),
  );

  it.each([
    undefined,
    "",
    "agents",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "/x\\..\\y",
    "/\t/evil.example",
    "/\n/evil.example",
    " /agents",
    "https://evil.example/",
    "javascript:alert(1)",
    "/.//evil.example",
    "/..//evil.example",
    "/%zz\u0000",
    "/ä",
    `/${"a".repeat(2_001)}`,
  ])("refuses %j", (next) => expect(safeNext(next)).toBeNull());

  it("never leads to another origin, whatever is given", () => {
    const parts = fc.constantFrom(
      "/",
      "\\",
      ".",
      "..",
      "evil.example",
      "@",
      ":",
      "?",
      "#",
      "%2f",
      "%5c",
      "\t",
      " ",
      "a",
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 8 }), (given) => {
        const next = safeNext(`/${given.join("")}`);
        if (next !== null) expect(new URL(next, "https://chelar.example").origin).toBe("https://chelar.example");
      }),
    );
  });
});

describe("the story of an agent", () => {
  it("lists what is still to come while it is being built", () => {
    const view = agentView({ state: "creating" });
    const story = storyOf(view, [event("accept", "done"), event("uid", "started")]);
    expect(stepsOf(story).slice(0, 4)).toEqual(["accept done", "image waiting", "uid doing", "volume waiting"]);
    expect(story).toHaveLength(10);
  });

  it("keeps only what was reported once nothing moves any more", () => {
    const story = storyOf(agentView(), [event("accept", "done"), event("route", "done")]);
    expect(stepsOf(story)).toEqual(["accept done", "route done"]);
  });

  it("tells nothing of an earlier generation and nothing of the owner's own actions", () => {
    const view = agentView({ generation: 2, state: "stopped", desired: "stopped" });
    const story = storyOf(view, [event("route", "done"), event("owner.stop", "done", { generation: 2 })]);
    expect(story).toEqual([]);
  });

  it("shows the building of the image that the host reports for all its agents", () => {
    const view = agentView({ state: "pending", image: { state: "building", fraction: 0.4, detail: "Packages" } });
    expect(storyOf(view, []).find(({ step }) => step === "image")).toMatchObject({
      state: "doing",
      fraction: 0.4,
      detail: "Packages",
    });
  });

  it("shows steps that these pages do not expect, instead of dropping them", () => {
    const story = storyOf(agentView(), [event("remove_container", "done"), event("something_new", "failed")]);
    expect(stepsOf(story)).toEqual(["remove_container done", "something_new failed"]);
  });

  it("never claims more than all or less than nothing of the way", () => {
    const status = fc.constantFrom("started", "progress", "done", "failed" as const);
    const steps = fc.array(fc.tuple(fc.constantFrom(...STEPS), status, fc.double({ min: 0, max: 1, noNaN: true })));
    fc.assert(
      fc.property(steps, (given) => {
        const events = given.map(([step, is, fraction]) => event(step, is, { fraction }));
        const progress = progressOf(storyOf(agentView({ state: "creating" }), events));
        expect(progress).toBeGreaterThanOrEqual(0);
        expect(progress).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe("the drawing of an agent", () => {
  it("raises a wall only when every step that raises it is done", () => {
    const view = agentView({ state: "creating" });
    const halfway = [event("network", "done"), event("firewall", "started")];
    expect(fortOf(view, storyOf(view, halfway)).walls[3]).toBe("rising");
    const done = [...halfway, event("firewall", "done")];
    expect(fortOf(view, storyOf(view, done)).walls).toEqual({ 3: "standing", 4: "planned", 5: "planned" });
  });

  it("shows the wall that could not be raised as broken, and no light", () => {
    const view = agentView({ state: "failed" });
    const fort = fortOf(view, storyOf(view, [event("network", "done"), event("firewall", "failed")]));
    expect(fort).toEqual({ walls: { 3: "broken", 4: "planned", 5: "planned" }, lamp: false });
  });

  it("lights the lamp for a running agent only", () => {
    const states = [
      "pending",
      "creating",
      "suspended",
      "stopped",
      "failed",
      "stopping",
      "deleting",
      "deleted",
    ] as const;
    for (const state of states) expect(fortOf(agentView({ state }), []).lamp).toBe(false);
    expect(fortOf(agentView(), []).lamp).toBe(true);
  });
});

it("lists the owner's actions, their ends and every failure as events, and no passing step", () => {
  const events = [event("owner.stop", "done"), event("volume", "done"), event("route", "started")];
  expect(events.map(isMilestone)).toEqual([true, false, false]);
  expect([event("route", "done"), event("volume", "failed")].every(isMilestone)).toBe(true);
});
