import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { createVolumes } from "../../host-agent/storage/index.ts";
import { type TenantLayout, tenantLayout } from "../../host-agent/tenants/layout.ts";
import type { Volumes } from "../../host-agent/tenants/ports.ts";
import { newId } from "../../schema/protocol/index.ts";
import { createTestHost } from "../hosts/index.ts";

const MIB = 2 ** 20;
const SEQUENTIAL_MIB = 512;
const RANDOM_WRITES = 4_000;
const SNAPSHOT_MIB = 1_024;
const VOLUMES = 100;
/** Each thing is measured this often, in turns, and the median counts: other work on the machine hits both sides. */
const TURNS = 3;
/** A percentile of single writes takes more of them, and more turns. */
const NEIGHBOUR_TURNS = 8;
const NEIGHBOUR_WRITES = 2_000;
/** As the host agent does it (host-agent/keeping.ts). */
const RESTRAIN_EVERY_MS = 500;

/** Writes without end, whatever the answer. */
const FLOOD = `const { writeSync, openSync } = require("node:fs");
  const chunk = Buffer.alloc(65536, 7);
  for (let file; ; ) { try { file ??= openSync(process.argv[1], "a"); writeSync(file, chunk); } catch {} }`;

const json = process.argv.includes("--json");
const say = (line: string) => (json ? undefined : console.log(line));
const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Every turn writes what cannot be compressed or guessed, and ends on the disk. In MiB per second. */
async function sequential(directory: string): Promise<number> {
  const chunk = randomBytes(MIB);
  const file = await open(`${directory}/sequential`, "w");
  const began = performance.now();
  for (let mib = 0; mib < SEQUENTIAL_MIB; mib++) await file.write(chunk);
  await file.sync();
  const seconds = (performance.now() - began) / 1_000;
  await file.close();
  return SEQUENTIAL_MIB / seconds;
}

/** 4 KiB at a time, anywhere in a file that is there. In writes per second. */
async function random(directory: string): Promise<number> {
  const block = randomBytes(4_096);
  const file = await open(`${directory}/sequential`, "r+");
  const blocks = (SEQUENTIAL_MIB * MIB) / block.length;
  const began = performance.now();
  for (let n = 0; n < RANDOM_WRITES; n++) {
    await file.write(block, 0, block.length, Math.floor(Math.random() * blocks) * block.length);
  }
  await file.sync();
  const seconds = (performance.now() - began) / 1_000;
  await file.close();
  return RANDOM_WRITES / seconds;
}

const host = await createTestHost({ docker: false });
try {
  const stateDir = `${host.dir}/chelar`;
  await mkdir(stateDir);
  const storage = { backing: "btrfs", sizeMiB: 8_192 } as const;
  const volumes = createVolumes({ stateDir, storage });
  const layoutOf = (slot: number) =>
    tenantLayout({
      tenantId: newId("tnt"),
      uid: 300_000 + slot,
      slot,
      pool: "10.213.0.0/16",
      stateDir,
      runDir: "/run",
    });
  const key = randomBytes(32).toString("base64url");
  const layout = layoutOf(0);
  await volumes.open(layout, { diskMiB: 4_096, key });
  const bare = `${stateDir}/volumes/bare`;
  await mkdir(bare);

  const measured = { sequential: [[], []] as number[][], random: [[], []] as number[][] };
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [index, directory] of [bare, layout.dataDir].entries()) {
      measured.sequential[index]?.push(await sequential(directory));
      measured.random[index]?.push(await random(directory));
    }
  }
  const [bareMiB = 0, volumeMiB = 0] = measured.sequential.map(median);
  const [bareWrites = 0, volumeWrites = 0] = measured.random.map(median);

  await rm(bare, { recursive: true });
  const snapshotMs = await snapshotOf(volumes, layout);
  await volumes.destroy(layout);
  const neighbour = await besideFlood(volumes, [layoutOf(1), layoutOf(2)], key);
  const openMs = await openMany(volumes, layoutOf, key, () => createVolumes({ stateDir, storage }));

  const result = {
    sequential: { bareMiBps: bareMiB, volumeMiBps: volumeMiB, ratio: volumeMiB / bareMiB },
    random4k: { barePerSecond: bareWrites, volumePerSecond: volumeWrites, ratio: volumeWrites / bareWrites },
    neighbour,
    snapshot: { mib: SNAPSHOT_MIB, ms: snapshotMs },
    opened: { volumes: VOLUMES, ms: openMs },
  };
  if (json) console.log(JSON.stringify(result));
  const figure = (value: number) => value.toFixed(value < 10 ? 2 : 0);
  say(
    `sequential write   bare ${figure(bareMiB)} MiB/s   volume ${figure(volumeMiB)} MiB/s   ratio ${figure(volumeMiB / bareMiB)}`,
  );
  say(
    `random 4 KiB       bare ${figure(bareWrites)} /s   volume ${figure(volumeWrites)} /s   ratio ${figure(volumeWrites / bareWrites)}`,
  );
  say(
    `neighbour's p50    alone ${neighbour.aloneP50Ms.toFixed(3)} ms   beside a full one ${neighbour.besideP50Ms.toFixed(3)} ms`,
  );
  say(
    `neighbour's p99    alone ${neighbour.aloneP99Ms.toFixed(3)} ms   beside a full one ${neighbour.besideP99Ms.toFixed(3)} ms   change ${(100 * neighbour.change).toFixed(0)} %`,
  );
  say(`snapshot of ${SNAPSHOT_MIB} MiB   ${figure(snapshotMs)} ms`);
  say(`${VOLUMES} volumes opened   ${figure(openMs)} ms`);
} finally {
  await host.destroy();
}

async function snapshotOf({ snapshots }: Volumes, layout: TenantLayout): Promise<number> {
  const file = await open(`${layout.dataDir}/large`, "w");
  const chunk = randomBytes(MIB);
  for (let mib = 0; mib < SNAPSHOT_MIB; mib++) await file.write(chunk);
  await file.sync();
  await file.close();
  const began = performance.now();
  await snapshots.take(layout, "20261122T100000Z");
  return performance.now() - began;
}

/** As a host does after its start: volumes that are there, all at once, by an agent that has just begun. */
async function openMany(
  volumes: Volumes,
  layoutOf: (slot: number) => TenantLayout,
  key: string,
  again: () => Volumes,
): Promise<number> {
  const layouts = Array.from({ length: VOLUMES }, (_, slot) => layoutOf(slot));
  for (const layout of layouts) await volumes.open(layout, { diskMiB: 64, key });
  await Promise.all(layouts.map((layout) => volumes.close(layout)));
  const fresh = again();
  const began = performance.now();
  await Promise.all(layouts.map((layout) => fresh.open(layout, { diskMiB: 64, key })));
  const tookMs = performance.now() - began;
  for (const layout of layouts) await fresh.destroy(layout);
  return tookMs;
}

/** How long a neighbour's writes take while somebody at its quota writes on without end, beside how long they take alone. */
async function besideFlood(volumes: Volumes, [flooder, quiet]: [TenantLayout, TenantLayout], key: string) {
  for (const layout of [flooder, quiet]) await volumes.open(layout, { diskMiB: 64, key });
  const keeping = setInterval(() => void volumes.restrain(), RESTRAIN_EVERY_MS);
  const alone: number[] = [];
  const beside: number[] = [];
  for (let turn = 0; turn < NEIGHBOUR_TURNS; turn++) {
    alone.push(...latencies(quiet.dataDir));
    const flood = spawn(process.execPath, ["-e", FLOOD, `${flooder.dataDir}/flood`], { stdio: "ignore" });
    const ended = new Promise((resolve) => flood.once("exit", resolve));
    // Full after a second; what counts is what comes then.
    await sleep(3_000);
    beside.push(...latencies(quiet.dataDir));
    flood.kill("SIGKILL");
    await ended;
    // The next turn begins with an empty volume again, and not with one that is held already.
    await rm(`${flooder.dataDir}/flood`);
    await sleep(2 * RESTRAIN_EVERY_MS);
  }
  clearInterval(keeping);
  for (const layout of [flooder, quiet]) await volumes.destroy(layout);
  const at = (share: number, values: number[]) =>
    [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0;
  const [aloneP99Ms, besideP99Ms] = [at(0.99, alone), at(0.99, beside)];
  return {
    ...{ aloneP50Ms: at(0.5, alone), besideP50Ms: at(0.5, beside) },
    ...{ aloneP99Ms, besideP99Ms, change: besideP99Ms / aloneP99Ms - 1 },
  };
}

/** Of single writes of 4 KiB, in milliseconds; without an event loop between them. */
function latencies(directory: string): number[] {
  const file = openSync(`${directory}/latency`, "w");
  const block = randomBytes(4_096);
  const took: number[] = [];
  for (let n = 0; n < NEIGHBOUR_WRITES; n++) {
    const began = performance.now();
    writeSync(file, block, 0, block.length, (n % 1_000) * block.length);
    took.push(performance.now() - began);
  }
  closeSync(file);
  return took;
}
