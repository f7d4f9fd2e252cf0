import type { PolicyInputs } from "./inputs.ts";
import { readKernel } from "./kernel.ts";
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

/** Directly behind the kernel's own: a rule that stands before ours could route around them. */
const FIRST_PRIORITY = 1;
/** Marks rules as ours (`proto`, RTPROT in rtnetlink(7); not one that a routing daemon uses): others' are never touched. */
const PROTOCOL = "219";
const KERNEL_RULE = "0: from all lookup local";

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
  return rules.map((rule, index) => ({ ...rule, priority: FIRST_PRIORITY + index }));
}

const line = ({ priority, selector, action }: RoutingRule): string =>
  [`${priority}:`, ...selector, ...action, "proto", PROTOCOL].join(" ");

const priorityOf = (row: string): number => Number.parseInt(row, 10);
const isOurs = (row: string): boolean => row.endsWith(` proto ${PROTOCOL}`);

export function routingDifferences(want: readonly RoutingRule[], have: readonly string[]): string[] {
  const lines = want.map(line);
  const last = want.at(-1)?.priority ?? 0;
  const before = have.filter((row) => !isOurs(row) && row !== KERNEL_RULE && priorityOf(row) <= last);
  return [
    ...lines.filter((row) => !have.includes(row)).map((row) => `routing: missing: ${row}`),
    ...stale(want, have).map((row) => `routing: left over: ${row}`),
    ...before.map((row) => `routing: somebody else's rule stands before ours: ${row}`),
  ];
}

/** Ours by their mark, but of another policy, or there twice. */
function stale(want: readonly RoutingRule[], have: readonly string[]): string[] {
  const lines = want.map(line);
  return have.filter((row, i) => isOurs(row) && (!lines.includes(row) || have.indexOf(row) !== i));
}

/**
 * Adds before it removes, so that no moment is without the lock; `ip rule` has no transactions. Rules that are not ours
 * stay, and go on being reported where they stand before ours. Resolves with what had differed.
 */
export async function applyRouting(
  run: Run,
  want: readonly RoutingRule[],
  mayChange: () => Promise<void> = async () => {},
): Promise<string[]> {
  const have = (await readKernel(run)).routing;
  const found = routingDifferences(want, have);
  if (found.length > 0) await mayChange();
  for (const rule of want.filter((candidate) => !have.includes(line(candidate)))) {
    const words = [...rule.selector, ...rule.action, "protocol", PROTOCOL];
    await run("ip", ["-4", "rule", "add", "priority", String(rule.priority), ...words]);
  }
  for (const row of stale(want, have)) {
    const [priority = "", ...words] = row.replace(":", "").split(" ");
    await run("ip", ["-4", "rule", "del", "priority", priority, ...words.with(-2, "protocol")]);
  }
  return found;
}
