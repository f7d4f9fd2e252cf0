import { setTimeout as pause } from "node:timers/promises";
import type { Depth, Journal, TenantRecord } from "../journal.ts";
import type { Tenant } from "../tenants/layout.ts";
import type { Containers, Routes, Runtimes, Vitals, Volumes } from "../tenants/ports.ts";
import { type Connections, connectionsOf } from "./connections.ts";
import type { MeterOptions } from "./meter.ts";
import { lookAgainMs, nextRest, occupation, wakeTime } from "./rules.ts";

export { createMeter } from "./meter.ts";

const CPU_SAMPLE_MS = 400;

export interface SlumberOptions {
  ports: { containers: Containers; runtimes: Runtimes; routes: Routes; volumes: Volumes };
  tenantOf: (record: TenantRecord) => Tenant;
  nowMs: () => number;
}

/** What a meter asks of this host. */
export function metering({
  journal,
  ports,
  tenantOf,
}: Pick<SlumberOptions, "tenantOf"> & {
  journal: { tenants: Pick<Journal["tenants"], "get"> };
  ports: Pick<SlumberOptions["ports"], "containers" | "runtimes">;
}): MeterOptions {
  return {
    pidOf: async (tenantId) => (await ports.containers.vitals(tenantId))?.pid ?? null,
    count(tenantId, pid) {
      const record = journal.tenants.get(tenantId);
      return record?.spec ? connectionsOf(pid, ports.runtimes.port(tenantOf(record).spec.runtime)) : null;
    },
  };
}

export type FallsAsleep = { asleep: true; wakeAtMs: number | null } | { asleep: false; why: string };

/** How one tenant falls asleep and wakes. Says nothing to the journal: the tenant's worker does. */
export function createSlumber({ ports, tenantOf, nowMs }: SlumberOptions) {
  const { containers, runtimes, routes, volumes } = ports;

  function connections(record: TenantRecord, pid: number): Connections | null {
    return connectionsOf(pid, runtimes.port(tenantOf(record).spec.runtime));
  }

  /** Of a container that was started again meanwhile: more than there is. */
  async function cpuShareOf(tenantId: string, before: Vitals): Promise<number> {
    const began = performance.now();
    await pause(CPU_SAMPLE_MS);
    const after = await containers.vitals(tenantId);
    if (after?.pid !== before.pid) return Number.POSITIVE_INFINITY;
    return (after.cpuNs - before.cpuNs) / ((performance.now() - began) * 1e6);
  }

  /** Asks everybody who can tell whether something is going on: the kernel, the runtime, the engine. */
  async function occupied(record: TenantRecord): Promise<{ why: string } | { why: null; pid: number }> {
    const before = await containers.vitals(record.id);
    if (!before) return { why: "it does not run" };
    const runtime = await runtimes.busy(tenantOf(record));
    const cpuShare = runtime === undefined ? await cpuShareOf(record.id, before) : 0;
    const why = occupation({ runtime, connections: connections(record, before.pid), cpuShare });
    return why === null ? { why, pid: before.pid } : { why };
  }

  function hold(record: TenantRecord, knock: () => void): void {
    const { hostname, limits } = tenantOf(record).spec;
    const { requestsPerMinute, openConnections } = limits;
    routes.hold(hostname, { tenantId: record.id, requestsPerMinute, openConnections, knock });
  }

  return {
    hold,

    next(record: TenantRecord) {
      const { hostname, sleep: policy } = tenantOf(record).spec;
      const { asleep: depth, asleepSinceMs, wakeAtMs } = record;
      const sinceAsleep = asleepSinceMs === null ? 0 : Math.max(0, nowMs() - asleepSinceMs);
      const first = Math.min(policy?.pauseAfterSeconds ?? Infinity, policy?.stopAfterSeconds ?? Infinity);
      const idleMs =
        depth === null ? routes.idleMs(hostname) : sinceAsleep + (Number.isFinite(first) ? first * 1_000 : 0);
      return nextRest({ policy, depth, idleMs, wakeAtMs, nowMs: nowMs() });
    },

    lookAgainMs: (record: TenantRecord) => lookAgainMs(tenantOf(record).spec.sleep),

    /** Something goes on behind the door: the time without it begins anew. */
    stir: (record: TenantRecord) => routes.stir(tenantOf(record).spec.hostname),

    /**
     * From awake: looks, shuts the door, looks once more, and only then `commit` writes it down and it is done. Whoever was
     * let in meanwhile, or whatever began, keeps it awake; then the door is as it was.
     */
    async fallAsleep(record: TenantRecord, depth: Depth, { knock, commit }: Bed): Promise<FallsAsleep> {
      const tenant = tenantOf(record);
      const { hostname } = tenant.spec;
      const looked = await occupied(record);
      if (looked.why !== null) return { asleep: false, why: looked.why };
      const nextRunMs = await runtimes.nextRunMs(tenant).catch(() => undefined);
      if (nextRunMs === undefined) return { asleep: false, why: "its own jobs cannot be read" };
      const { sleep, wakeAtMs } = wakeTime(nextRunMs, depth, nowMs());
      if (!sleep) return { asleep: false, why: "a job of its own is due soon" };
      const next = this.next(record);
      if (next.do !== "sleep") return { asleep: false, why: "a visitor came" };
      hold(record, knock);
      // Once more, now that no visitor can give it work.
      const busy = await runtimes.busy(tenant);
      if (busy) return { asleep: false, why: busy };
      const stillOpen = connections(record, looked.pid);
      if (routes.waiting(hostname) > 0 || (stillOpen?.inbound ?? 1) + (stillOpen?.outbound ?? 1) > 0) {
        return { asleep: false, why: "something began" };
      }
      if (!commit(wakeAtMs)) return { asleep: false, why: "its owner wants something else" };
      await (depth === "paused" ? containers.pause(record.id) : end(tenant));
      if (depth === "paused") {
        // What began between the look and the frost would be frozen with it.
        const now = connections(record, looked.pid);
        if ((now?.inbound ?? 0) + (now?.outbound ?? 0) > 0) return { asleep: false, why: "something began" };
      }
      return { asleep: true, wakeAtMs };
    },

    /** From frozen to ended: nobody is inside, and the door stays shut. */
    deepen: (record: TenantRecord) => end(tenantOf(record)),

    /** Only from frozen; from `stopped` the chain of a start is walked. */
    thaw: (record: TenantRecord) => containers.unpause(record.id),

    tell(record: TenantRecord, news: { step?: string; trouble?: string }): void {
      if (record.spec) routes.tell(record.spec.hostname, news);
    },
  };

  /** Its key leaves the memory of this host with the volume. */
  async function end(tenant: Tenant): Promise<void> {
    await containers.stop(tenant.spec.id, runtimes.stopTimeoutSeconds(tenant.spec.runtime));
    await runtimes.clearEnv(tenant.layout);
    await volumes.close(tenant.layout);
  }
}
export type Slumber = ReturnType<typeof createSlumber>;

interface Bed {
  /** A visitor stands at the shut door. */
  knock: () => void;
  /** False: a newer word has come. */
  commit: (wakeAtMs: number | null) => boolean;
}
