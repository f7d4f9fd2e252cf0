import { createHash, timingSafeEqual } from "node:crypto";
import type { World } from "../clock.ts";

/** `hst_….SECRET`, as the host's Caddy says it in `X-Chelar-Host`. */
const SHAPE = /^(hst_[A-Za-z0-9]{1,60})\.([A-Za-z0-9_-]{43})$/;
const FRESH_MS = 5_000;
const LIMIT_MS = 15_000;
/** A stranger's made-up keys cause at most this many looks. */
const PAUSE_MS = 1_000;

/** Host id → base64url SHA-256 of its ingress's secret. */
export type IngressHashes = ReadonlyMap<string, string>;

/**
 * Who may ask the door: the ingress of an enrolled host, and nobody else, since the answer depends on what it says of
 * the visitor. All hosts are read at once: so asking with names that do not exist costs no query each.
 */
export class Askers {
  readonly #world: World;
  readonly #read: () => Promise<IngressHashes>;
  #hashes: IngressHashes = new Map();
  #at = Number.NEGATIVE_INFINITY;
  #looking = false;
  /** Keys that were right for `#hashes`. */
  #right = new Map<string, string>();

  constructor(world: World, read: () => Promise<IngressHashes>) {
    this.#world = world;
    this.#read = read;
  }

  /** The host's id when this key is warm. */
  known(key: string, later: (work: Promise<unknown>) => void): string | undefined {
    const age = this.#world.now() - this.#at;
    if (age < 0 || age >= LIMIT_MS) return undefined;
    if (age >= FRESH_MS && !this.#looking) {
      this.#looking = true;
      later(this.#look());
    }
    return this.#right.get(key);
  }

  /** The host's id, or null for somebody who is no host. */
  async find(key: string): Promise<string | null> {
    const [, hostId, secret] = SHAPE.exec(key) ?? [];
    if (!hostId || !secret) return null;
    const age = this.#world.now() - this.#at;
    const isStale = age < 0 || age >= LIMIT_MS;
    if (isStale || (!this.#hashes.has(hostId) && age >= PAUSE_MS)) await this.#look();
    const hash = this.#hashes.get(hostId);
    if (!hash) return null;
    const shown = createHash("sha256").update(secret).digest();
    const wanted = Buffer.from(hash, "base64url");
    if (wanted.length !== shown.length || !timingSafeEqual(shown, wanted)) return null;
    this.#right.set(key, hostId);
    return hostId;
  }

  async #look(): Promise<void> {
    const at = this.#world.now();
    try {
      this.#hashes = await this.#read();
      this.#right = new Map();
      this.#at = at;
    } finally {
      this.#looking = false;
    }
  }
}
