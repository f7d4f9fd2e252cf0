import { BoundedMap } from "../bounded-map.ts";
import type { World } from "../clock.ts";

const BURST = 30;
const REFILL_PER_MS = 30 / 60_000;
const SAME_MISTAKE_MS = 60_000;
/** Its end tells it from others; strangers choose how long it is. */
const MISTAKE_CHARACTERS = 200;

/**
 * How many wrong names, keys and tickets one address may still try. Only what was looked up in vain counts, and the same
 * mistake once a minute: a visitor who is right never feels it, a page of thirty pictures whose session has ended is one
 * mistake, and a stranger cannot make the database work without end.
 */
export class Patience {
  readonly #world: World;
  readonly #left = new BoundedMap<string, { tries: number; at: number }>(10_000);
  readonly #mistakes = new BoundedMap<string, number>(5_000);

  constructor(world: World) {
    this.#world = world;
  }

  /** 0, or after how many seconds the next try is allowed. */
  waitSeconds(address: string): number {
    const tries = this.#tries(address);
    return tries >= 1 ? 0 : Math.ceil((1 - tries) / REFILL_PER_MS / 1_000);
  }

  charge(address: string, mistake: string): void {
    const now = this.#world.now();
    const key = `${address} ${mistake.slice(-MISTAKE_CHARACTERS)}`;
    const before = this.#mistakes.get(key);
    if (before !== undefined && Math.abs(now - before) < SAME_MISTAKE_MS) return;
    this.#mistakes.set(key, now);
    this.#left.set(address, { tries: Math.max(0, this.#tries(address) - 1), at: now });
  }

  #tries(address: string): number {
    const entry = this.#left.get(address);
    if (!entry) return BURST;
    return Math.min(BURST, entry.tries + Math.max(0, this.#world.now() - entry.at) * REFILL_PER_MS);
  }
}
