import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { migrate } from "../stack/migrate.ts";
import { type RunningSqld, startSqld } from "../stack/sqld.ts";
import { type Promises, steps } from "./model/commands.ts";
import { type ModelWorld, type Row, startModelWorld } from "./model/world.ts";

/** As many runs as fit, unless CHELAR_MODEL_RUNS says how many: 1000 for a long night. */
const RUNS = process.env.CHELAR_MODEL_RUNS;
const BUDGET_MS = 8_000;

let sqld: RunningSqld;
const directory = mkdtempSync(join(tmpdir(), "chelar-model-"));
beforeAll(async () => {
  sqld = await startSqld({ dir: join(directory, "sqld") });
  await migrate(sqld.url, sqld.authToken);
});
beforeEach(() => {
  // A host whose clock is wrong is refused many times.
  vi.spyOn(console, "warn").mockImplementation(() => {});
});
afterAll(async () => {
  await sqld?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const agrees = (row: Row) =>
  row.observedGeneration === row.generation && (row.desired === "deleted" ? row.purged : row.observed === row.desired);

/** Everything is sound again, and time passes: what was promised must come true by itself. */
async function settle(world: ModelWorld): Promise<Row[]> {
  world.hostClock(0);
  const deadline = Date.now() + 15_000;
  for (;;) {
    await world.startAgent();
    await world.tick();
    await world.round();
    await sleep(5);
    const rows = await world.rows();
    // A container that has just died is started again before its host says anything else.
    const wanted = rows.filter(({ desired }) => desired === "running").map(({ id }) => id);
    const atRest = wanted.every((id) => isServed(world, id));
    if ((rows.every(agrees) && atRest) || Date.now() > deadline) return rows;
  }
}
const isServed = ({ machine }: ModelWorld, id: string) =>
  machine.containers.get(id)?.running === true && [...machine.routes.values()].some((route) => route.tenantId === id);

test("edge and host keep every promise through any interleaving of wishes and faults", {
  timeout: 600_000,
}, async () => {
  let run = 0;
  const commands = fc.commands(steps(), { size: "+1", maxCommands: 40 });
  const property = fc.asyncProperty(commands, async (plan) => {
    const world = await startModelWorld(sqld, join(directory, `journal-${run++}.db`));
    const promises: Promises = { agents: [] };
    try {
      await world.startAgent();
      await fc.asyncModelRun(() => ({ model: promises, real: world }), plan);
      const rows = await settle(world);
      // What was acknowledged holds.
      for (const { id, desired, generation } of promises.agents) {
        const row = rows.find((one) => one.id === id);
        expect(row).toMatchObject({ desired });
        expect(row?.generation).toBeGreaterThanOrEqual(generation);
        expect(row).toSatisfy(agrees);
      }
      // What is on the host is that, once, and nothing else.
      const ids = (wanted: Row["desired"][]) => rows.filter((row) => wanted.includes(row.desired)).map(({ id }) => id);
      const { machine } = world;
      const running = [...machine.containers.values()].filter((one) => one.running).map(({ tenantId }) => tenantId);
      expect(running.sort()).toEqual(ids(["running"]).sort());
      expect(machine.containers.size).toBe(running.length);
      expect(machine.routes.size).toBe(running.length);
      // One that was stopped before it ever ran may have nothing; what is there belongs to somebody.
      const kept = ids(["running", "stopped"]);
      expect(kept).toEqual(expect.arrayContaining([...machine.volumes.keys()]));
      expect([...machine.volumes.keys()]).toEqual(expect.arrayContaining(running));
      expect(machine.networks.size).toBeLessThanOrEqual(kept.length);
      expect(machine.envs.size).toBe(0);
      // No state was ever told that the engine contradicted.
      expect(world.violations).toEqual([]);
    } finally {
      await world.end();
    }
  });
  const extent = RUNS ? { numRuns: Number(RUNS) } : { numRuns: 100, interruptAfterTimeLimit: BUDGET_MS };
  await fc.assert(property, { ...extent, endOnFailure: true });
  expect(run).toBeGreaterThan(0);
});
