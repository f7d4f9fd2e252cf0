import { statfsSync } from "node:fs";
import type { Guard } from "../firewall/index.ts";
import type { Journal } from "../journal.ts";
import { hostMetrics } from "./rules.ts";

/** Everything that this host tells a Prometheus, as it is now. */
export function createHostMetrics({
  journal,
  guard,
  stateDir,
  nowMs,
}: {
  journal: Journal;
  guard: Pick<Guard, "state" | "driftsByWall">;
  stateDir: string;
  nowMs: () => number;
}): () => string {
  const startedAtMs = nowMs();
  return () => {
    const { bavail, bsize } = statfsSync(stateDir);
    const { user, system } = process.cpuUsage();
    const { standing, checks } = guard.state();
    return hostMetrics({
      tenants: journal.tenants.all(),
      guard: { standing, checks, byWall: guard.driftsByWall() },
      reports: { waiting: journal.reports.waiting(), last: journal.reports.lastSeq() },
      keysetVersion: journal.keyset().version,
      epoch: journal.epoch() ?? 0,
      diskFreeBytes: bavail * bsize,
      residentBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
      startedAtMs,
    });
  };
}
