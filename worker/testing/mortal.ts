import { startTestEdge, type TestEdge } from "./edge.ts";
import type { TestHost } from "./host.ts";

/** An edge that is killed between two of its words to the world: what is committed, and what a host is told. */
export interface MortalEdge {
  edge: TestEdge;
  /** Looks at the same database without being killed. */
  db: TestEdge["db"];
  /** Lives for so many words from now on, then never does anything again, until it is asked for once more. */
  liveFor(words: number): void;
  isDead(): boolean;
}

export async function startMortalEdge(host: TestHost): Promise<MortalEdge> {
  let [left, dead] = [Number.POSITIVE_INFINITY, false];
  const speak = () => {
    dead ||= left <= 0;
    if (dead) throw new TypeError("killed");
    left -= 1;
  };
  const edge = await startTestEdge({
    onWrite: speak,
    fetch: async (input, init) => {
      speak();
      return host.fetch(input, init);
    },
  });
  return {
    edge,
    db: (await startTestEdge()).db,
    liveFor(words) {
      [left, dead] = [words, false];
    },
    isDead: () => dead,
  };
}

/** Something that is asked for once, and must end whatever happens to the edge on the way. */
export interface Story {
  /** Asked again, in a new life, by whoever got no answer. */
  ask(): Promise<unknown>;
  /** What everybody else does meanwhile; `turn` counts from 0. */
  meanwhile(turn: number): Promise<void>;
  isOver(): Promise<boolean>;
}

const MAX_TURNS = 14;
const TURN_MS = 6 * 60_000;

/**
 * Plays a story whose edge is killed after its nth word, lives again from what is in the database, and is killed once
 * more at the same distance. True when it was over before it was killed: then every moment was tried.
 */
export async function killedAfter(nth: number, { edge, liveFor, isDead }: MortalEdge, story: Story): Promise<boolean> {
  let deaths = 0;
  liveFor(nth);
  await story.ask().catch(() => {});
  for (let turn = 0; turn < MAX_TURNS && !(await story.isOver()); turn += 1) {
    if (isDead()) {
      deaths += 1;
      liveFor(deaths === 1 ? nth : Number.POSITIVE_INFINITY);
      await story.ask().catch(() => {});
    }
    await edge.tick().catch(() => {});
    await story.meanwhile(turn);
    edge.world.forward(TURN_MS);
  }
  const isThrough = deaths === 0 && !isDead();
  liveFor(Number.POSITIVE_INFINITY);
  return isThrough;
}
