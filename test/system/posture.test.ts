import { rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modprobeConf } from "../../host-agent/bootstrap/plan.ts";
import { versionGates } from "../../host-agent/posture/gates.ts";
import { createStage, removeLeftovers, runPosture, type Stage } from "../../host-agent/posture/index.ts";
import { postureReport } from "../../host-agent/posture/report.ts";
import type { Row } from "../../host-agent/posture/rules.ts";
import { report } from "../../schema/protocol/index.ts";
import { tryOwnKernel } from "./posture-kernel.ts";
import { applyFirewall, createServer, modprobeFile, type Server, traces } from "./posture-lab.ts";
import { hardeningWeakenings, plantNeighbour, volumeWeakening, type Weakening } from "./posture-mutations.ts";
import { UFW_WEAKENING, WALL_WEAKENINGS, type WallWeakening } from "./posture-walls.ts";

/** A check that cannot fail is worthless: every attack is seen held, and breached without its defence. */
/** With UFW, as a production host; and without, where nothing but the third wall's own rules stop anything. */
let managed: Server;
let bare: Server;
const caught: { weakening: string; attack: string; outcome: Row["outcome"]; evidence: string }[] = [];
/** Every attack that a managed host was found to hold. */
let tried: string[] = [];
const note = (weakening: string, rows: readonly Row[]) => {
  for (const { id, outcome, evidence } of rows) caught.push({ weakening, attack: id, outcome, evidence });
};

beforeAll(async () => {
  managed = await createServer(true);
  bare = await createServer(false);
});
afterAll(async () => {
  await managed?.host.destroy();
  await bare?.host.destroy();
  console.log(mutationTable());
});

describe("a host whose walls stand", () => {
  test("holds every attack, and keeps nothing of it", async () => {
    const begun = performance.now();
    const notes: number[] = [];
    const verdict = await runPosture(managed.options, ({ fraction }) => notes.push(fraction));
    const tookMs = performance.now() - begun;
    expect(verdict.attacks.filter(({ outcome }) => outcome !== "held" && outcome !== "not_managed")).toEqual([]);
    expect(verdict.attacks.length).toBeGreaterThanOrEqual(40);
    expect(verdict.attacks.filter(({ layer }) => layer === 2).map(({ held }) => held)).toEqual(Array(5).fill(true));
    expect(verdict.attacks.filter(({ held }) => held === null).map(({ layer }) => layer)).toEqual([1, 1, 1]);
    tried = verdict.attacks.filter(({ outcome }) => outcome === "held").map(({ id }) => id);
    expect(notes).toEqual(notes.toSorted((a, b) => a - b));
    // Debian's engine is old, and a test host's containers are to die with it.
    const below = verdict.gates.filter(({ ok }) => !ok).map(({ name }) => name);
    expect(below).toEqual(["docker", "runc", "caddy", "live_restore"]);
    expect(await traces(managed)).toEqual([]);
    const signed = report.parse({ ...postureReport(verdict, 1, tookMs), seq: 1 });
    expect(JSON.stringify(signed).length).toBeLessThan(45_000);
    console.log(
      `${verdict.attacks.length} attacks in ${Math.round(tookMs)} ms, ${JSON.stringify(signed).length} bytes`,
    );
  });

  test("says not managed, and never held, where UFW is its owner's", async () => {
    const stage = await createStage({ ...managed.options, managed: { cloud: false, ufw: false, modules: false } });
    const rows = await stage.run(stage.attacks.filter(({ layer, id }) => layer <= 2 || id === "algif-modules"));
    await stage.remove();
    expect(rows).toHaveLength(9);
    expect(rows.every(({ held, outcome }) => held === null && outcome === "not_managed")).toBe(true);
  });

  test("clears away what a run that died left behind", async () => {
    await createStage(managed.options);
    expect(await traces(managed)).not.toEqual([]);
    await removeLeftovers(managed.options);
    expect((await traces(managed)).filter((trace) => !trace.includes("posture"))).toEqual([]);
    const verdict = await runPosture(managed.options);
    expect(verdict.breached + verdict.unproven).toBe(0);
    expect(await traces(managed)).toEqual([]);
  });
});

describe("without its defence every attack is reported as breached", () => {
  describe("by a container that lacks one", () => {
    const SIDE_BY_SIDE = 3;
    test("each weakened container gives way to its attacks", async () => {
      const waiting = hardeningWeakenings({ dockerSocket: bare.host.dockerSocket });
      const worker = async (seat: number) => {
        for (let next = waiting.shift(); next; next = waiting.shift())
          note(next.name, await attackWeakened(next, seat));
      };
      // Each has a look at the volumes of its own: what they lie on is made by one of them.
      await removeLeftovers(bare.options);
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, (_, index) => worker(index + 1)));
      expect(heldYet(caught.map(({ attack: id, ...rest }) => ({ id, ...rest })))).toEqual([]);
    });

    async function attackWeakened({ attacks, weaken, after }: Weakening, seat: number): Promise<Row[]> {
      const stage = await createStage({ ...bare.options, seat, weaken, withoutNetwork: true });
      try {
        if (attacks.includes("neighbour-path")) await plantNeighbour(stage.ground.neighbour);
        await after?.(stage);
        return await stage.run(stage.attacks.filter(({ id }) => attacks.includes(id)));
      } finally {
        await stage.remove();
      }
    }
  });

  describe("by walls that lack a rule", () => {
    let stage: Stage;
    beforeAll(async () => {
      stage = await createStage(bare.options);
    });
    afterAll(() => stage?.remove());

    test.each(WALL_WEAKENINGS)("$name", (weakening) => attackWall(bare, stage, weakening));

    test("volumes that anybody may enter", async () => {
      await volumeWeakening.after?.(stage);
      const rows = await stage.run(stage.attacks.filter(({ id }) => volumeWeakening.attacks.includes(id)));
      note(volumeWeakening.name, rows);
      expect(heldYet(rows)).toEqual([]);
    });

    test("modules that the kernel may load", async () => {
      const outer = await createStage({ ...managed.options, withoutNetwork: true });
      try {
        await rm(modprobeFile(managed.host));
        const rows = await outer.run(outer.attacks.filter(({ id }) => id === "algif-modules"));
        note("without modprobe's refusals", rows);
        expect(heldYet(rows)).toEqual([]);
      } finally {
        await writeFile(modprobeFile(managed.host), modprobeConf());
        await outer.remove();
      }
    });

    test("the second wall", async () => {
      const outer = await createStage(managed.options);
      try {
        await attackWall(managed, outer, UFW_WEAKENING);
      } finally {
        await outer.remove();
      }
    });
  });

  describe("on a kernel of its own, which has AF_ALG, kexec and modules", () => {
    test("Debian's holds as bootstrap leaves it, and gives way without", async () => {
      const { held, breached, looseBefore, looseAfter } = await tryOwnKernel(managed.host, managed.options);
      expect(held.map(({ id, outcome, evidence }) => [id, outcome, evidence])).toEqual([
        ["af-alg", "held", "EAFNOSUPPORT"],
        ["kexec", "held", "EPERM"],
        ["load-module", "held", "EPERM"],
        ["algif-modules", "held", expect.stringContaining("blocked")],
      ]);
      for (const { weakening, row } of breached) note(weakening, [row]);
      const rows = breached.map(({ row }) => row);
      expect(rows.map(({ id }) => id)).toEqual(["af-alg", "algif-modules", "kexec", "load-module"]);
      expect(heldYet(rows)).toEqual([]);
      // Bootstrap looks the same way, and the tenant's attempt alone has brought the module in.
      expect([looseBefore.at(-1), looseAfter]).toEqual(["af_alg is loaded", []]);
      const gateOf = ([afAlg]: Row[]) => {
        const gates = versionGates({ docker: null, runc: null, caddy: null, afAlg });
        return gates.find(({ name }) => name === "af_alg");
      };
      expect(gateOf(held)).toMatchObject({ ok: true, have: "EAFNOSUPPORT" });
      expect(gateOf(rows)).toMatchObject({ ok: false, have: "done: a socket" });
    });
  });

  test("no attack is without a test that sees it succeed", () => {
    const seen = new Set(caught.filter(({ outcome }) => outcome === "breached").map(({ attack }) => attack));
    expect(tried.length).toBeGreaterThan(90);
    expect(tried.filter((id) => !seen.has(id))).toEqual([]);
  });
});

async function attackWall({ run }: Server, stage: Stage, { name, attacks, locks }: WallWeakening): Promise<void> {
  const chosen = stage.attacks.filter(({ id }) => attacks.test(id));
  expect(chosen.length).toBeGreaterThan(0);
  const tables = [await run("iptables-save", []), await run("ip6tables-save", [])] as const;
  try {
    for (const lock of locks) await lock(run, stage);
    const rows = await stage.run(chosen);
    note(name, rows);
    expect(heldYet(rows)).toEqual([]);
  } finally {
    await run("iptables-restore", [], tables[0]);
    await run("ip6tables-restore", [], tables[1]);
    await applyFirewall(run);
  }
}

const heldYet = (rows: readonly Pick<Row, "id" | "outcome" | "evidence">[]) =>
  rows
    .filter(({ outcome }) => outcome !== "breached")
    .map(({ id, outcome, evidence }) => `${id} ${outcome}: ${evidence}`);

function mutationTable(): string {
  const width = (key: "weakening" | "attack") => Math.max(...caught.map((row) => row[key].length), 0);
  return caught
    .map(
      ({ weakening, attack, outcome, evidence }) =>
        `${outcome.padEnd(8)}  ${attack.padEnd(width("attack"))}  ${weakening.padEnd(width("weakening"))}  ${evidence.slice(0, 90)}`,
    )
    .join("\n");
}
