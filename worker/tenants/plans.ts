import type { RuntimeName, TenantLimits } from "../../schema/protocol/index.ts";

/** What one agent of a runtime gets. A runtime without a row cannot be created. */
const LIMITS: Readonly<Record<RuntimeName, TenantLimits>> = {
  // Idle 650–940 MiB, peak 1.5 GB; 1 GiB is OOM-killed on the first turn (ran, RUNTIMES).
  openclaw: {
    memoryMiB: 2048,
    cpuMillis: 2000,
    pids: 256,
    diskMiB: 4096,
    tmpMiB: 64,
    shmMiB: 64,
    requestsPerMinute: 1200,
  },
  echo: { memoryMiB: 128, cpuMillis: 500, pids: 32, diskMiB: 64, tmpMiB: 64, shmMiB: 16, requestsPerMinute: 6000 },
};

/** The only plan so far: everybody's trial. */
export const DEFAULT_PLAN = "trial";

/** `plan` will choose between rows when there is more than one. */
export const limitsOf = (runtime: RuntimeName, _plan: string): TenantLimits => LIMITS[runtime];
