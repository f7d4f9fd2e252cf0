import { copyFileSync, existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../schema/protocol/index.ts";
import { type AgentLab, type Census, gone, whole } from "../system/agent-lab.ts";
import { purge, settledCensus, tell } from "./kills.ts";
import { commandOf, leadsTo, type Word } from "./stories.ts";
import { emptyTally, eventually, insist, orphansOf, sameCensus, type Tally } from "./tally.ts";

/** Scenarios on one server with a stand-in of the edge. Each begins and ends without a running agent. */

const runs: Word = { generation: 1 };
const restarts: Word = { generation: 2, restarts: 1 };

async function reach(lab: AgentLab, id: string, word: Word): Promise<void> {
  await tell(lab, id, word);
  await insist(`${leadsTo(word)} of ${id}`, () => lab.has(id, leadsTo(word), word.generation));
}

/** Adds up what is true of one tenant after one fault; its last word was acknowledged. */
async function judge(
  lab: AgentLab,
  tally: Tally,
  id: string,
  { last, left, others = 0 }: { last: Word; left: Census; others?: number },
): Promise<void> {
  const reached = await eventually(() => lab.has(id, leadsTo(last), last.generation), 45);
  const found = await settledCensus(lab, id, left, others);
  await purge(lab, id, last);
  const after = await settledCensus(lab, id, gone, others);
  tally.kills += 1;
  tally.orphans += orphansOf(found, left) + orphansOf(after, gone);
  if (!reached) tally.lostAcknowledged += 1;
  if (reached && sameCensus(found, left) && sameCensus(after, gone)) tally.converged += 1;
}

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

/** The least patience that covers what the agent has with an engine: a minute for each call, and what a stop may take. */
const GIVES_UP_WITHIN_SECONDS = 300;

/**
 * The engine takes calls and answers none, while an agent is deleted. `longer`: until the agent has given up on it and has
 * destroyed the data all the same, although the container still runs; then the engine answers again.
 */
export async function engineHung(lab: AgentLab, longer: boolean): Promise<Tally> {
  const tally = emptyTally("dockerd hung in the middle of a deletion");
  const engine = Number(readFileSync(`${lab.host.dir}/d.pid`, "utf8"));
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

/**
 * A lab with a small disk is needed. While it is full, a word is either refused and does nothing, or acknowledged and
 * comes true once there is room; there is no third.
 */
export async function diskFull(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("disk full when the journal writes");
  await lab.start();
  const ballast = `${lab.stateDir}/ballast`;
  const refused: string[] = [];
  const taken: string[] = [];
  fill(lab.stateDir, ballast);
  while (refused.length < 3 && taken.length < 50) {
    const id = newId("tnt");
    const outcome = await lab.edge.command(lab.socketPath, await commandOf(lab, id, runs)).catch(() => null);
    (outcome?.status === "accepted" ? taken : refused).push(id);
    // What was freed in between, by a checkpoint or an image, is taken again.
    fill(lab.stateDir, ballast);
  }
  if (refused.length === 0) throw new Error("the disk never was full for the journal");
  const idle = sameCensus(await censusOf(lab, refused), gone);
  // A crash in the middle of it all: what was acknowledged is on the disk, what was refused is not.
  await lab.kill("SIGKILL");
  rmSync(ballast);
  await lab.start();
  const untouched = idle && sameCensus(await censusOf(lab, refused), gone) && refused.every((id) => !lab.lastState(id));
  for (const [index, id] of taken.entries()) {
    await judge(lab, tally, id, { last: runs, left: whole, others: taken.length - index - 1 });
  }
  for (const id of refused) {
    // It is not spoilt either: said again, it is taken.
    await reach(lab, id, runs);
    await judge(lab, tally, id, { last: runs, left: whole });
  }
  await lab.kill("SIGTERM");
  return untouched ? tally : { ...tally, converged: 0 };
}

async function censusOf(lab: AgentLab, ids: readonly string[]): Promise<Census> {
  const sum = { ...gone };
  for (const id of ids) {
    const { networks: _, ...one } = await lab.census(id);
    for (const [kind, count] of Object.entries(one)) sum[kind as keyof Census] += count;
  }
  return sum;
}

/** Until no page is free: a file system in memory has no reserve of root's own. */
function fill(directory: string, file: string): void {
  for (let chunk = 2 ** 20; chunk >= 4_096; chunk = Math.floor(chunk / 4)) {
    while (statfsSync(directory).bavail > 0) {
      try {
        writeFileSync(file, Buffer.alloc(chunk), { flag: "a" });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        break;
      }
    }
  }
}

const TEN_MINUTES_MS = 600_000;

/**
 * The host's clock is ten minutes off, and then right again: what is in time by the edge's clock is refused, with the
 * diagnosis in the log, and no envelope that was once accepted, or has once expired, ever does anything again.
 */
export async function clockOff(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("clock ten minutes off");
  for (const [aheadMs, diagnosis] of [
    [TEN_MINUTES_MS, "expired"],
    [-TEN_MINUTES_MS, "not_yet_valid"],
  ] as const) {
    const id = newId("tnt");
    await lab.start();
    const first = await lab.edge.sign(await commandOf(lab, id, runs));
    const accepted = (await lab.edge.deliver(lab.socketPath, first))?.status === "accepted";
    await insist(`${id} running`, () => lab.has(id, "running", 1));
    // Made now, never delivered in time: it would stop the agent if a clock that is behind let it in.
    const missed = await lab.edge.sign(await commandOf(lab, id, { generation: 2, wish: "stopped" }));
    await reach(lab, id, { generation: 3, restarts: 1 });
    const container = await containerOf(lab, id);
    await lab.kill("SIGTERM");

    const from = lab.log().length;
    await lab.start({ clockAheadMs: aheadMs });
    const word = await commandOf(lab, id, { generation: 4, restarts: 2 });
    const refused = (await lab.edge.command(lab.socketPath, word)) === null;
    const logged = lab.log().slice(from);
    const told = logged.includes(`command.refused reason=${diagnosis}`) && logged.includes("by this host's clock");
    // By a clock that is wrong an old word looks fresh; the journal knows better.
    const hostMs = Date.now() + aheadMs;
    const backdated = await lab.edge.sign(await commandOf(lab, id, { generation: 2, wish: "stopped" }), hostMs);
    const answers = [await show(lab, backdated, hostMs), await show(lab, missed, hostMs)];
    const replays = [await show(lab, first, hostMs)];
    await lab.kill("SIGTERM");

    await lab.start();
    answers.push(await show(lab, missed), await show(lab, backdated));
    replays.push(await show(lab, first));
    // What was carried out once gets its stored answer, or none; everything else is refused.
    const noWindow = !answers.includes("accepted") && !replays.includes("already_applied");
    const quiet = lab.has(id, "running", 3) && (await containerOf(lab, id)) === container;
    const last: Word = { generation: 4, restarts: 2 };
    await tell(lab, id, last);
    await judge(lab, tally, id, { last, left: whole });
    if (!(accepted && refused && told && noWindow && quiet)) {
      throw new Error(`clock ${aheadMs} ms: ${JSON.stringify({ accepted, refused, told, answers, replays, quiet })}`);
    }
    await lab.kill("SIGTERM");
  }
  return tally;
}

/** Which process it is: another start is another one. */
async function containerOf(lab: AgentLab, id: string): Promise<string> {
  const format = ["--format", "{{.Id}} {{.State.StartedAt}}"];
  return lab.host.run("docker", ["-H", `unix://${lab.host.dockerSocket}`, "inspect", ...format, `chelar-${id}`]);
}

/** What the host says to an envelope that it is shown again. */
async function show(lab: AgentLab, compact: string, hostMs?: number): Promise<string | null> {
  const outcome = await lab.edge.deliver(lab.socketPath, compact, hostMs);
  return outcome === null ? null : outcome.status;
}

/**
 * The agent begins while the edge is away, and its tenant's container has ended meanwhile: the container runs again
 * without a word of the edge, but no new word is taken before the edge has said that this journal is the newest.
 */
export async function edgeAway(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("edge away while the agent starts");
  const id = newId("tnt");
  await lab.start();
  await reach(lab, id, runs);
  await lab.kill("SIGKILL");
  const docker = (...args: string[]) => lab.host.run("docker", ["-H", `unix://${lab.host.dockerSocket}`, ...args]);
  await docker("kill", `chelar-${id}`);
  lab.edge.listening = false;
  await lab.start();
  const running = async () => (await docker("inspect", "-f", "{{.State.Running}}", `chelar-${id}`)).trim() === "true";
  await insist("the container running without the edge", running);
  const early = await lab.edge.command(lab.socketPath, await commandOf(lab, id, restarts));
  const refusedEarly = early?.status === "refused" && early.reason === "journal_unavailable";
  lab.edge.listening = true;
  await insist("the host heard again", async () => {
    const outcome = await lab.edge.command(lab.socketPath, await commandOf(lab, id, restarts));
    return outcome?.status === "accepted" || outcome?.status === "already_applied";
  });
  await judge(lab, tally, id, { last: restarts, left: whole });
  await lab.kill("SIGTERM");
  return refusedEarly ? tally : { ...tally, converged: 0 };
}

const JOURNAL_FILES = ["journal.db", "journal.db-wal", "journal.db-shm"];

/** The journal is put back from a copy: of the same epoch, and of an older one. Neither takes another word. */
export async function journalRestored(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("journal restored from an old copy");
  const [kept, deleted, later] = [newId("tnt"), newId("tnt"), newId("tnt")];
  const move = (from: string, to: string) => {
    for (const name of JOURNAL_FILES) {
      rmSync(`${lab.stateDir}/${to}${name}`, { force: true });
      const source = `${lab.stateDir}/${from}${name}`;
      if (existsSync(source)) copyFileSync(source, `${lab.stateDir}/${to}${name}`);
    }
  };
  await lab.start();
  for (const id of [kept, deleted]) await reach(lab, id, runs);
  await lab.kill("SIGTERM");
  move("", "copy-of-");
  await lab.start();
  await reach(lab, kept, restarts);
  await reach(lab, deleted, { generation: 2, wish: "purged" });
  await reach(lab, later, runs);
  await lab.kill("SIGTERM");

  // An old copy of this epoch. While the edge is away nobody can tell it so, and it takes no word on; then the edge, which
  // has heard more than it knows, says so with its first answer.
  move("copy-of-", "");
  const from = lab.log().length;
  lab.edge.listening = false;
  await lab.start();
  const early = await lab.edge.command(lab.socketPath, await commandOf(lab, kept, { generation: 3 }));
  const refusedEarly = early?.status === "refused" && early.reason === "journal_unavailable";
  lab.edge.listening = true;
  await insist("the discovery of the old copy", () => lab.log().slice(from).includes("journal.rolled_back"));
  const outcome = await lab.edge.command(lab.socketPath, await commandOf(lab, kept, { generation: 3 }));
  const refusedOld = outcome?.status === "refused" && outcome.reason === "journal_unavailable";
  await lab.kill("SIGKILL");
  await lab.enrol();

  // The same copy after the host was enrolled again: of another epoch, it does not even begin.
  move("", "new-");
  move("copy-of-", "");
  const refusedEpoch = await lab.start().then(
    () => false,
    () => lab.log().includes("enrol this host again"),
  );
  move("new-", "");
  await lab.start();
  // What the edge's reconcile does with a host of a new epoch: it says the newest word about everyone again.
  const words = [
    [deleted, { generation: 2, wish: "purged" }, gone],
    [later, runs, whole],
    [kept, restarts, whole],
  ] as const;
  for (const [id, last] of words) await reach(lab, id, last);
  for (const [index, [id, last, left]] of words.entries()) {
    await judge(lab, tally, id, { last, left, others: Math.min(2, words.length - index - 1) });
  }
  await lab.kill("SIGTERM");
  return refusedEarly && refusedOld && refusedEpoch ? tally : { ...tally, converged: 0 };
}
