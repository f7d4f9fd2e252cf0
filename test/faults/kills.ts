import { newId } from "../../schema/protocol/index.ts";
import { type AgentLab, gone } from "../system/agent-lab.ts";
import { settledCensus } from "./census.ts";
import { commandOf, leadsTo, newest, STORIES, type Story, type Word } from "./stories.ts";
import { emptyTally, eventually, insist, orphansOf, sameCensus, type Tally } from "./tally.ts";

export type Say = (line: string) => void;

/** Which commits of a story are its last: each from `first` on, every so many, at most so often. */
export interface Sample {
  first: number;
  every: number;
  most: number;
}
export const ALL: Sample = { first: 1, every: 1, most: Number.POSITIVE_INFINITY };
/** At most two of each story, other ones in the next: together they are of all depths. The first is in every story. */
export function sampleOf(story: Story): Sample {
  const index = STORIES.indexOf(story);
  return { first: 1 + (index % 3), every: 3 + 2 * (index % 4), most: 2 };
}

/** A mortal agent is running when this resolves, for the next story. */
export async function killEverywhere(lab: AgentLab, story: Story, sample: Sample, say: Say = () => {}): Promise<Tally> {
  const tally = emptyTally(`kill -9: ${story.name}`);
  if (lab.isDead()) await lab.start({ mortal: true });
  for (let commits = sample.first; ; commits += sample.every) {
    if (tally.kills === sample.most) return tally;
    const round = await killAfter(lab, story, commits);
    if (!round.killed) return tally;
    tally.kills += 1;
    tally.orphans += round.orphans;
    tally.lostAcknowledged += round.lostAcknowledged;
    if (round.converged) tally.converged += 1;
    else say(`${tally.name}: after commit ${commits}: ${round.found}`);
  }
}

/** Plays the story once and kills the agent after its n-th commit from the moment that the last words are said. */
async function killAfter(lab: AgentLab, { before, words, ends, left }: Story, commits: number) {
  const id = newId("tnt");
  for (const word of before) {
    await tell(lab, id, word);
    await insist(`generation ${word.generation} of ${id}`, () => lab.has(id, leadsTo(word), word.generation));
  }
  await lab.arm(commits);
  let acknowledged = 0;
  for (const word of words) {
    if (await say(lab, id, word)) acknowledged = Math.max(acknowledged, word.generation);
  }
  const last = newest(words);
  const arrived = () => lab.has(id, ends, last.generation);
  await insist(`death or ${ends}`, () => lab.isDead() || arrived());
  const killed = lab.isDead();
  if (killed) await lab.start({ mortal: true });
  else await lab.arm(null);

  // What the host has acknowledged, the edge never says again: it must come true by itself.
  const promised = acknowledged === last.generation;
  if (!promised) await tell(lab, id, last);
  const reached = await eventually(arrived, 45);
  const found = await settledCensus(lab, id, left);
  await purge(lab, id, last);
  const after = await settledCensus(lab, id, gone);
  return {
    killed,
    converged: reached && sameCensus(found, left) && sameCensus(after, gone),
    orphans: orphansOf(found, left) + orphansOf(after, gone),
    lostAcknowledged: promised && !reached ? 1 : 0,
    found: JSON.stringify({ acknowledged, state: lab.lastState(id), found, after }),
  };
}

/** Whether the host has acknowledged it. A refusal or a death is no. */
async function say(lab: AgentLab, id: string, word: Word): Promise<boolean> {
  const outcome = await lab.edge.command(lab.socketPath, await commandOf(lab, id, word)).catch(() => null);
  return outcome !== null && outcome.status !== "refused";
}

/** Like the edge's outbox: until the host has acknowledged, however often it has to be said. */
export async function tell(lab: AgentLab, id: string, word: Word): Promise<void> {
  await insist(`acknowledgement of ${JSON.stringify(word)}`, () => say(lab, id, word));
}

export async function purge(lab: AgentLab, id: string, last: Word): Promise<void> {
  if (last.wish === "purged") return;
  const generation = last.generation + 1;
  await tell(lab, id, { generation, wish: "purged" });
  await insist(`purge of ${id}`, () => lab.has(id, "purged", generation));
}
