import { BoundedMap } from "../bounded-map.ts";

/**
 * A hint, never a fact: how often this very isolate has taken in a report about an agent. A stream of that agent then
 * looks at the database at once. Where the report came in at another isolate, it looks at its next turn; so nothing
 * depends on a memory that can be lost.
 */
export interface News {
  heard(tenantId: string): void;
  count(tenantId: string): number;
}

export function createNews(): News {
  const counts = new BoundedMap<string, number>(10_000);
  return {
    heard: (tenantId) => counts.set(tenantId, (counts.get(tenantId) ?? 0) + 1),
    count: (tenantId) => counts.get(tenantId) ?? 0,
  };
}
