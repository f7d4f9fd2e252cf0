import { BoundedMap } from "../bounded-map.ts";
import type { World } from "../clock.ts";

const BURST = 30;
const REFILL_PER_MS = 30 / 60_000;

/**
 * How many wrong names, keys and tickets one address may still try. Only what was looked up in vain counts: a visitor
 * who is right never feels it, and a stranger cannot make the database work without end.
 */
export class Patience {
  readonly #world: World;
  readonly #left = new BoundedMap<string, { tries: number; at: number }>(10_000);

  constructor(world: World) {
    this.#world = world;
  }

  /** 0, or after how many seconds the next try is allowed. */
  waitSeconds(address: string): number {
    const tries = this.#tries(address);
    return tries >= 1 ? 0 : Math.ceil((1 - tries) / REFILL_PER_MS / 1_000);
  }

  charge(address: string): void {
    this.#left.set(address, { tries: Math.max(0, this.#tries(address) - 1), at: this.#world.now() });
  }

  #tries(address: string): number {
    const entry = this.#left.get(address);
    if (!entry) return BURST;
    return Math.min(BURST, entry.tries + Math.max(0, this.#world.now() - entry.at) * REFILL_PER_MS);
  }
}
