import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ContainerFacts } from "./ports.ts";
import { CHAINS, type ChainStep, CRASH_WINDOW_MS, decide, hopeless, readySteps, type Situation } from "./rules.ts";

const goals = Object.keys(CHAINS) as (keyof typeof CHAINS)[];

/** Ends the steps of a chain in an order that `picks` chooses; returns in which order they began and ended. */
function play(goal: keyof typeof CHAINS, picks: readonly number[]): { began: ChainStep[]; ended: ChainStep[] } {
  const began: ChainStep[] = [];
  const ended: ChainStep[] = [];
  for (let turn = 0; ; turn++) {
    began.push(...readySteps(CHAINS[goal], new Set(began), new Set(ended)));
    const running = began.filter((step) => !ended.includes(step));
    if (running.length === 0) return { began, ended };
    ended.push(running[(picks[turn] ?? 0) % running.length] as ChainStep);
    const [last] = ended.slice(-1);
    for (const step of began) {
      const needed = CHAINS[goal][step] ?? [];
      if (step === last) expect(needed.every((one) => ended.includes(one))).toBe(true);
    }
  }
}

describe("chains", () => {
  test("come to their end in whatever order the steps finish, each step once", () => {
    fc.assert(
      fc.property(fc.constantFrom(...goals), fc.array(fc.nat()), (goal, picks) => {
        const { ended } = play(goal, picks);
        expect([...ended].sort()).toEqual(Object.keys(CHAINS[goal]).sort());
      }),
    );
  });

  test.each([
    ["running", "health", ["firewall", "network", "container", "volume", "config", "image", "uid"]],
    ["running", "route", ["health"]],
    ["stopped", "stop", ["unroute"]],
    ["purged", "remove_volume", ["remove_container", "stop"]],
    ["purged", "remove_network", ["remove_container"]],
    ["purged", "forget", ["remove_volume", "remove_network"]],
  ] as const)("on the way to %s never begin %s before %j", (goal, step, before) => {
    const needs = (one: ChainStep): ChainStep[] => (CHAINS[goal][one] ?? []).flatMap((need) => [need, ...needs(need)]);
    expect(needs(step)).toEqual(expect.arrayContaining([...before]));
  });
});

const container = (change: Partial<ContainerFacts> = {}): ContainerFacts => ({
  tenantId: "tnt_x",
  containerId: "c",
  running: true,
  exitCode: null,
  oomKilled: false,
  startedAt: "",
  planHash: "p",
  restarts: 0,
  ...change,
});
const dead = container({ running: false, exitCode: 1 });
const settled: Situation = {
  goal: "running",
  generation: 3,
  state: "running",
  stateGeneration: 3,
  restarts: 0,
  firstLook: false,
  asleep: null,
  container: container(),
};

test.each<[string, Partial<Situation>, ReturnType<typeof decide>]>([
  ["rests while what is wanted runs", {}, "rest"],
  ["looks once at everything after a start of the agent", { firstLook: true }, "confirm"],
  ["confirms a new generation that changes nothing for the container", { generation: 4 }, "confirm"],
  ["recovers what stopped by itself", { container: dead }, "recover"],
  ["recovers what vanished", { container: null }, "recover"],
  ["starts what a reboot ended, without calling it a crash", { container: dead, firstLook: true }, "apply"],
  ["restarts when the owner asks", { restarts: 1, generation: 4 }, "apply"],
  ["goes on with a creation", { state: "creating", container: null }, "apply"],
  ["goes on with a creation whose container already runs", { state: "creating" }, "apply"],
  ["lets what failed rest", { state: "failed", container: dead }, "rest"],
  [
    "tries what failed again after a start of the agent",
    { state: "failed", container: dead, firstLook: true },
    "apply",
  ],
  ["tries what failed again at the owner's next word", { state: "failed", container: dead, generation: 4 }, "apply"],
  ["stops", { goal: "stopped", generation: 4 }, "apply"],
  ["rests when it is stopped", { goal: "stopped", state: "stopped", container: null }, "rest"],
  ["removes a container that should not be there", { goal: "stopped", state: "stopped", container: dead }, "apply"],
  ["rests when it is suspended", { goal: "suspended", state: "suspended", container: dead }, "rest"],
  ["stops a suspended one that somebody started", { goal: "suspended", state: "suspended" }, "apply"],
  ["purges", { goal: "purged", generation: 4 }, "apply"],
  ["rests in the grave", { goal: "purged", state: "purged", container: null }, "rest"],
])("%s", (_, change, decision) => {
  expect(decide({ ...settled, ...change })).toBe(decision);
});

test("gives up on five crashes in two minutes, and not on five in a week", () => {
  const now = 10 * CRASH_WINDOW_MS;
  const crashes = (everyMs: number) => Array.from({ length: 5 }, (_, index) => now - index * everyMs);
  expect(hopeless(crashes(CRASH_WINDOW_MS / 4), 0, now)).toBe(true);
  expect(hopeless(crashes(CRASH_WINDOW_MS / 3), 0, now)).toBe(false);
  expect(hopeless([], 5, now)).toBe(true);
  expect(hopeless([], 4, now)).toBe(false);
});
