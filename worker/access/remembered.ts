import { BoundedMap } from "../bounded-map.ts";
import type { World } from "../clock.ts";

/** Below it memory answers alone; up to the limit it answers and looks again meanwhile; above it, it must look. */
const FRESH_MS = 2_000;
const LIMIT_MS = 4_000;

export type Later = (work: Promise<unknown>) => void;

interface Entry<V> {
  at: number;
  value: V;
  looking: boolean;
}

/**
 * What was true at most four seconds ago, so that a warm decision asks no database and a revoked session is still
 * refused within five. Values are shared between requests, promises never: workerd forbids waiting for another
 * request's I/O. What is warm comes without a promise: one turn of the event loop is a tenth of a decision.
 */
export class Remembered<V> {
  readonly #world: World;
  readonly #known: BoundedMap<string, Entry<V>>;

  constructor(world: World, max: number) {
    this.#world = world;
    this.#known = new BoundedMap(max);
  }

  /** The value, or undefined when it must be looked up: then {@link look}. */
  warm(key: string, look: () => Promise<V>, later: Later): V | undefined {
    const entry = this.#known.get(key);
    if (!entry) return undefined;
    const age = this.#world.now() - entry.at;
    // Below zero the clock was set back: what was asked in that future would count as fresh until it comes.
    if (age < 0 || age >= LIMIT_MS) return undefined;
    if (age >= FRESH_MS && !entry.looking) {
      entry.looking = true;
      later(this.look(key, look));
    }
    return entry.value;
  }

  async look(key: string, look: () => Promise<V>): Promise<V> {
    // The moment of asking counts, not of the answer: a slow answer is older than it looks.
    const at = this.#world.now();
    const value = await look();
    this.#known.set(key, { at, value, looking: false });
    return value;
  }
}
