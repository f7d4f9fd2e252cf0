import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../schema/protocol/index.ts";
import { applyCommand, createAgentLab } from "../system/agent-lab.ts";

/**
 * What it costs the host agent when everybody on its server sleeps and nothing happens: memory, and CPU over a minute and a
 * half. Each sleeper is what commands of the edge have made of it: its row in the journal, its network, its volume (shut), its
 * stopped container and its held door. All that the agent does now and then goes on meanwhile.
 */
const TENANTS = Number(process.env.CHELAR_BENCH_TENANTS ?? 500);
const AT_ONCE = 16;
const WATCH_SECONDS = 90;
const STALLED_SECONDS = 180;
const ALLOWED = { rssMiB: 150, corePercent: 1 };

const lab = await createAgentLab();
try {
  await lab.start();
  const creationSeconds = await createSleepers();
  // As after an update of the agent: what it remembers of their lives is not on the scales.
  await lab.kill("SIGTERM");
  await lab.start();
  await sleep(30_000);
  const before = [lab.cpuSeconds(), lab.cpuSeconds("itself")] as const;
  await sleep(WATCH_SECONDS * 1_000);
  const percentSince = (earlier: number, now: number) => ((now - earlier) / WATCH_SECONDS) * 100;
  const corePercent = percentSince(before[0], lab.cpuSeconds());
  const itselfPercent = percentSince(before[1], lab.cpuSeconds("itself"));
  const { rssMiB, pssMiB } = memoryOf(lab.pid());
  const asleep = await countAsleep();
  const within = rssMiB <= ALLOWED.rssMiB && corePercent <= ALLOWED.corePercent && asleep === TENANTS;
  const told = { asleep, rssMiB, pssMiB, corePercent, itselfPercent, creationSeconds, within };
  if (process.argv.includes("--json")) console.log(JSON.stringify(told, null, 2));
  else {
    const [cpu, itself] = [corePercent, itselfPercent].map((value) => value.toFixed(2));
    console.log(`${asleep} asleep, made in ${creationSeconds} s; agent ${rssMiB} MiB (allowed ${ALLOWED.rssMiB})`);
    console.log(
      `${cpu} % of a core (allowed ${ALLOWED.corePercent} %): ${itself} % itself, the rest are programs that it runs`,
    );
    console.log(within ? "within" : "OVER");
  }
  process.exitCode = within ? 0 : 1;
} finally {
  await lab.destroy();
}
process.exit();

/** Through the agent's own commands, so many at the same time; seconds until the last of them sleeps. */
async function createSleepers(): Promise<number> {
  const began = performance.now();
  const awake = new Set<string>();
  let [begun, heard, movedAt] = [0, 0, performance.now()];
  while (begun < TENANTS || awake.size > 0) {
    while (begun < TENANTS && awake.size < AT_ONCE) {
      begun += 1;
      awake.add(await createOne());
    }
    await sleep(50);
    for (; heard < lab.edge.reports.length; heard++) {
      const report = lab.edge.reports[heard];
      if (report?.type !== "tenant.state" || report.state !== "asleep" || !awake.delete(report.tenantId)) continue;
      movedAt = performance.now();
      const asleep = begun - awake.size;
      if (asleep % 50 === 0) console.error(`${asleep} of ${TENANTS} sleep`);
    }
    if (performance.now() - movedAt > STALLED_SECONDS * 1_000)
      throw new Error(`nobody fell asleep any more:\n${lab.log().slice(-2_000)}`);
  }
  return Math.round((performance.now() - began) / 1_000);
}

async function createOne(): Promise<string> {
  const id = newId("tnt");
  const { tenant, ...command } = applyCommand(id);
  const sleeper = { ...command, tenant: { ...tenant, sleep: { stopAfterSeconds: 1 } } };
  const outcome = await lab.edge.command(lab.socketPath, sleeper);
  if (outcome?.status !== "accepted") throw new Error(`refused: ${JSON.stringify(outcome)}`);
  return id;
}

/** By the engine's word: stopped containers of tenants. */
async function countAsleep(): Promise<number> {
  const { containers, running, networks } = await lab.wholeCensus();
  return Math.min(containers - running, networks);
}

function memoryOf(pid: number): { rssMiB: number; pssMiB: number } {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mib = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(rollup)?.[1]) / 1024);
  return { rssMiB: mib("Rss"), pssMiB: mib("Pss") };
}
