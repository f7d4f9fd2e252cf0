import { afterEach, expect, test, vi } from "vitest";
import { createGuard, type Drift, type Guard, type Wall } from "./guard.ts";

let guard: Guard | undefined;
afterEach(() => guard?.stop());

function wallOf(name: string) {
  const wall = {
    name,
    broken: [] as string[],
    repairs: 0,
    /** Set: the repair does not help. */
    stuck: false,
    looks: 0,
    verify: async () => {
      wall.looks++;
      return [...wall.broken];
    },
    repair: async () => {
      wall.repairs++;
      const found = wall.broken;
      if (!wall.stuck) wall.broken = [];
      return found;
    },
  };
  return wall satisfies Wall;
}

const build = (walls: Wall[], rest: Partial<Parameters<typeof createGuard>[0]> = {}) => {
  const drifts: Drift[] = [];
  guard = createGuard({ walls, intervalMs: 1_000_000, quietMs: 0, onDrift: (drift) => drifts.push(drift), ...rest });
  return { guard, drifts };
};

test("stands only after every wall was verified, and setting up is no drift", async () => {
  const [iptables, ufw] = [wallOf("iptables"), wallOf("ufw")];
  iptables.broken = ["chain missing"];
  const { guard, drifts } = build([iptables, ufw]);
  expect(guard.state().standing).toBe(false);
  await guard.start();
  expect(guard.state()).toEqual({ standing: true, drifts: 0, checks: 0 });
  expect(drifts).toEqual([]);
});

test("does not start while a wall cannot be made to stand", async () => {
  const wall = wallOf("iptables");
  wall.broken = ["chain missing"];
  wall.stuck = true;
  const { guard } = build([wall]);
  await expect(guard.start()).rejects.toThrow("chain missing");
  expect(guard.state().standing).toBe(false);
});

test("goes on guarding when the walls did not stand at the start", async () => {
  const wall = wallOf("iptables");
  wall.broken = ["Docker is writing"];
  wall.stuck = true;
  const { guard } = build([wall], { intervalMs: 5 });
  await expect(guard.start()).rejects.toThrow("Docker is writing");
  wall.stuck = false;
  await vi.waitFor(() => expect(guard.state().standing).toBe(true));
});

test("repairs what drifted, counts it once and says what it was", async () => {
  const wall = wallOf("iptables");
  const { guard, drifts } = build([wall]);
  await guard.start();
  wall.broken = ["rule 1", "rule 2"];
  expect(await guard.check()).toEqual({ standing: true, drifts: 1, checks: 1 });
  expect(drifts).toEqual([
    { wall: "iptables", differences: ["rule 1", "rule 2"], repairMs: expect.any(Number), failure: null },
  ]);
  expect(await guard.check()).toEqual({ standing: true, drifts: 1, checks: 2 });
  expect(guard.driftsByWall()).toEqual({ iptables: 1 });
});

test("what the engine takes out for a moment and puts back by itself is nobody's drift", async () => {
  const wall = wallOf("iptables");
  const { guard, drifts } = build([wall]);
  await guard.start();
  wall.broken = ["FORWARD does not begin with its jump"];
  const { verify } = wall;
  wall.verify = async () => {
    const found = await verify();
    wall.broken = [];
    return found;
  };
  expect(await guard.check()).toEqual({ standing: true, drifts: 0, checks: 1 });
  expect(drifts).toEqual([]);
});

test("what may be the engine's work half done is left to it, and repaired when it stays or when more is wrong", async () => {
  const wall = { ...wallOf("iptables"), passing: (found: readonly string[]) => found.join() === "Docker's jump" };
  let looks: string[][] = [];
  wall.verify = async () => looks.shift() ?? [];
  wall.repair = async () => {
    wall.repairs++;
    return ["Docker's jump"];
  };
  const { guard } = build([wall], { pausesMs: [0, 0] });
  await guard.start();
  const after = async (...seen: string[][]) => {
    looks = seen;
    wall.repairs = 0;
    const { drifts } = await guard.check();
    return { drifts, repairs: wall.repairs };
  };
  const jump = ["Docker's jump"];
  expect(await after(jump, jump)).toEqual({ drifts: 0, repairs: 0 });
  expect(await after(jump, jump, jump)).toEqual({ drifts: 1, repairs: 1 });
  expect(await after([...jump, "a rule of ours"])).toEqual({ drifts: 2, repairs: 1 });
});

test("a plan that changes between two looks is nobody's drift, and waits for the look under way", async () => {
  const wall = wallOf("iptables");
  const { guard, drifts } = build([wall]);
  await guard.start();
  const order: string[] = [];
  const verify = wall.verify;
  wall.verify = async () => {
    order.push("look");
    return verify();
  };
  const looking = guard.check();
  await guard.between(async () => {
    order.push("change");
    wall.broken = ["an older plan's rule"];
    await wall.repair();
  });
  await looking;
  await guard.check();
  expect(order).toEqual(["look", "change", "look"]);
  expect(drifts).toEqual([]);
});

test("says that nothing may start while a repair fails, keeps the other walls, and recovers", async () => {
  const [broken, other] = [wallOf("iptables"), wallOf("ufw")];
  const { guard, drifts } = build([broken, other]);
  await guard.start();
  Object.assign(broken, { broken: ["gone"], stuck: true });
  other.broken = ["opened"];
  expect((await guard.check()).standing).toBe(false);
  // Told once, not at every look.
  expect(await guard.check()).toEqual({ standing: false, drifts: 2, checks: 2 });
  expect(other.broken).toEqual([]);
  expect(drifts.map(({ wall, failure }) => [wall, failure])).toEqual([
    ["iptables", "Error: still after the repair: gone"],
    ["ufw", null],
  ]);
  broken.stuck = false;
  expect((await guard.check()).standing).toBe(true);
});

test("an event brings one look, however many arrive at once", async () => {
  const wall = wallOf("iptables");
  let changed = () => {};
  const stopWatch = vi.fn();
  const { guard } = build([wall], {
    watches: [
      (listener) => {
        changed = listener;
        return stopWatch;
      },
    ],
  });
  await guard.start();
  wall.broken = ["flushed"];
  for (let i = 0; i < 100; i++) changed();
  await vi.waitFor(() => expect(guard.state()).toMatchObject({ drifts: 1, checks: 1, standing: true }));
  await guard.stop();
  expect(stopWatch).toHaveBeenCalledOnce();
});

test("looks by itself when no event tells it", async () => {
  const wall = wallOf("iptables");
  const { guard } = build([wall], { intervalMs: 5 });
  await guard.start();
  wall.broken = ["flushed"];
  await vi.waitFor(() => expect(guard.state().drifts).toBe(1));
  await vi.waitFor(() => expect(guard.state().checks).toBeGreaterThan(2));
});

test("looks never overlap", async () => {
  let inside = 0;
  let most = 0;
  const wall: Wall = {
    name: "slow",
    verify: async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 2));
      inside--;
      return [];
    },
    repair: async () => [],
  };
  const { guard } = build([wall], { intervalMs: 1 });
  await guard.start();
  await Promise.all(Array.from({ length: 20 }, () => guard.check()));
  await guard.check();
  expect(most).toBe(1);
});
