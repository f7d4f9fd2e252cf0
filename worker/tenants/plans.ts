import type { RuntimeName, SleepPolicy, TenantLimits } from "../../schema/protocol/index.ts";

export const PLAN_IDS = ["starter", "pro", "team"] as const;
export type PlanId = (typeof PLAN_IDS)[number];

export interface Plan {
  name: string;
  about: string;
  usdPerMonth: number;
  tenants: number;
  /** Of each agent. The same in every plan: 1 GiB is OOM-killed on the first turn, and `insistRoom` counts on it. */
  memoryMiB: number;
  cpuMillis: number;
  diskMiB: number;
  pids: number;
  requestsPerMinute: number;
  /** Requests and WebSockets at the same time. */
  openConnections: number;
  /** What may leave an agent in a day (UTC), answers to its visitors included. */
  egressMiBPerDay: number;
  /** Messages that each agent is handed in a day, UTC. */
  messagesPerDay: number;
  /** How many snapshots of each agent are kept. */
  snapshots: number;
  /** False: it sleeps while nobody needs it, and wakes at the next request. */
  alwaysOn: boolean;
}

/** What is sold. A price here is what the pages say; what is charged stands at the payment provider. */
export const PLANS: Readonly<Record<PlanId, Plan>> = {
  starter: {
    name: "Starter",
    about: "One agent, for yourself.",
    usdPerMonth: 9,
    tenants: 1,
    memoryMiB: 2048,
    cpuMillis: 1000,
    diskMiB: 4096,
    pids: 256,
    requestsPerMinute: 600,
    openConnections: 64,
    egressMiBPerDay: 5_120,
    messagesPerDay: 500,
    snapshots: 3,
    alwaysOn: false,
  },
  pro: {
    name: "Pro",
    about: "More agents that never sleep. What the trial gives you.",
    usdPerMonth: 19,
    tenants: 3,
    memoryMiB: 2048,
    cpuMillis: 2000,
    diskMiB: 8192,
    pids: 256,
    requestsPerMinute: 1200,
    openConnections: 128,
    egressMiBPerDay: 20_480,
    messagesPerDay: 2000,
    snapshots: 7,
    alwaysOn: true,
  },
  team: {
    name: "Team",
    about: "For people who keep agents together.",
    usdPerMonth: 49,
    tenants: 8,
    memoryMiB: 2048,
    cpuMillis: 2000,
    diskMiB: 16_384,
    pids: 384,
    requestsPerMinute: 3000,
    openConnections: 256,
    egressMiBPerDay: 51_200,
    messagesPerDay: 5000,
    snapshots: 30,
    alwaysOn: true,
  },
};

export const TRIAL_PLAN: PlanId = "pro";
export const TRIAL_DAYS = 14;

/** What stands on an agent whose owner pays nothing: in their trial, or on somebody's own machine. */
export const DEFAULT_PLAN = "trial";

/** The row behind the word that stands on an agent. Also for words that are no longer sold. */
export const planOf = (plan: string): Plan => (Object.hasOwn(PLANS, plan) ? PLANS[plan as PlanId] : PLANS[TRIAL_PLAN]);

/** Nobody waits so long for the test agent. */
const ECHO_SLEEP: SleepPolicy = { pauseAfterSeconds: 3, stopAfterSeconds: 6 };
export const sleepOf = (runtime: RuntimeName, plan: string, sleep: SleepPolicy): SleepPolicy | undefined =>
  planOf(plan).alwaysOn ? undefined : runtime === "echo" ? ECHO_SLEEP : sleep;

export const messagesPerDayOf = (plan: string): number => planOf(plan).messagesPerDay;

/** How many snapshots of an agent are kept. */
export const snapshotsOf = (plan: string): number => planOf(plan).snapshots;

/** What one agent gets. The test agent is as small under every plan. */
export function limitsOf(
  runtime: RuntimeName,
  plan: string,
): TenantLimits & { openConnections: number; egressMiBPerDay: number } {
  switch (runtime) {
    case "openclaw":
    case "zeroclaw":
    case "custom": {
      const { memoryMiB, cpuMillis, pids, diskMiB, requestsPerMinute, openConnections, egressMiBPerDay } = planOf(plan);
      return {
        ...{ memoryMiB, cpuMillis, pids, diskMiB, requestsPerMinute, openConnections, egressMiBPerDay },
        ...{ tmpMiB: 64, shmMiB: 64 },
      };
    }
    case "echo":
      return {
        ...{ memoryMiB: 128, cpuMillis: 500, pids: 32, diskMiB: 64, tmpMiB: 64, shmMiB: 16 },
        ...{ requestsPerMinute: 6000, openConnections: 1000, egressMiBPerDay: 5_120 },
      };
  }
}
