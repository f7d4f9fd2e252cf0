import { copyFileSync, existsSync, rmSync } from "node:fs";
import { newId } from "../../schema/protocol/index.ts";
import { type AgentLab, gone, whole } from "../system/agent-lab.ts";
import { judge, reach, restarts, runs } from "./judge.ts";
import { commandOf } from "./stories.ts";
import { emptyTally, insist, type Tally } from "./tally.ts";

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

/** Copies a journal that nobody has open; `from` and `to` stand before the names of its files, nothing for the live one. */
export function copyJournal(stateDir: string, from: string, to: string): void {
  for (const name of JOURNAL_FILES) {
    rmSync(`${stateDir}/${to}${name}`, { force: true });
    const source = `${stateDir}/${from}${name}`;
    if (existsSync(source)) copyFileSync(source, `${stateDir}/${to}${name}`);
  }
}

/** The journal is put back from a copy: of the same epoch, and of an older one. Neither takes another word. */
export async function journalRestored(lab: AgentLab): Promise<Tally> {
  const tally = emptyTally("journal restored from an old copy");
  const [kept, deleted, later] = [newId("tnt"), newId("tnt"), newId("tnt")];
  const move = (from: string, to: string) => copyJournal(lab.stateDir, from, to);
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
