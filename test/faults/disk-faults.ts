import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { newId } from "../../schema/protocol/index.ts";
import { type AgentLab, type Census, gone, whole } from "../system/agent-lab.ts";
import { judge, reach, runs } from "./judge.ts";
import { commandOf } from "./stories.ts";
import { emptyTally, sameCensus, type Tally } from "./tally.ts";

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
