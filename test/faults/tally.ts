import { setTimeout as sleep } from "node:timers/promises";
import { type Census, gone } from "../system/agent-lab.ts";

/** What one scenario found, in the words of `npm run faults -- --json`. */
export interface Tally {
  name: string;
  /** Faults that were really injected: kills, lost or doubled deliveries, stops of the database … */
  kills: number;
  /** After how many of them everything became what its owner had last asked for. */
  converged: number;
  /** Containers, bridges, mounts, directories and UIDs that nobody wanted and that stayed. */
  orphans: number;
  /** Changes that were acknowledged and did not come true by themselves. */
  lostAcknowledged: number;
}

export const emptyTally = (name: string): Tally => ({ name, kills: 0, converged: 0, orphans: 0, lostAcknowledged: 0 });

export const isSound = ({ kills, converged, orphans, lostAcknowledged }: Tally): boolean =>
  kills > 0 && converged === kills && orphans === 0 && lostAcknowledged === 0;

/** What is there and should not be. */
export function orphansOf(found: Census, wanted: Census): number {
  return (Object.keys(gone) as (keyof Census)[]).reduce(
    (sum, kind) => sum + Math.max(0, found[kind] - wanted[kind]),
    0,
  );
}

export const sameCensus = (a: Census, b: Census): boolean =>
  (Object.keys(gone) as (keyof Census)[]).every((kind) => a[kind] === b[kind]);

/** Whether it becomes true within that time. A check that fails is not true yet. */
export async function eventually(check: () => boolean | Promise<boolean>, seconds = 60): Promise<boolean> {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    if (await Promise.resolve(check()).catch(() => false)) return true;
    if (Date.now() > deadline) return false;
    await sleep(50);
  }
}

/** For what the scenario itself needs in order to go on: without it nothing can be measured. */
export async function insist(what: string, check: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  if (!(await eventually(check, seconds))) throw new Error(`${what} did not happen within ${seconds} s`);
}
