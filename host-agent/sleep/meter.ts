import type { Connections } from "./connections.ts";

/** A container that was started again has another process; nobody tells us. */
const PID_KEPT_MS = 10_000;
const COUNT_KEPT_MS = 1_000;
const COUNT_AT_MOST_EVERY_MS = 20;
/** Counting may take a twentieth of the time, however long the kernel's table has become. */
const COUNT_SHARE = 20;

export interface MeterOptions {
  /** First process of the tenant's container; null when it does not run. */
  pidOf: (tenantId: string) => Promise<number | null>;
  count: (tenantId: string, pid: number) => Connections | null;
  now?: () => number;
}

interface Entry {
  pid: number | null;
  pidAt: number;
  count: number;
  countedAt: number;
  costMs: number;
  admitted: number;
}

/**
 * How much a tenant has open, by the kernel's own count: Caddy opens and closes the connections, so nobody tells the gate
 * when one ends. Between two counts everything that was let in counts as still open, so a burst cannot slip through.
 */
export function createMeter({ pidOf, count, now = () => performance.now() }: MeterOptions) {
  const entries = new Map<string, Entry>();

  function lookUp(tenantId: string, entry: Entry): void {
    entry.pidAt = now();
    pidOf(tenantId).then(
      (pid) => {
        if (pid === null) entries.delete(tenantId);
        else if (pid !== entry.pid) Object.assign(entry, { pid, countedAt: Number.NEGATIVE_INFINITY });
      },
      () => entries.delete(tenantId),
    );
  }

  function countAgain(tenantId: string, entry: Entry): void {
    const began = now();
    const found = entry.pid === null ? null : count(tenantId, entry.pid);
    Object.assign(entry, { count: found?.inbound ?? 0, admitted: 0, countedAt: now(), costMs: now() - began });
  }

  return {
    /** Whether one more may begin. The first moments after a start nobody is refused: there is nothing to count yet. */
    admits(tenantId: string, limit: number): boolean {
      let entry = entries.get(tenantId);
      if (!entry) {
        entry = {
          pid: null,
          pidAt: Number.NEGATIVE_INFINITY,
          count: 0,
          countedAt: Number.NEGATIVE_INFINITY,
          costMs: 0,
          admitted: 0,
        };
        entries.set(tenantId, entry);
      }
      if (now() - entry.pidAt > PID_KEPT_MS) lookUp(tenantId, entry);
      const age = now() - entry.countedAt;
      const isFull = entry.count + entry.admitted >= limit;
      const canCount = age > Math.max(COUNT_AT_MOST_EVERY_MS, COUNT_SHARE * entry.costMs);
      if (age > COUNT_KEPT_MS || (isFull && canCount)) countAgain(tenantId, entry);
      if (entry.count + entry.admitted >= limit) return false;
      entry.admitted += 1;
      return true;
    },
  };
}
