import type { Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Tenant } from "../tenants/layout.ts";
import type { Runtimes } from "../tenants/ports.ts";

const EVERY_MS = 30_000;

export interface ConfigGuardOptions {
  journal: { tenants: Pick<Journal["tenants"], "all">; reports: Pick<Journal["reports"], "add"> };
  runtimes: Pick<Runtimes, "hasConfig" | "writeConfig">;
  tenantOf: (record: TenantRecord) => Tenant;
  log: Log;
  nowMs: () => number;
}

/**
 * What the platform wrote for a runtime is what lies there. No agent can change it, since its mount is read-only; whoever
 * does has root on this host, and the next start would take their word for the platform's.
 */
export function startConfigGuard({ journal, runtimes, tenantOf, log, nowMs }: ConfigGuardOptions) {
  let looking: Promise<void> | null = null;

  async function lookAt(record: TenantRecord): Promise<void> {
    const tenant = tenantOf(record);
    if (await runtimes.hasConfig(tenant)) return;
    await runtimes.writeConfig(tenant);
    log.warn("config.drift", { tenant: record.id });
    const { id: tenantId, generation } = record;
    const detail = "Its configuration had been changed on the server, and was put back.";
    const step = { step: "config", status: "done", detail } as const;
    journal.reports.add({ type: "tenant.progress", at: nowMs(), tenantId, generation, ...step });
  }

  async function lookAtAll(): Promise<void> {
    for (const record of journal.tenants.all()) {
      // On its way anywhere else, its worker writes it.
      if (record.state !== "running" || record.stateGeneration !== record.generation) continue;
      await lookAt(record).catch((error) =>
        log.warn("config.look", { tenant: record.id, error: describeError(error) }),
      );
    }
  }

  const look = () => {
    looking ??= lookAtAll().finally(() => {
      looking = null;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), EVERY_MS);
  return {
    look,
    stop(): void {
      clearInterval(timer);
    },
  };
}
