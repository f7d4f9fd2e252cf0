import type { PolicyInputs } from "./inputs.ts";

/**
 * The third wall as data: what a tenant's packets may do, whatever Docker, UFW or an operator set beside it. The
 * number of rules does not depend on the number of tenants: bridges are matched by `chl+`, limits are kept per source.
 * Every rule carries its id as a comment, so that `iptables -S`, a test and the posture probe name the same thing.
 */
export interface Rule {
  id: string;
  /** In iptables-save's own spelling. */
  match: readonly string[];
  verdict: "ACCEPT" | "DROP" | "RETURN" | "MASQUERADE";
}

/** Must be the very first rule of `from`: whatever stood before it could accept what we refuse. */
export interface Jump {
  from: string;
  to: string;
  /**
   * True where it need not be the first rule: what only helps is not a wall, and Docker writes a rule of its own before
   * it with every network.
   */
  anywhere?: boolean;
}

export interface RuleSet {
  family: "ipv4" | "ipv6";
  table: "raw" | "mangle" | "filter" | "nat";
  /** Ours alone: filled and replaced as a whole. */
  chains: Readonly<Record<string, readonly Rule[]>>;
  /** Made when missing, never emptied: Docker's chain, where an operator's own rules live too. */
  shared: readonly string[];
  jumps: readonly Jump[];
}

/** Where a cloud tells a machine its secrets: AWS, GCP, Azure, Hetzner and DigitalOcean; Alibaba; Azure's WireServer. */
export const METADATA = ["169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32"] as const;

/** Special-purpose IPv4 blocks: RFC 6890 and the IANA registry that it opened; multicast is RFC 5771. */
export const SPECIAL_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
] as const;

export const MAIL_PORTS = [25, 465, 587] as const;

export function firewallPolicy(inputs: PolicyInputs): RuleSet[] {
  const shared = ["DOCKER-USER"];
  const filterJumps = [
    { from: "INPUT", to: "CHELAR-INPUT" },
    { from: "FORWARD", to: "DOCKER-USER" },
    { from: "DOCKER-USER", to: "CHELAR-FORWARD" },
  ];
  const rawJumps = [{ from: "PREROUTING", to: "CHELAR-RAW" }];
  return [
    { family: "ipv4", table: "raw", chains: { "CHELAR-RAW": raw(inputs) }, shared: [], jumps: rawJumps },
    {
      family: "ipv4",
      table: "mangle",
      chains: { "CHELAR-FORWARD": twin(forward(inputs)) },
      shared: [],
      jumps: [{ from: "FORWARD", to: "CHELAR-FORWARD" }],
    },
    {
      family: "ipv4",
      table: "filter",
      chains: { "CHELAR-INPUT": input(inputs), "CHELAR-FORWARD": forward(inputs) },
      shared,
      jumps: filterJumps,
    },
    {
      family: "ipv4",
      table: "nat",
      chains: { "CHELAR-NAT": masquerade(inputs) },
      shared: [],
      jumps: [{ from: "POSTROUTING", to: "CHELAR-NAT", anywhere: true }],
    },
    { family: "ipv6", table: "raw", chains: { "CHELAR-RAW": noIpv6(inputs, "raw") }, shared: [], jumps: rawJumps },
    {
      family: "ipv6",
      table: "filter",
      chains: { "CHELAR-INPUT": noIpv6(inputs, "input"), "CHELAR-FORWARD": noIpv6(inputs, "forward") },
      shared,
      jumps: filterJumps,
    },
  ];
}

/** Before connection tracking: what is wrong about a packet by itself. Holds when the filter table is flushed. */
function raw({ pool, bridges }: PolicyInputs): Rule[] {
  const tenants = ["-i", bridges];
  return [
    { id: "loopback", match: ["-i", "lo"], verdict: "RETURN" },
    // A neighbour on the host's own network could route to container addresses past every published-port rule; replies
    // to tenants arrive with the host's address (they are masqueraded), so nothing from outside ever names the pool.
    { id: "neighbour-to-pool", match: ["!", "-i", bridges, "-d", pool], verdict: "DROP" },
    { id: "neighbour-as-pool", match: ["!", "-i", bridges, "-s", pool], verdict: "DROP" },
    { id: "spoofed-source", match: [...tenants, "!", "-s", pool], verdict: "DROP" },
    // Inside the pool, but another tenant's address, or the host's: the way back does not lead to this bridge.
    { id: "spoofed-neighbour", match: [...tenants, "-m", "rpfilter", "--invert"], verdict: "DROP" },
    // dockerd without its userland proxy sets route_localnet, and services on 127.0.0.1 become reachable (CVE-2020-8558).
    { id: "host-loopback", match: [...tenants, "-d", "127.0.0.0/8"], verdict: "DROP" },
    {
      id: "many-receivers",
      match: [...tenants, "-m", "addrtype", "--dst-type", "BROADCAST,MULTICAST"],
      verdict: "DROP",
    },
    // No tenant begins anything with the host. Stateless, so that `iptables -F` (filter) alone opens no host service;
    // what Caddy and the host agent began is answered by TCP that is not a SYN.
    {
      id: "host-connect",
      match: [...tenants, "-p", "tcp", "-m", "tcp", "--tcp-flags", "SYN,ACK", "SYN", ...toHost],
      verdict: "DROP",
    },
    { id: "host-other", match: [...tenants, "!", "-p", "tcp", ...toHost], verdict: "DROP" },
  ];
}
const toHost = ["-m", "addrtype", "--dst-type", "LOCAL"];

function input({ bridges }: PolicyInputs): Rule[] {
  return [
    // REPLY: only what the host began. A connection that a tenant managed to open in a gap dies at the repair.
    {
      id: "host-replies",
      match: ["-i", bridges, "-m", "conntrack", "--ctstate", "ESTABLISHED", "--ctdir", "REPLY"],
      verdict: "ACCEPT",
    },
    { id: "host-closed", match: ["-i", bridges], verdict: "DROP" },
  ];
}

function forward(inputs: PolicyInputs): Rule[] {
  const { bridges, pool, resolvers, exceptions, controlPlane, egressTcpPorts, limits } = inputs;
  const drop = (id: string, ...match: string[]): Rule => ({ id, match, verdict: "DROP" });
  const open = (id: string, ...match: string[]): Rule => ({ id, match, verdict: "ACCEPT" });
  const replies = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "--ctdir", "REPLY"];
  const established = ["-m", "conntrack", "--ctstate", "ESTABLISHED"];
  const tcpTo = (ports: readonly number[]) => ["-p", "tcp", "-m", "multiport", "--dports", ports.join(",")];
  const rate = (name: string, perSecond: number, burst: number) => [
    // The kernel keeps a limit under its name: other numbers need another name to come true. Counted per /28, which is
    // one tenant however many addresses of its subnet it takes.
    ...["-m", "hashlimit", "--hashlimit-above", `${perSecond}/sec`, "--hashlimit-burst", String(burst)],
    ...["--hashlimit-mode", "srcip", "--hashlimit-name", `chelar-${name}-${perSecond}-${burst}`],
    ...["--hashlimit-srcmask", "28"],
  ];
  const fresh = ["-m", "conntrack", "--ctstate", "NEW"];
  return [
    drop("tenant-to-tenant", "-i", bridges, "-o", bridges),
    // Accepted here and not left to Docker's rules, so that a repair after `iptables -F` brings the service back too.
    open("tenant-replies", "-o", bridges, ...replies),
    drop("tenant-unasked", "-o", bridges),
    { id: "not-ours", match: ["!", "-i", bridges], verdict: "RETURN" },
    // From here on: packets of tenants that leave the host. Refusals come before `established`, so that no connection
    // outlives the rule that forbids it.
    // Every datagram counts: a flood from one socket is one connection to conntrack.
    drop("dns-rate-udp", "-p", "udp", ...dns("udp"), ...rate("dns", limits.dnsPerSecond, limits.dnsBurst)),
    drop("dns-rate-tcp", "-p", "tcp", ...dns("tcp"), ...fresh, ...rate("dns", limits.dnsPerSecond, limits.dnsBurst)),
    // A cloud's resolver may lie in a blocked range (GCP: 169.254.169.254): port 53 only, and before the ranges.
    ...resolvers.flatMap((resolver) =>
      ["udp", "tcp"].map((protocol) => open(`dns-${protocol}`, "-d", resolver, "-p", protocol, ...dns(protocol))),
    ),
    drop("mail", ...tcpTo(MAIL_PORTS)),
    drop("new-rate", "-p", "tcp", ...fresh, ...rate("new", limits.newPerSecond, limits.newBurst)),
    // Each open connection costs the host a slot of one shared conntrack table: without a bound, one tenant takes them all.
    drop(
      "too-many",
      ...["-p", "tcp", ...fresh, "-m", "connlimit", "--connlimit-above", String(limits.concurrent)],
      ...["--connlimit-mask", "28", "--connlimit-saddr"],
    ),
    ...exceptions.map(({ network, tcpPorts }) => open("exception", "-d", network, ...tcpTo(tcpPorts))),
    drop("pool", "-d", pool),
    ...METADATA.map((network) => drop("metadata", "-d", network)),
    ...controlPlane.map((network) => drop("control-plane", "-d", network)),
    ...SPECIAL_RANGES.map((network) => drop("special-range", "-d", network)),
    open("web-established", ...tcpTo(egressTcpPorts), ...established),
    open("web-new", ...tcpTo(egressTcpPorts), ...fresh),
    drop("everything-else"),
  ];
}

/**
 * The same refusals where nobody else writes. A dockerd that starts takes its jump to DOCKER-USER out of FORWARD and puts
 * it back a moment later, and `iptables -F` empties only the filter table: in both gaps this copy alone holds. Limits are
 * left out, since they would count every packet twice, and nothing is accepted here, only not refused.
 */
const twin = (rules: readonly Rule[]): Rule[] =>
  rules
    .filter(({ match }) => !match.includes("hashlimit") && !match.includes("connlimit"))
    .map((rule) => (rule.verdict === "ACCEPT" ? { ...rule, verdict: "RETURN" } : rule));

const dns = (protocol: string) => ["-m", protocol, "--dport", "53"];

/** One rule instead of one per Docker network; a packet that left with its own source would never be answered. */
function masquerade({ pool, bridges }: PolicyInputs): Rule[] {
  return [{ id: "masquerade", match: ["-s", pool, "!", "-o", bridges], verdict: "MASQUERADE" }];
}

/** Containers have no IPv6; link-local alone would reach the host where only IPv4 had rules. */
function noIpv6({ bridges }: PolicyInputs, hook: "raw" | "input" | "forward"): Rule[] {
  const from: Rule = { id: "no-ipv6", match: ["-i", bridges], verdict: "DROP" };
  return hook === "forward" ? [from, { ...from, match: ["-o", bridges] }] : [from];
}

/** A rule as arguments behind `-A CHAIN`. */
export const ruleArguments = ({ id, match, verdict }: Rule): string[] => [
  ...match,
  ...["-m", "comment", "--comment", `chelar:${id}`],
  ...["-j", verdict],
];
