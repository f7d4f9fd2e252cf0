import { mkdir, readlink, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { modprobeConf } from "../../host-agent/bootstrap/plan.ts";
import { createFirewall, createUfw, hostRun, parsePerimeter, type Run } from "../../host-agent/firewall/index.ts";
import {
  createStage,
  type PostureOptions,
  removeLeftovers,
  runPosture,
  type Stage,
} from "../../host-agent/posture/index.ts";
import { postureReport } from "../../host-agent/posture/report.ts";
import type { Row } from "../../host-agent/posture/rules.ts";
import { report } from "../../schema/protocol/index.ts";
import { createTestHost, type TestHost, UFW_DIRECTORIES } from "../hosts/index.ts";
import { hardeningWeakenings, plantNeighbour, volumeWeakening, type Weakening } from "./posture-mutations.ts";
import { UFW_WEAKENING, WALL_WEAKENINGS, type WallWeakening } from "./posture-walls.ts";

/** A check that cannot fail is worthless: every attack is seen held, and breached without its defence. */
const POOL = "10.213.0.0/16";
const RESOLVERS = ["9.9.9.9"];
const CONTROL_PLANE = { networks: ["151.101.1.8/30", "2001:db8:9::/48"], https: ["151.101.1.9/32"] };
/** With UFW, as a production host; and without, where nothing but the third wall's own rules stop anything. */
let managed: Server;
let bare: Server;
const caught: { weakening: string; attack: string; outcome: Row["outcome"]; evidence: string }[] = [];
const note = (weakening: string, rows: readonly Row[]) => {
  for (const { id, outcome, evidence } of rows) caught.push({ weakening, attack: id, outcome, evidence });
};

interface Server {
  host: TestHost;
  run: Run;
  options: PostureOptions;
}

async function createServer(ufw: boolean): Promise<Server> {
  const host = await createTestHost({ images: ["echo"] });
  const run = hostRun(host.enter);
  await applyFirewall(run);
  if (ufw) await manage(host);
  const options = {
    docker: host.docker,
    hostId: "hst_posture",
    pool: POOL,
    resolvers: RESOLVERS,
    uidBase: 300_000,
    stateDir: `${host.dir}/state`,
    runDir: `${host.dir}/run`,
    managed: { cloud: false, ufw, modules: ufw },
    controlPlane: CONTROL_PLANE,
    modprobeDirectories: [`${host.dir}/modprobe.d`],
    enter: host.enter,
  };
  return { host, run, options };
}
async function applyFirewall(run: Run): Promise<void> {
  const firewall = createFirewall({ inputs: { pool: POOL, resolvers: RESOLVERS }, run });
  firewall.aim(CONTROL_PLANE);
  await firewall.apply();
}

beforeAll(async () => {
  managed = await createServer(true);
  bare = await createServer(false);
});
afterAll(async () => {
  await managed?.host.destroy();
  await bare?.host.destroy();
  console.log(mutationTable());
});

/** As a production host: the kernel's modules blocked, and real UFW, whose files are in a mount namespace of its own. */
async function manage(host: TestHost): Promise<void> {
  await mkdir(`${host.dir}/modprobe.d`);
  await writeFile(modprobeFile(host), modprobeConf());
  const holder = host.spawn("unshare", ["--mount", "--propagation=private", "sleep", "infinity"], { stdio: "ignore" });
  const mounts = (of: number | "self" | undefined) => readlink(`/proc/${of}/ns/mnt`).catch(() => "");
  const own = await mounts("self");
  await vi.waitUntil(async () => ![own, ""].includes(await mounts(holder.pid)), { timeout: 10_000 });
  const inside = hostRun(["nsenter", "--target", String(holder.pid), "--mount", "--net", "--"]);
  for (const [index, directory] of UFW_DIRECTORIES.entries()) {
    const copy = `${host.dir}/ufw${index}`;
    // Debian's package makes its state directory only when it is first enabled.
    await inside("mkdir", ["-p", directory]);
    await inside("cp", ["-a", directory, copy]);
    await inside("mount", ["--bind", copy, directory]);
  }
  const parsed = parsePerimeter({ adminNetworks: ["203.0.113.9/32"] });
  if (!parsed.ok) throw new Error(parsed.refusals.join());
  await createUfw(parsed.openings, inside).repair();
}
const modprobeFile = (host: TestHost) => `${host.dir}/modprobe.d/chelar.conf`;

/** What a posture run makes on a host, as far as it can be listed. */
async function traces({ host }: Server): Promise<string[]> {
  const docker = (...args: string[]) => host.run("docker", ["-H", `unix://${host.dockerSocket}`, ...args]);
  const found = await Promise.all([
    docker("ps", "-aq", "--filter", "name=canary"),
    docker("network", "ls", "-q", "--filter", "name=chl"),
    host.run("ip", ["link", "show"]).then((text) =>
      text
        .split("\n")
        .filter((line) => / (posture|chl)\d/.test(line))
        .join(),
    ),
    host.run("ip", ["rule"]).then((text) =>
      text
        .split("\n")
        .filter((line) => /^53?\d\d\d:.*5300/.test(line))
        .join(),
    ),
    host.run("sh", ["-c", "grep -s canary /proc/self/mounts || true"]),
  ]);
  return found.map((text) => text.trim()).filter(Boolean);
}

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

    test("no attack is without a test that sees it succeed, but those that nothing here can let succeed", () => {
      const seen = new Set(caught.filter(({ outcome }) => outcome === "breached").map(({ attack }) => attack));
      // A kernel without AF_ALG has no defence that could be taken away.
      const missing = stage.attacks.filter((attack) => "judge" in attack && !seen.has(attack.id)).map(({ id }) => id);
      expect(missing).toEqual(["af-alg"]);
    });
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
