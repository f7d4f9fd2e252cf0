import type { TenantStatus, UnnumberedReport } from "../../schema/protocol/index.ts";
import type { Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Tenant } from "../tenants/layout.ts";
import type { Containers, Runtimes } from "../tenants/ports.ts";
import { readCell } from "./cell.ts";
import { isNews } from "./rules.ts";

const LOOK_EVERY_MS = 60_000;

export interface StatusOptions {
  journal: { tenants: Pick<Journal["tenants"], "all">; reports: Pick<Journal["reports"], "add"> };
  containers: Pick<Containers, "vitals">;
  runtimes: Pick<Runtimes, "status">;
  gate: { requests(hostname: string): number };
  bounds: { egressMiB(tenantId: string): number };
  tenantOf: (record: TenantRecord) => Tenant;
  log: Log;
  nowMs: () => number;
}

interface Seen {
  cpuNs: number;
  atMs: number;
  told: Omit<TenantStatus, "seq"> | null;
  /** The gate's count when it was last told. */
  requestsTold: number;
}

/** Looks at every agent that is awake, one after another, and tells the edge what is new. Sleepers are left in peace. */
export function startStatus(options: StatusOptions): { look(): Promise<void>; stop(): void } {
  const { journal, containers, runtimes, gate, bounds, tenantOf, log, nowMs } = options;
  const seen = new Map<string, Seen>();
  let looking: Promise<void> | null = null;
  let stopped = false;

  async function lookAt(record: TenantRecord): Promise<void> {
    const vitals = await containers.vitals(record.id);
    if (!vitals) return void seen.delete(record.id);
    const tenant = tenantOf(record);
    const runtime = await runtimes.status(tenant).catch(() => null);
    const [atMs, before] = [nowMs(), seen.get(record.id)];
    const spanNs = before ? (atMs - before.atMs) * 1e6 : 0;
    // The first look has nothing to compare with; a container that was started again counts from zero.
    const share = before && spanNs > 0 ? Math.max(0, vitals.cpuNs - before.cpuNs) / spanNs : 0;
    const cell = await readCell(vitals.pid);
    const requests = gate.requests(tenant.spec.hostname);
    // Its door was removed meanwhile: the count began anew.
    const requestsTold = before && before.requestsTold <= requests ? before.requestsTold : 0;
    const status = {
      type: "tenant.status" as const,
      at: atMs,
      tenantId: record.id,
      memoryMiB: Math.round(vitals.memoryBytes / 2 ** 20),
      cpuPercent: Math.min(100_000, Math.round(share * 100)),
      pids: vitals.pids,
      requests: requests - requestsTold,
      egressMiB: bounds.egressMiB(record.id),
      ...(cell && { cell }),
      runtime,
    };
    const news = isNews(before?.told ?? null, status);
    if (news && !stopped) journal.reports.add(status satisfies UnnumberedReport);
    seen.set(record.id, {
      ...{ cpuNs: vitals.cpuNs, atMs },
      told: news ? status : (before?.told ?? null),
      requestsTold: news ? requests : requestsTold,
    });
  }

  async function lookAtAll(): Promise<void> {
    for (const record of journal.tenants.all()) {
      if (stopped) return;
      if (record.state !== "running" || record.asleep !== null) continue;
      await lookAt(record).catch((error) => log.warn("status", { tenant: record.id, error: describeError(error) }));
    }
  }

  const look = () => {
    looking ??= lookAtAll().finally(() => {
      looking = null;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), LOOK_EVERY_MS);
  return {
    look,
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}
