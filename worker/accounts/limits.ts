import { inArray, sql } from "drizzle-orm";
import { rateLimit } from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Bucket } from "./rules.ts";

/** Counts tries in the database, which all isolates share. One round trip per group; parallel tries are all counted. */
export class Limits {
  readonly #db: Database;
  readonly #world: World;

  constructor(db: Database, world: World) {
    this.#db = db;
    this.#world = world;
  }

  /** Seconds to wait before it is worth trying again, or null when the try is within all limits. */
  async take(groups: readonly Bucket[][]): Promise<number | null> {
    for (const group of groups) {
      const waits = await Promise.all(group.map((bucket) => this.#count(bucket)));
      const longest = Math.max(0, ...waits);
      if (longest > 0) return longest;
    }
    return null;
  }

  async #count({ key, max, windowSeconds }: Bucket): Promise<number> {
    const now = this.#world.now();
    const { count, lastRequest } = rateLimit;
    const isOver = sql`${lastRequest} <= ${now - windowSeconds * 1000}`;
    const [row] = await this.#db
      .insert(rateLimit)
      .values({ id: key, key, count: 1, lastRequest: now })
      .onConflictDoUpdate({
        target: rateLimit.key,
        set: {
          count: sql`case when ${isOver} then 1 else ${count} + 1 end`,
          lastRequest: sql`case when ${isOver} then ${now} else ${lastRequest} end`,
        },
      })
      .returning();
    if (!row || row.count <= max) return 0;
    return Math.max(1, Math.ceil((row.lastRequest + windowSeconds * 1000 - now) / 1000));
  }

  async forgive(buckets: readonly Bucket[]): Promise<void> {
    const keys = buckets.map(({ key }) => key);
    if (keys.length > 0) await this.#db.delete(rateLimit).where(inArray(rateLimit.key, keys));
  }
}
