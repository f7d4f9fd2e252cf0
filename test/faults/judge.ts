import type { AgentLab, Census } from "../system/agent-lab.ts";
import { gone } from "../system/agent-lab.ts";
import { settledCensus } from "./census.ts";
import { purge, tell } from "./kills.ts";
import { leadsTo, type Word } from "./stories.ts";
import { eventually, insist, orphansOf, sameCensus, type Tally } from "./tally.ts";

/** What the scenarios on one server with a stand-in of the edge share. Each begins and ends without a running agent. */

export const runs: Word = { generation: 1 };
export const restarts: Word = { generation: 2, restarts: 1 };

export async function reach(lab: AgentLab, id: string, word: Word): Promise<void> {
  await tell(lab, id, word);
  await insist(`${leadsTo(word)} of ${id}`, () => lab.has(id, leadsTo(word), word.generation));
}

/** Adds up what is true of one tenant after one fault; its last word was acknowledged. */
export async function judge(
  lab: AgentLab,
  tally: Tally,
  id: string,
  { last, left, others = 0 }: { last: Word; left: Census; others?: number },
): Promise<void> {
  const from = lab.log().length;
  const reached = await eventually(() => lab.has(id, leadsTo(last), last.generation), 45);
  // Whoever is told of a loss wants to know what its host was doing.
  if (!reached) console.error(`${id} did not reach ${leadsTo(last)}:\n${lab.log().slice(from)}`);
  const found = await settledCensus(lab, id, left, others);
  await purge(lab, id, last);
  const after = await settledCensus(lab, id, gone, others);
  tally.kills += 1;
  tally.orphans += orphansOf(found, left) + orphansOf(after, gone);
  if (!reached) tally.lostAcknowledged += 1;
  if (reached && sameCensus(found, left) && sameCensus(after, gone)) tally.converged += 1;
}
