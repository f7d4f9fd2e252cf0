import type { HostOnDesk, OutboxOnDesk } from "../hosts/index.ts";
import { displayState, PLAN_IDS, PLANS } from "../tenants/index.ts";
import type * as store from "./store.ts";
import type { HostView, Overview, RevenueView } from "./types.ts";

type Rows<F extends (...args: never[]) => PromiseLike<unknown>> = Awaited<ReturnType<F>>;

export const iso = (at: number): string => new Date(at).toISOString();
export const isoOrNull = (at: number | null): string | null => (at === null ? null : iso(at));

export function hostViewOf(host: HostOnDesk, silent: boolean): HostView {
  const { id, name, region, state, endpoint, epoch, lastReportAt, capacity, promised, inventory, posture } = host;
  const count = (outcome: string) => posture?.attacks.filter((attack) => attack.outcome === outcome).length ?? 0;
  return {
    ...{ id, name, region, state, endpoint, epoch, silent, lastReportAt: isoOrNull(lastReportAt) },
    agents: { used: promised.usedTenants, of: capacity.tenants },
    memoryMiB: { used: promised.usedMemoryMiB, of: capacity.memoryMiB },
    diskMiB: { used: promised.usedDiskMiB, of: capacity.diskMiB },
    versions: inventory?.versions ?? {},
    images: inventory?.images.map((image) => ({ runtime: image.runtime, state: image.state })) ?? [],
    drift: inventory?.drift ?? {},
    posture: posture && {
      at: iso(posture.at),
      held: count("held"),
      breached: count("breached"),
      unproven: count("unproven"),
      open: posture.attacks
        .filter(({ outcome }) => outcome === "breached" || outcome === "unproven")
        .map(({ id: attack, layer, tries, outcome, evidence }) => ({ id: attack, layer, tries, outcome, evidence })),
      gates: posture.gates,
    },
  };
}

/** In the words that owners read, since that is what they write about. */
export function agentsByState(rows: Rows<typeof store.countAgents>): Overview["agents"] {
  const states: Overview["agents"] = {};
  for (const { desired, observed, isHeard, n } of rows) {
    const row = { desired, observed, generation: 1, observedGeneration: isHeard ? 1 : 0, purgedAt: null };
    const state = displayState(row);
    states[state] = (states[state] ?? 0) + n;
  }
  return states;
}

export const failedOf = (rows: Rows<typeof store.failedAgents>): Overview["failed"] =>
  rows.map(({ since, host, ...row }) => ({ ...row, host: host ?? "a host that is gone", since: iso(since) }));

export function outboxOf(outbox: OutboxOnDesk, hosts: readonly HostOnDesk[]): Overview["outbox"] {
  const nameOf = (id: string) => hosts.find((host) => host.id === id)?.name ?? id;
  return {
    depth: outbox.depth,
    oldestAt: isoOrNull(outbox.oldestAt),
    stuck: outbox.stuck.map(({ hostId, tenantId, attempts, error, since, nextAttemptAt }) => ({
      ...{ hostId, tenantId, attempts, error, host: nameOf(hostId) },
      ...{ since: iso(since), nextAt: iso(nextAttemptAt) },
    })),
  };
}

export function revenueOf(
  payments: RevenueView["payments"],
  rows: Rows<typeof store.countAccounts>,
  people: number,
): RevenueView {
  const countOf = (...standings: string[]) =>
    rows.filter(({ standing }) => standings.includes(standing)).reduce((sum, { n }) => sum + n, 0);
  const plans = PLAN_IDS.map((plan) => {
    const own = rows.filter((row) => row.plan === plan && ["paid", "leaving", "owing"].includes(row.standing));
    const paid = own.reduce((sum, { n }) => sum + n, 0);
    return { plan, name: PLANS[plan].name, paid, usdPerMonth: paid * PLANS[plan].usdPerMonth };
  });
  return {
    payments,
    usdPerMonth: plans.reduce((sum, { usdPerMonth }) => sum + usdPerMonth, 0),
    plans,
    trials: countOf("trial"),
    owing: countOf("owing"),
    leaving: countOf("leaving"),
    ended: countOf("ended", "none"),
    people,
  };
}
