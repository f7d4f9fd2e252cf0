import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../schema/protocol/index.ts";
import { type AgentLab, gone, whole } from "../system/agent-lab.ts";
import { judge, reach, runs } from "./judge.ts";
import { tell } from "./kills.ts";
import type { Word } from "./stories.ts";
import { emptyTally, insist, sameCensus, type Tally } from "./tally.ts";

/** The engine is killed at a later moment of the creation each time, and is back after `awayMs`. */
export async function engineKilled(lab: AgentLab, moments: readonly number[], awayMs = 500): Promise<Tally> {
  const tally = emptyTally("dockerd killed in the middle of a creation");
  await lab.start();
  for (const afterMs of moments) {
    const id = newId("tnt");
    await tell(lab, id, runs);
    await sleep(afterMs);
    await lab.host.stopDocker("SIGKILL");
    await sleep(awayMs);
    await lab.host.startDocker();
    await judge(lab, tally, id, { last: runs, left: whole });
  }
  await lab.kill("SIGTERM");
  return tally;
}

/**
 * The engine is killed between the start of a process and its own record of it: too short a moment to be hit by a clock, so
 * it is left what such a kill leaves, the record of before. The process goes on, and the engine knows of none.
 */
export async function engineForgets(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("dockerd killed before it knew of a start");
  await lab.start();
  const id = newId("tnt");
  await reach(lab, id, runs);
  const { Id } = await lab.host.docker.inspectContainer(`chelar-${id}`);
  await lab.host.stopDocker("SIGKILL");
  const record = `${lab.host.dir}/data/containers/${Id}/config.v2.json`;
  const { State, ...rest } = JSON.parse(readFileSync(record, "utf8"));
  writeFileSync(record, JSON.stringify({ ...rest, State: { ...State, Running: false, Pid: 0 } }));
  const from = lab.log().length;
  await lab.host.startDocker();
  await insist("a process that the engine knows", async () => sameCensus(await lab.census(id), whole));
  if (!lab.log().slice(from).includes("went on without the engine")) throw new Error(`${Id} was not forgotten`);
  await judge(lab, tally, id, { last: runs, left: whole });
  await lab.kill("SIGTERM");
  return tally;
}

/**
 * The engine hangs at a later moment of the creation each time, until the agent takes it for away; then it goes on, also with
 * what it had been told before.
 */
export async function engineHungAtStart(lab: AgentLab, moments: readonly number[]): Promise<Tally> {
  const tally = emptyTally("dockerd hung in the middle of a creation");
  const engine = engineOf(lab);
  await lab.start();
  for (const afterMs of moments) {
    const id = newId("tnt");
    const from = lab.edge.reports.length;
    const isAway = () =>
      lab.edge.reports.slice(from).some((one) => one.type === "host.inventory" && one.engine === "away");
    await tell(lab, id, runs);
    await sleep(afterMs);
    process.kill(engine, "SIGSTOP");
    try {
      await insist("the word that the engine is away", isAway);
    } finally {
      process.kill(engine, "SIGCONT");
    }
    await judge(lab, tally, id, { last: runs, left: whole });
  }
  await lab.kill("SIGTERM");
  return tally;
}

/**
 * What containerd keeps of a start whose engine was killed: the directory that the next start would make. No kill has left it
 * when it was wanted, so it is put there, while the agent is suspended.
 */
export async function engineLeftovers(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("containerd kept the directory of a killed start");
  const woken: Word = { generation: 3 };
  await lab.start();
  const id = newId("tnt");
  await reach(lab, id, runs);
  await reach(lab, id, { generation: 2, wish: "suspended" });
  const { Id } = await lab.host.docker.inspectContainer(`chelar-${id}`);
  const { dir, namespace } = lab.host;
  mkdirSync(`${dir}/x/containerd/daemon/io.containerd.runtime.v2.task/${namespace}/${Id}`);
  const from = lab.log().length;
  await tell(lab, id, woken);
  await judge(lab, tally, id, { last: woken, left: whole });
  if (!/mkdir .*file exists/.test(lab.log().slice(from))) throw new Error(`nothing kept ${Id} from starting`);
  await lab.kill("SIGTERM");
  return tally;
}

const engineOf = (lab: AgentLab): number => Number(readFileSync(`${lab.host.dir}/d.pid`, "utf8"));

/** The least patience that covers what the agent has with an engine: a sign of life for each step, and what a stop may take. */
const GIVES_UP_WITHIN_SECONDS = 300;

/**
 * The engine takes calls and answers none, while an agent is deleted. `longer`: until the agent has given up on it and has
 * destroyed the data all the same, although the container still runs; then the engine answers again.
 */
export async function engineHung(lab: AgentLab, longer: boolean): Promise<Tally> {
  const tally = emptyTally("dockerd hung in the middle of a deletion");
  const engine = engineOf(lab);
  const purge: Word = { generation: 2, wish: "purged" };
  await lab.start();
  // Before the deletion, and while its first steps are under way.
  for (const hangsAfterMs of longer ? [0, 200] : [0]) {
    const id = newId("tnt");
    await reach(lab, id, runs);
    const from = lab.edge.reports.length;
    const begun = () =>
      lab.edge.reports.slice(from).some((one) => one.type === "tenant.progress" && one.tenantId === id);
    if (hangsAfterMs === 0) process.kill(engine, "SIGSTOP");
    try {
      await tell(lab, id, purge);
      await sleep(hangsAfterMs);
      process.kill(engine, "SIGSTOP");
      await insist("the deletion's first step", begun);
      const data = `${lab.stateDir}/volumes/${id}`;
      const dataIsGone = () => !existsSync(data);
      if (longer) await insist("the destruction of the data", dataIsGone, GIVES_UP_WITHIN_SECONDS);
      // Nobody has said that nothing is left while the engine could not be asked.
      if (hangsAfterMs === 0 && lab.has(id, "purged", 2)) tally.lostAcknowledged += 1;
    } finally {
      process.kill(engine, "SIGCONT");
    }
    await judge(lab, tally, id, { last: purge, left: gone });
  }
  await lab.kill("SIGTERM");
  return tally;
}
