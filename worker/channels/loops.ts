import type { Heard, Incoming } from "./rules.ts";

/** Of one channel in a day: whoever can make conversations can have as many stopped as they like. */
export const LOOPS_TOLD_PER_DAY = 5;

/** Two automata that answer each other: how it shows. */
export type LoopSign = "automaton" | "repeats" | "no_pause" | "steady";

/** How many messages in a row make a sign. `BEFORE` is what has to be read to see all of them. */
const REPEATS = 5;
const STEADY = 12;
const NO_PAUSE = 40;
export const BEFORE = NO_PAUSE;
/** A person stops to read, to think, to sleep; whoever writes forty times without such a stop is none. */
const PAUSE_MS = 60_000;
const STEADY_WITHIN_MS = 1_500;

/**
 * Same pair, growing count, nobody in between: one partner's own words show it. The same text again and again; a gap
 * that is always the same; many without a single pause. None of them depends on the agent's answers, which the edge
 * does not see.
 */
export function loopSign(message: Incoming, digest: string, before: readonly Heard[]): LoopSign | null {
  if (message.isAutomaton) return "automaton";
  // Somebody else has written in between: whoever that is, the two are not alone.
  const other = before.findIndex(({ senderId }) => senderId !== message.senderId);
  const row = [{ senderId: message.senderId, sentAt: message.sentAt, digest }, ...before].slice(
    0,
    other < 0 ? undefined : other + 1,
  );
  const latest = (count: number) => (row.length >= count ? row.slice(0, count) : null);
  const gapsOf = (some: readonly Heard[]) => some.slice(1).map((one, at) => (some[at] as Heard).sentAt - one.sentAt);

  const same = latest(REPEATS);
  if (same?.every((one) => one.digest === digest)) return "repeats";
  const steady = gapsOf(latest(STEADY) ?? []);
  // A burst from one moment has no cadence: it is a backlog, or pasted text in parts.
  if (steady.length > 0 && Math.min(...steady) >= 1_000) {
    if (Math.max(...steady) - Math.min(...steady) <= STEADY_WITHIN_MS && Math.max(...steady) < PAUSE_MS * 10) {
      return "steady";
    }
  }
  const many = gapsOf(latest(NO_PAUSE) ?? []);
  if (many.length > 0 && many.every((gap) => gap < PAUSE_MS)) return "no_pause";
  return null;
}
