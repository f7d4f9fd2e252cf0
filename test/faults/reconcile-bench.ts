import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../schema/protocol/index.ts";
import { createAgentLab } from "../system/agent-lab.ts";
import { tell } from "./kills.ts";
import { insist } from "./tally.ts";

/**
 * What it costs the host agent to compare 200 running agents with its journal and the real engine: at a start, when it
 * looks at everything anew, and in a round (each 30 s), beside the guard's own looks. CPU seconds of the agent and of
 * what it spawns; the engine's own are not the agent's.
 */
const TENANTS = Number(process.env.CHELAR_BENCH_TENANTS ?? 200);
const AT_ONCE = 4;
const ALLOWED_SECONDS = 5;
const ROUND_SECONDS = 30;
const ROUNDS = 2;

const lab = await createAgentLab();
try {
  await lab.start();
  const ids = Array.from({ length: TENANTS }, () => newId("tnt"));
  for (let at = 0; at < TENANTS; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE);
    for (const id of some) await tell(lab, id, { generation: 1 });
    await insist("running", () => some.every((id) => lab.has(id, "running", 1)), 180);
    if ((at / AT_ONCE) % 10 === 9) console.error(`${at + AT_ONCE} of ${TENANTS} run`);
  }
  await lab.kill("SIGTERM");

  const from = lab.log().length;
  await lab.start();
  const reached = () => lab.log().slice(from).split("tenant.reached").length - 1;
  await insist("the look at everything", () => reached() === TENANTS, 180);
  const start = lab.cpuSeconds();
  await sleep(ROUND_SECONDS * ROUNDS * 1_000);
  const round = (lab.cpuSeconds() - start) / ROUNDS;
  const found = await lab.wholeCensus();
  const within = start <= ALLOWED_SECONDS && round <= ALLOWED_SECONDS && found.running === TENANTS;
  const result = { tenants: found.running, startCpuSeconds: start, roundCpuSeconds: round, ALLOWED_SECONDS, within };
  if (process.argv.includes("--json")) {
    const { ALLOWED_SECONDS: allowedCpuSeconds, ...figures } = result;
    console.log(JSON.stringify({ ...figures, allowedCpuSeconds }, null, 2));
  } else {
    console.log(`${found.running} running; CPU of a full look at start ${start.toFixed(2)} s (with the agent's own`);
    console.log(
      `beginning), of a round ${round.toFixed(2)} s; allowed ${ALLOWED_SECONDS} s: ${within ? "within" : "OVER"}`,
    );
  }
  process.exitCode = within ? 0 : 1;
} finally {
  // By itself, so that a profile that was asked for (NODE_OPTIONS=--cpu-prof) is written.
  await lab.kill("SIGTERM");
  await lab.destroy();
}
process.exit();
