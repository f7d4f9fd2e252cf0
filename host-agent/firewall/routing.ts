import type { PolicyInputs } from "./inputs.ts";
import { METADATA } from "./policy.ts";
import type { Run } from "./run.ts";

/**
 * The second lock, which does not depend on netfilter: routing policy that has no way from a tenant to another tenant
 * or to a metadata service. `iptables -F`, or a whole `nft flush ruleset`, opens neither.
 */
export interface RoutingRule {
  id: string;
  /** Lower is earlier; 0 is the kernel's own `local` table, so a host's own addresses are not held here. */
  priority: number;
  /** `ip rule add` arguments behind `priority N`, in the spelling in which `ip rule` prints them. */
  selector: readonly string[];
  action: readonly string[];
}

/** A range of priorities that is ours alone: whatever else stands in it is removed. */
export const PRIORITIES = { first: 5_210, last: 5_290 } as const;

export function routingPolicy({ pool, resolvers }: PolicyInputs): RoutingRule[] {
  const bare = (network: string) => network.replace(/\/32$/, "");
  const rules: Omit<RoutingRule, "priority">[] = [
    // The host itself speaks to a container from the bridge's address, which is in the pool too.
    { id: "host-to-tenant", selector: ["from", pool, "to", pool, "iif", "lo"], action: ["lookup", "main"] },
    { id: "tenant-to-tenant", selector: ["from", pool, "to", pool], action: ["prohibit"] },
    // Some clouds put their name server beside, or even at, the metadata service: port 53 stays open.
    ...resolvers.flatMap((resolver) =>
      ["udp", "tcp"].map((protocol) => ({
        id: `resolver-${protocol}`,
        selector: ["from", pool, "to", bare(resolver), "ipproto", protocol, "dport", "53"],
        action: ["lookup", "main"],
      })),
    ),
    ...METADATA.map((network) => ({
      id: "metadata",
      selector: ["from", pool, "to", bare(network)],
      action: ["prohibit"],
    })),
  ];
  return rules.map((rule, index) => ({ ...rule, priority: PRIORITIES.first + index }));
}

const line = ({ priority, selector, action }: RoutingRule): string =>
  [`${priority}:`, ...selector, ...action].join(" ");

/** Lines of `ip rule` that lie in our range. */
export function parseRoutingRules(text: string): string[] {
  return text
    .split("\n")
    .map((row) => row.trim().replace(/\s+/g, " "))
    .filter((row) => {
      const priority = Number.parseInt(row, 10);
      return priority >= PRIORITIES.first && priority <= PRIORITIES.last;
    });
}

export function routingDifferences(want: readonly RoutingRule[], have: readonly string[]): string[] {
  const lines = want.map(line);
  return [
    ...lines.filter((row) => !have.includes(row)).map((row) => `routing: missing: ${row}`),
    ...have
      .filter((row, i) => !lines.includes(row) || have.indexOf(row) !== i)
      .map((row) => `routing: not ours: ${row}`),
  ];
}

/**
 * Adds before it removes, so that no moment is without the lock; `ip rule` has no transactions. Resolves with what had
 * differed.
 */
export async function applyRouting(run: Run, want: readonly RoutingRule[]): Promise<string[]> {
  const have = parseRoutingRules(await run("ip", ["-4", "rule", "show"]));
  const found = routingDifferences(want, have);
  for (const rule of want.filter((candidate) => !have.includes(line(candidate)))) {
    await run("ip", ["-4", "rule", "add", "priority", String(rule.priority), ...rule.selector, ...rule.action]);
  }
  const lines = want.map(line);
  const foreign = have.filter((row, i) => !lines.includes(row) || have.indexOf(row) !== i);
  for (const row of foreign) {
    const [priority = "", ...rest] = row.replace(":", "").split(" ");
    await run("ip", ["-4", "rule", "del", "priority", priority, ...rest]);
  }
  return found;
}

export async function verifyRouting(run: Run, want: readonly RoutingRule[]): Promise<string[]> {
  return routingDifferences(want, parseRoutingRules(await run("ip", ["-4", "rule", "show"])));
}
