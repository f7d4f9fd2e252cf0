import { byLabel, exposition } from "../../schema/protocol/metrics.ts";
import type { TenantRecord } from "../journal.ts";

export const HOST_METRICS = {
  chelar_host_agents: ["gauge", "Agents by what was last reported of them."],
  chelar_host_agents_asleep: ["gauge", "Agents that sleep, by depth: paused with their memory, stopped without."],
  chelar_host_walls_standing: ["gauge", "1 while every wall stands as planned."],
  chelar_host_wall_drift_total: ["counter", "Walls found changed and put back since the host agent began, by wall."],
  chelar_host_wall_checks_total: ["counter", "Looks at the walls since the host agent began."],
  chelar_host_reports_waiting: ["gauge", "Reports that the edge has not confirmed yet."],
  chelar_host_reports_total: ["counter", "Reports ever written in this epoch."],
  chelar_host_keyset_version: ["gauge", "Newest version of the edge's command keys that this host believes."],
  chelar_host_epoch: ["gauge", "Rises with every enrolment."],
  chelar_host_disk_free_bytes: ["gauge", "On the file system of the journal, which must be able to write."],
  chelar_host_process_resident_bytes: ["gauge", "Memory of the host agent."],
  chelar_host_process_cpu_seconds_total: ["counter", "CPU time of the host agent."],
  chelar_host_started_seconds: ["gauge", "When the host agent began, as Unix time."],
} as const;

export interface HostFacts {
  tenants: readonly Pick<TenantRecord, "state" | "asleep" | "goal">[];
  guard: { standing: boolean; checks: number; byWall: Record<string, number> };
  reports: { waiting: number; last: number };
  keysetVersion: number;
  epoch: number;
  diskFreeBytes: number;
  residentBytes: number;
  cpuSeconds: number;
  startedAtMs: number;
}

/** No agent is named: a scraper's database is nobody's place to learn who has one. */
export function hostMetrics(facts: HostFacts): string {
  const { guard, reports } = facts;
  const tenants = facts.tenants.filter(({ goal }) => goal !== "purged");
  const asleep = tenants.flatMap((tenant) => tenant.asleep ?? []);
  return exposition(HOST_METRICS, {
    chelar_host_agents: byLabel("state", countBy(tenants.map(({ state }) => state))),
    chelar_host_agents_asleep: byLabel("depth", { paused: 0, stopped: 0, ...countBy(asleep) }),
    chelar_host_walls_standing: Number(guard.standing),
    chelar_host_wall_drift_total: byLabel("wall", guard.byWall),
    chelar_host_wall_checks_total: guard.checks,
    chelar_host_reports_waiting: reports.waiting,
    chelar_host_reports_total: reports.last,
    chelar_host_keyset_version: facts.keysetVersion,
    chelar_host_epoch: facts.epoch,
    chelar_host_disk_free_bytes: facts.diskFreeBytes,
    chelar_host_process_resident_bytes: facts.residentBytes,
    chelar_host_process_cpu_seconds_total: facts.cpuSeconds,
    chelar_host_started_seconds: facts.startedAtMs / 1000,
  });
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
