import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
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
const TURNS = 5;
/**
 * A percentile of single writes takes more of them, and more turns: a window of a tenth of a second says what the machine
 * did in it, and not how writes are.
 */
const NEIGHBOUR_TURNS = 8;
const NEIGHBOUR_WRITES = 10_000;
const NEIGHBOUR_SYNCS = 50;
const FLOODED_MIB = 64;
/** As the host agent does it (host-agent/keeping.ts). */
const RESTRAIN_EVERY_MS = 500;

/** Writes without end, whatever the answer. */
const FLOOD = `const { writeSync, openSync } = require("node:fs");
  const chunk = Buffer.alloc(65536, 7);
  for (let file; ; ) { try { file ??= openSync(process.argv[1], "a"); writeSync(file, chunk); } catch {} }`;

const json = process.argv.includes("--json");
const say = (line: string) => (json ? undefined : console.log(line));
const at = (share: number, values: number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0;
const figure = (value: number) => value.toFixed(value < 10 ? 2 : 0);
const median = (values: number[]) => at(0.5, values);

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
  const compared = (measured: number[][]) => {
    const [bare = 0, volume = 0] = measured.map(median);
    return { bare, volume, ratio: volume / bare };
  };
  const [whole, parts] = [compared(measured.sequential), compared(measured.random)];
  const both = ({ bare, volume, ratio }: typeof whole, unit: string) =>
    `bare ${figure(bare)} ${unit}   volume ${figure(volume)} ${unit}   ratio ${figure(ratio)}`;
  say(`sequential write   ${both(whole, "MiB/s")}`);
  say(`random 4 KiB       ${both(parts, "/s")}`);

  await rm(bare, { recursive: true });
  const snapshotMs = await snapshotOf(volumes, layout);
  say(`snapshot of ${SNAPSHOT_MIB} MiB   ${figure(snapshotMs)} ms`);
  await volumes.destroy(layout);

  const neighbour = await besideFlood(volumes, layoutOf, key);
  const beside = ({ aloneMs, besideMs }: { aloneMs: number; besideMs: number }) =>
    `alone ${aloneMs.toFixed(3)} ms   beside a full one ${besideMs.toFixed(3)} ms`;
  say(`neighbour's p50    ${beside(neighbour.writeP50)}`);
  say(`neighbour's p99    ${beside(neighbour.writeP99)}   change ${(100 * neighbour.change).toFixed(0)} %`);
  say(`its fsync's p50    ${beside(neighbour.syncP50)}`);
  say(`its fsync's p99    ${beside(neighbour.syncP99)}`);

  const openMs = await openMany(volumes, layoutOf, key, () => createVolumes({ stateDir, storage }));
  say(`${VOLUMES} volumes opened   ${figure(openMs)} ms`);

  const result = {
    sequential: { bareMiBps: whole.bare, volumeMiBps: whole.volume, ratio: whole.ratio },
    random4k: { barePerSecond: parts.bare, volumePerSecond: parts.volume, ratio: parts.ratio },
    neighbour,
    snapshot: { mib: SNAPSHOT_MIB, ms: snapshotMs },
    opened: { volumes: VOLUMES, ms: openMs },
  };
  if (json) console.log(JSON.stringify(result));
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

/** Of single calls, in milliseconds. */
interface Latencies {
  writes: number[];
  syncs: number[];
}

/** How long a neighbour's calls take while somebody at its quota writes on without end, beside how long they take alone. */
async function besideFlood(volumes: Volumes, layoutOf: (slot: number) => TenantLayout, key: string) {
  const quiet = layoutOf(1);
  await volumes.open(quiet, { diskMiB: FLOODED_MIB, key });
  const alone: Latencies = { writes: [], syncs: [] };
  const beside: Latencies = { writes: [], syncs: [] };
  const keeping = setInterval(() => void volumes.restrain(), RESTRAIN_EVERY_MS);
  for (let turn = 0; turn < NEIGHBOUR_TURNS; turn++) {
    // What is destroyed goes for a while yet: alone is when nothing of it is left.
    await promisify(execFile)("btrfs", ["subvolume", "sync", dirname(quiet.volumeDir)]);
    measure(alone, quiet.dataDir);
    // A new one in each turn: nobody is held already for what was before.
    const flooder = layoutOf(2 + turn);
    await volumes.open(flooder, { diskMiB: FLOODED_MIB, key });
    const flood = spawn(process.execPath, ["-e", FLOOD, `${flooder.dataDir}/flood`], { stdio: "ignore" });
    const ended = new Promise((resolve) => flood.once("exit", resolve));
    const used = async () => (await volumes.usage()).get(flooder.tenantId)?.usedBytes ?? 0;
    while ((await used()) < FLOODED_MIB * MIB * 0.98) await sleep(RESTRAIN_EVERY_MS);
    // What counts is what comes when the host agent has seen it.
    await sleep(2 * RESTRAIN_EVERY_MS);
    measure(beside, quiet.dataDir);
    flood.kill("SIGKILL");
    await ended;
    await volumes.destroy(flooder);
  }
  clearInterval(keeping);
  await volumes.destroy(quiet);
  const both = (share: number, of: keyof Latencies) => ({
    aloneMs: at(share, alone[of]),
    besideMs: at(share, beside[of]),
  });
  const writeP99 = both(0.99, "writes");
  return {
    ...{ writeP50: both(0.5, "writes"), writeP99, change: writeP99.besideMs / writeP99.aloneMs - 1 },
    ...{ syncP50: both(0.5, "syncs"), syncP99: both(0.99, "syncs") },
  };
}

/** write(2) of 4 KiB as an agent has it, and fsync(2) after one; without an event loop between them. */
function measure({ writes, syncs }: Latencies, directory: string): void {
  const file = openSync(`${directory}/latency`, "w");
  const block = randomBytes(4_096);
  const timed = (took: number[], call: () => void) => {
    const began = performance.now();
    call();
    took.push(performance.now() - began);
  };
  const write = (n: number) => writeSync(file, block, 0, block.length, (n % 1_000) * block.length);
  for (let n = 0; n < NEIGHBOUR_WRITES; n++) timed(writes, () => write(n));
  for (let n = 0; n < NEIGHBOUR_SYNCS; n++) {
    write(n);
    timed(syncs, () => fsyncSync(file));
  }
  closeSync(file);
}
