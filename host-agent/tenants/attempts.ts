import { backoffMs } from "../waiting.ts";
import { CRASH_WINDOW_MS, hopeless } from "./rules.ts";

export interface Backoff {
  firstMs: number;
  maxMs: number;
}

interface Clock {
  backoff: Backoff;
  nowMs: () => number;
  random: () => number;
}

export type Attempts = ReturnType<typeof createAttempts>;

/** What is remembered of one generation of one tenant while this process lives: what went wrong, and when to try again. */
export function createAttempts(generation: number, { backoff, nowMs, random }: Clock) {
  const crashesAtMs: number[] = [];
  let failures = 0;
  let failedStarts = 0;
  let notBeforeMs = 0;
  let excused = false;

  function pause(times: number): number {
    const ms = backoffMs(times, backoff, random());
    notBeforeMs = nowMs() + ms;
    return ms;
  }

  return {
    generation,
    /** How long the next try has to wait; 0: not at all. */
    waitMs(): number {
      const ms = notBeforeMs - nowMs();
      // No pause is longer than the longest: then the clock was set back, and the pause would last until it has caught up.
      return ms > 0 && ms <= backoff.maxMs ? ms : 0;
    },
    /** It ended by itself. */
    crashed: () => void crashesAtMs.push(nowMs()),
    /** It was started and did not become ready. */
    startFailed: () => void failedStarts++,
    isHopeless: () => hopeless(crashesAtMs, failedStarts, nowMs()),
    /** Any step has failed; returns how often by now. */
    failed: () => ++failures,
    /** Later each time that a step fails. */
    pauseForFailure: () => pause(failures),
    /** Later each time that it ends by itself. */
    pauseForCrash: () => pause(crashesAtMs.filter((at) => nowMs() - at <= CRASH_WINDOW_MS).length),
    /** The engine is back: no pause of before counts any more, and what ended with it did not stop by itself. */
    engineBack(): void {
      failures = 0;
      notBeforeMs = 0;
      excused = true;
    },
    isExcused: () => excused,
    /** It was seen as it is wanted. */
    settled(): void {
      excused = false;
    },
    /** It has become what is wanted. Crashes stay: what becomes ready and dies is no better for it. */
    reached(): void {
      excused = false;
      failures = 0;
      failedStarts = 0;
    },
  };
}
