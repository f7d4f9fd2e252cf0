import { setTimeout as sleep } from "node:timers/promises";
import { milliseconds, summary, table } from "../../stack/bench/figures.ts";
import { createSleepLab, type Sleeper, type SleepLab } from "./sleep-lab.ts";

/**
 * From the first byte of a visit to the first byte of its answer, through Caddy, both doors and the gate: to agents that
 * are frozen, that are ended, and that are awake; beside the bare parts of the same containers: the engine's own `start`
 * until the runtime answers, and its own `unpause` until it does.
 */
const AGENTS = Number(process.env.CHELAR_BENCH_AGENTS ?? 12);
const ALLOWED = { stoppedOverheadMs: 150, pausedP50Ms: 60, pausedP95Ms: 150 };

/** Runs in the server's network, where the agents' addresses are: starts or thaws one, and asks it until it answers. */
const BARE = `
const { request } = require("node:http");
const [socketPath, name, verb, url] = process.argv.slice(1);
const call = (options) => new Promise((resolve, reject) => {
  const one = request(options, (answer) => { answer.resume(); answer.once("end", () => resolve(answer.statusCode)); });
  one.once("error", reject).end();
});
const began = performance.now();
(async () => {
  await call({ socketPath, method: "POST", path: "/containers/" + name + "/" + verb });
  const { hostname, port, pathname } = new URL(url);
  const ask = () => call({ hostname, port, path: pathname, agent: false }).catch(() => 0);
  while ((await ask()) !== 200) await new Promise((resolve) => setTimeout(resolve, 5));
  console.log(performance.now() - began);
})();`;

const lab = await createSleepLab();
try {
  const frozen = await timed(lab, { pauseAfterSeconds: 1 }, "paused");
  const ended = await timed(lab, { stopAfterSeconds: 1 }, "exited");
  const awake = await visits(ended.agents);
  // Nobody else may start or thaw them from here on.
  await lab.kill("SIGTERM");
  const bareThaw = await bare(frozen.agents, "pause", "unpause");
  const bareStart = await bare(ended.agents, "stop", "start");

  const overheadMs = summary(ended.ms).median - summary(bareStart).median;
  const paused = summary(frozen.ms);
  const within =
    overheadMs <= ALLOWED.stoppedOverheadMs &&
    paused.median <= ALLOWED.pausedP50Ms &&
    paused.p95 <= ALLOWED.pausedP95Ms;
  const rows = {
    "from stopped": summary(ended.ms),
    "bare start until ready": summary(bareStart),
    "from paused": paused,
    "bare unpause until answer": summary(bareThaw),
    awake: summary(awake),
  };
  if (process.argv.includes("--json")) console.log(JSON.stringify({ ...rows, overheadMs, within }, null, 2));
  else {
    console.log(table(rows));
    console.log(
      `from stopped, over the bare parts: ${milliseconds(overheadMs)} (allowed ${ALLOWED.stoppedOverheadMs} ms); from paused allowed ${ALLOWED.pausedP50Ms} ms at p50, ${ALLOWED.pausedP95Ms} ms at p95: ${within ? "within" : "OVER"}`,
    );
  }
  process.exitCode = within ? 0 : 1;
} finally {
  await lab.destroy();
}
process.exit();

/** Puts as many to sleep as there are, and then wakes one after the other. */
async function timed(on: SleepLab, policy: Parameters<SleepLab["create"]>[0], status: string) {
  const agents: Sleeper[] = [];
  for (let at = 0; at < AGENTS; at++) agents.push(await on.create(policy));
  await Promise.all(agents.map((one) => one.untilStatus(status)));
  await sleep(1_000);
  return { agents, ms: await visits(agents) };
}

async function visits(agents: readonly Sleeper[]): Promise<number[]> {
  const ms: number[] = [];
  for (const one of agents) {
    const { status, firstByteMs } = await one.visit();
    if (status !== 200) throw new Error(`${one.id} answered ${status}`);
    ms.push(firstByteMs);
  }
  return ms;
}

async function bare(agents: readonly Sleeper[], first: string, verb: string): Promise<number[]> {
  const ms: number[] = [];
  for (const { id, docker } of agents) {
    const name = `chelar-${id}`;
    await docker(first, name).catch(() => {});
    const format = "{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}}{{end}} {{.Config.User}}";
    const [address, user = ""] = (await docker("inspect", "--format", format, name)).trim().split(" ");
    await lab.env(id, user);
    const url = `http://${address}:8080/healthz`;
    ms.push(Number(await lab.host.run(process.execPath, ["-e", BARE, lab.host.dockerSocket, name, verb, url])));
  }
  return ms;
}
