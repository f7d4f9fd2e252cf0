import { byLabel, exposition, type Sample } from "../../schema/protocol/metrics.ts";
import type { Overview } from "../operator/types.ts";

/**
 * What the edge tells. All but the last two is what the database says, the same from whichever isolate answers; those two
 * are counted in one isolate's memory, and an edge has many that come and go: on Cloudflare they are a sample.
 */
export const EDGE_METRICS = {
  chelar_agents: ["gauge", "Agents by the state that their owners see."],
  chelar_agents_failed: ["gauge", "Agents that failed and wait for somebody."],
  chelar_hosts: ["gauge", "Hosts by state."],
  chelar_host_silent: ["gauge", "1 for a host that says nothing while others do."],
  chelar_host_report_age_seconds: ["gauge", "Since a host was last heard; absent before the first time."],
  chelar_host_room: ["gauge", "What a host has for agents, by kind: agents, memory_mib, disk_mib."],
  chelar_host_room_used: ["gauge", "What of it agents were promised."],
  chelar_host_attacks: ["gauge", "Attacks of its last run against its own walls, by outcome."],
  chelar_host_posture_age_seconds: ["gauge", "Since a host last attacked its own walls; absent before the first time."],
  chelar_host_wall_repairs: ["gauge", "Walls found changed and put back since the host's agent began, by wall."],
  chelar_outbox_depth: ["gauge", "Commands that no host has confirmed yet."],
  chelar_outbox_oldest_seconds: ["gauge", "Age of the oldest of them; 0 when there is none."],
  chelar_outbox_stuck: ["gauge", "Commands that were tried several times in vain."],
  chelar_mail_waiting: ["gauge", "Letters that no provider has taken yet."],
  chelar_alerts: ["gauge", "What needs an operator, by kind."],
  chelar_people: ["gauge", "People with a confirmed address."],
  chelar_accounts: ["gauge", "Accounts by standing: trial, owing, leaving, ended."],
  chelar_subscriptions: ["gauge", "Paid subscriptions by plan."],
  chelar_revenue_usd_per_month: ["gauge", "At list prices, before taxes and discounts."],
  chelar_http_requests_total: ["counter", "Requests by part and class of the answer; of one isolate's memory."],
  chelar_isolate_started_seconds: ["gauge", "When this isolate began, as Unix time; of one isolate's memory."],
} as const;

export type Part = "door" | "api" | "hosts" | "pages";

/** Which part of the edge answered: few words, since strangers choose the paths. */
export function partOf(url: string): Part {
  const [, first, second] = /^https?:\/\/[^/]+\/([^/?]*)\/?([^/?]*)/.exec(url) ?? [];
  if (first !== "api") return "pages";
  return second === "hosts" ? "hosts" : "api";
}

/** Counts by part and class, in memory. */
export class Counts {
  readonly #counts = new Map<string, Sample & { value: number }>();

  add(part: Part, status: number): void {
    const answer = `${Math.floor(status / 100)}xx`;
    const key = `${part} ${answer}`;
    const known = this.#counts.get(key);
    if (known) known.value += 1;
    else this.#counts.set(key, { labels: { part, class: answer }, value: 1 });
  }

  samples(isolate: string): Sample[] {
    return [...this.#counts.values()].map(({ labels, value }) => ({ labels: { isolate, ...labels }, value }));
  }
}

export function edgeMetrics(
  seen: Overview,
  { isolate, startedAtMs, counts }: { isolate: string; startedAtMs: number; counts: Counts },
): string {
  const { hosts, outbox, revenue } = seen;
  const since = (at: string) => (Date.parse(seen.at) - Date.parse(at)) / 1000;
  const perHost = (of: (host: Overview["hosts"][number]) => Sample[]) =>
    hosts.flatMap((host) => of(host).map(({ labels, value }) => ({ labels: { host: host.name, ...labels }, value })));
  const rooms = (part: "used" | "of") =>
    perHost(({ agents, memoryMiB, diskMiB }) =>
      byLabel("kind", { agents: agents[part], memory_mib: memoryMiB[part], disk_mib: diskMiB[part] }),
    );
  return exposition(EDGE_METRICS, {
    chelar_agents: byLabel("state", seen.agents),
    chelar_agents_failed: seen.failed.length,
    chelar_hosts: byLabel("state", countBy(hosts.map(({ state }) => state))),
    chelar_host_silent: perHost(({ silent }) => [{ value: Number(silent) }]),
    chelar_host_report_age_seconds: perHost(({ lastReportAt }) =>
      lastReportAt ? [{ value: since(lastReportAt) }] : [],
    ),
    chelar_host_room: rooms("of"),
    chelar_host_room_used: rooms("used"),
    chelar_host_attacks: perHost(({ posture }) =>
      posture ? byLabel("outcome", { held: posture.held, breached: posture.breached, unproven: posture.unproven }) : [],
    ),
    chelar_host_posture_age_seconds: perHost(({ posture }) => (posture ? [{ value: since(posture.at) }] : [])),
    chelar_host_wall_repairs: perHost(({ drift }) => byLabel("wall", drift)),
    chelar_outbox_depth: outbox.depth,
    chelar_outbox_oldest_seconds: outbox.oldestAt === null ? 0 : since(outbox.oldestAt),
    chelar_outbox_stuck: outbox.stuck.length,
    chelar_mail_waiting: seen.mailWaiting,
    chelar_alerts: byLabel("kind", countBy(seen.alerts.map(({ kind }) => kind))),
    chelar_people: revenue.people,
    chelar_accounts: byLabel("standing", {
      ...{ trial: revenue.trials, owing: revenue.owing },
      ...{ leaving: revenue.leaving, ended: revenue.ended },
    }),
    chelar_subscriptions: byLabel("plan", Object.fromEntries(revenue.plans.map(({ plan, paid }) => [plan, paid]))),
    chelar_revenue_usd_per_month: revenue.usdPerMonth,
    chelar_http_requests_total: counts.samples(isolate),
    chelar_isolate_started_seconds: [{ labels: { isolate }, value: startedAtMs / 1000 }],
  });
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
