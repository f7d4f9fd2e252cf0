import { isIpv6Source, type Opening } from "./perimeter.ts";
import { canonicalLine, canonicalRule, type SavedTable } from "./saved.ts";

/**
 * The second wall. Only on a host that is ours to manage: on a developer's machine UFW is never touched. Looked at
 * twice: what UFW would set up at the next boot, and what the kernel really holds, since `ufw status` says "active" of a
 * flushed table too.
 */
export interface UfwPlan {
  /** As `ufw show added` prints it, behind `ufw `, without the comment. */
  rules: readonly { id: string; words: readonly string[] }[];
  /** The kernel's own rules, canonical. */
  kernel: Readonly<Record<Family, readonly string[]>>;
}
export type Family = "ipv4" | "ipv6";

export const CHAINS = {
  ipv4: { prefix: "ufw", save: "iptables-save", tool: "iptables", before: "/etc/ufw/before.rules" },
  ipv6: { prefix: "ufw6", save: "ip6tables-save", tool: "ip6tables", before: "/etc/ufw/before6.rules" },
} as const;
export const FAMILIES = ["ipv4", "ipv6"] as const;

/** ICMP is not among UFW's rules: its own `before.rules` let the needed types in. */
export function ufwPlan(openings: readonly Opening[]): UfwPlan {
  const open = openings.filter(({ port }) => port !== null);
  const everywhere = (source: string) => source === "0.0.0.0/0" || source === "::/0";
  const rules = open.flatMap(({ id, protocol, port, sources }) =>
    sources.some(everywhere)
      ? [{ id, words: ["allow", `${port}/${protocol}`] }]
      : sources.map((source) => ({
          id,
          words: ["allow", "from", bare(source), "to", "any", "port", `${port}`, "proto", protocol],
        })),
  );
  const kernel = (family: Family) =>
    open.flatMap(({ protocol, port, sources }) =>
      sources
        .filter((source) => isIpv6Source(source) === (family === "ipv6"))
        .map((source) => [
          ...(everywhere(source) ? [] : ["-s", source]),
          "-p",
          protocol,
          "--dport",
          `${port}`,
          "-j",
          "ACCEPT",
        ])
        .map(canonicalRule),
    );
  return { rules, kernel: { ipv4: kernel("ipv4"), ipv6: kernel("ipv6") } };
}

/** UFW leaves the length away from a single address. An IPv6 /32 is none. */
const bare = (source: string): string => source.replace(isIpv6Source(source) ? /\/128$/ : /\/32$/, "");

export interface Configuration {
  active: boolean;
  ipv6: boolean;
  defaults: { input: string; forward: string; output: string };
  added: readonly string[];
}

export function configurationDifferences(plan: UfwPlan, have: Configuration): string[] {
  const wanted = plan.rules.map(({ words }) => words.join(" "));
  return [
    ...(have.active ? [] : ["ufw: not enabled"]),
    ...(have.ipv6 ? [] : ["ufw: IPv6 is off"]),
    ...(have.defaults.input === "DROP" ? [] : [`ufw: default incoming is ${have.defaults.input}, should be deny`]),
    ...(have.defaults.forward === "DROP" ? [] : [`ufw: default routed is ${have.defaults.forward}, should be deny`]),
    ...(have.defaults.output === "ACCEPT" ? [] : [`ufw: default outgoing is ${have.defaults.output}, should be allow`]),
    ...wanted.filter((words) => !have.added.includes(words)).map((words) => `ufw: missing: ${words}`),
    ...have.added.filter((words) => !wanted.includes(words)).map((words) => `ufw: not ours: ${words}`),
  ];
}

export interface Kernel {
  rules: SavedTable;
  policies: ReadonlyMap<string, string>;
  /** How many rules UFW's own file puts into its before-input chain, before the jump to the user's rules. */
  beforeRules: number;
}

export function kernelDifferences(plan: UfwPlan, family: Family, kernel: Kernel): string[] {
  const { rules, policies, beforeRules } = kernel;
  const { prefix } = CHAINS[family];
  const before = `${prefix}-before-input`;
  const chain = (name: string) => (rules.get(name) ?? []).map(canonicalLine);
  const user = chain(`${prefix}-user-input`);
  const where = `ufw ${family}`;
  return [
    ...["INPUT", "FORWARD"]
      .filter((name) => policies.get(name) !== "DROP")
      .map((name) => `${where} ${name}: policy is ${policies.get(name)}, should be DROP`),
    ...missingJumps(family, rules).map(({ from, to }) => `${where} ${from}: no jump to ${to}`),
    ...(chain(before).includes(`-j ${prefix}-user-input`)
      ? []
      : [`${where} ${before}: no jump to ${prefix}-user-input`]),
    // Its content is UFW's own file; one rule more or less is somebody's hand in the kernel.
    ...(chain(before).length === beforeRules + 1
      ? []
      : [`${where} ${before}: ${chain(before).length} rules, should be ${beforeRules + 1}`]),
    ...plan.kernel[family].filter((rule) => !user.includes(rule)).map((rule) => `${where}: missing: ${rule}`),
    ...user.filter((rule) => !plan.kernel[family].includes(rule)).map((rule) => `${where}: not ours: ${rule}`),
    ...accepting(rules).map((rule) => `${where} INPUT: accepts beside UFW: ${rule}`),
  ];
}

/** UFW's jumps out of the kernel's chains, in its own order. */
export function primaryJumps(family: Family): { from: string; to: string }[] {
  const steps = ["before-logging", "before", "after", "after-logging", "reject", "track"];
  return ["INPUT", "OUTPUT", "FORWARD"].flatMap((from) =>
    steps.map((step) => ({ from, to: `${CHAINS[family].prefix}-${step}-${from.toLowerCase()}` })),
  );
}

export const missingJumps = (family: Family, rules: SavedTable) =>
  primaryJumps(family).filter(({ from, to }) => !(rules.get(from) ?? []).includes(`-j ${to}`));

/** What somebody put straight into INPUT to let in: UFW would never show it. */
export const accepting = (rules: SavedTable) => (rules.get("INPUT") ?? []).filter((rule) => rule.endsWith("-j ACCEPT"));
