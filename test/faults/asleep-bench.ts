import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../schema/protocol/index.ts";
import { applyCommand, createAgentLab } from "../system/agent-lab.ts";
import { insist } from "./tally.ts";

/** What it costs the host agent when everybody on its server sleeps and nothing happens: memory, and CPU over a minute. */
const TENANTS = Number(process.env.CHELAR_BENCH_TENANTS ?? 500);
const AT_ONCE = 8;
const WATCH_SECONDS = 90;
const ALLOWED = { rssMiB: 150, corePercent: 1 };

const lab = await createAgentLab();
try {
  await lab.start();
  const ids = Array.from({ length: TENANTS }, () => newId("tnt"));
  const isAsleep = (id: string) => lab.lastState(id)?.state === "asleep";
  for (let at = 0; at < TENANTS; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE);
    for (const id of some) {
      const command = applyCommand(id, { secretsJwe: await lab.edge.seal(id, 1, {}) });
      await lab.edge.command(lab.socketPath, {
        ...command,
        tenant: { ...command.tenant, sleep: { stopAfterSeconds: 1 } },
      });
    }
    await insist("asleep", () => some.every(isAsleep), 300);
    if ((at / AT_ONCE) % 10 === 9) console.error(`${at + AT_ONCE} of ${TENANTS} sleep`);
  }
  // As after an update of the agent: what it remembers of their lives is not on the scales.
  await lab.kill("SIGTERM");
  await lab.start();
  await sleep(30_000);
  const before = lab.cpuSeconds();
  await sleep(WATCH_SECONDS * 1_000);
  const corePercent = ((lab.cpuSeconds() - before) / WATCH_SECONDS) * 100;
  const rssMiB = rssOf(lab.pid());
  const asleep = ids.filter(isAsleep).length;
  const within = rssMiB <= ALLOWED.rssMiB && corePercent <= ALLOWED.corePercent && asleep === TENANTS;
  if (process.argv.includes("--json")) console.log(JSON.stringify({ asleep, rssMiB, corePercent, within }, null, 2));
  else {
    const cpu = corePercent.toFixed(2);
    console.log(`${asleep} asleep; agent ${rssMiB} MiB (allowed ${ALLOWED.rssMiB}), ${cpu} % of a core`);
    console.log(`(allowed ${ALLOWED.corePercent} %, programs that it runs included): ${within ? "within" : "OVER"}`);
  }
  process.exitCode = within ? 0 : 1;
} finally {
  await lab.destroy();
}
process.exit();

function rssOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}
