import type { RuleSet, Run } from "../../host-agent/firewall/index.ts";
import { readTable } from "../../host-agent/firewall/iptables.ts";
import type { Stage } from "../../host-agent/posture/index.ts";

/** One lock of the second and third wall, and how to take it off. */
type Lock = (run: Run, stage: Stage) => Promise<unknown>;

async function removeRule(run: Run, where: Pick<RuleSet, "family" | "table">, chain: string, id: string, to: string) {
  const rules = (await readTable(run, where)).get(chain) ?? [];
  const ours = (line: string) => line.includes(`"chelar:${id}"`) && (to === "" || line.includes(`-d ${to} `));
  const found = rules.flatMap((line, index) => (ours(line) ? [index + 1] : []));
  const tool = where.family === "ipv4" ? "iptables" : "ip6tables";
  // From the end: every deletion moves what follows.
  for (const position of found.reverse()) await run(tool, ["-w", "-t", where.table, "-D", chain, String(position)]);
  return found.length;
}
const rule =
  (family: "ipv4" | "ipv6", tables: readonly RuleSet["table"][], chain: string, id: string, to = ""): Lock =>
  async (run) => {
    let removed = 0;
    for (const table of tables) removed += await removeRule(run, { family, table }, chain, id, to);
    if (removed === 0) throw new Error(`there is no rule ${id} ${to} in ${chain}`);
  };
const raw = (id: string) => rule("ipv4", ["raw"], "CHELAR-RAW", id);
const input = rule("ipv4", ["filter"], "CHELAR-INPUT", "host-closed");
/** In filter, and in its twin in mangle, which holds while somebody rewrites filter. */
const forward = (id: string, to = "") => rule("ipv4", ["mangle", "filter"], "CHELAR-FORWARD", id, to);
const rest = forward("everything-else");
const noIpv6 = (chain: "INPUT" | "FORWARD") => [
  rule("ipv6", ["raw"], "CHELAR-RAW", "no-ipv6"),
  rule("ipv6", ["filter"], `CHELAR-${chain}`, "no-ipv6"),
];
/** The rules of the routing lock that forbid this destination. */
const routing =
  (to: string): Lock =>
  async (run) => {
    const rows = (await run("ip", ["-4", "rule", "show"])).split("\n");
    const found = rows.filter((row) => row.includes(` to ${to} `) && row.includes(" prohibit"));
    if (found.length === 0) throw new Error(`no routing rule forbids ${to}`);
    for (const row of found) await run("ip", ["-4", "rule", "delete", "priority", row.split(":")[0] as string]);
  };
const POOL = "10.213.0.0/16";
const dockerIsolation: Lock = (run) => run("iptables", ["-w", "-F", "DOCKER-ISOLATION-STAGE-1"]);
const forwardPolicy: Lock = (run) => run("iptables", ["-w", "-P", "FORWARD", "ACCEPT"]);
const sysctl =
  (setting: (stage: Stage) => string): Lock =>
  (run, stage) =>
    run("sysctl", ["-q", "-w", setting(stage)]);
const ufw: Lock = async (run) => {
  for (const tool of ["iptables", "ip6tables"]) {
    await run(tool, ["-w", "-P", "INPUT", "ACCEPT"]);
    await run(tool, ["-w", "-F", "INPUT"]);
  }
};

const forwardedIpv6: Lock[] = [
  ...noIpv6("FORWARD"),
  (run) => run("ip6tables", ["-w", "-P", "FORWARD", "ACCEPT"]),
  sysctl(() => "net.ipv6.conf.all.forwarding=1"),
];
const toHostTcp = [raw("host-connect"), input];
const toHostOther = [raw("host-other"), input];
const betweenTenants = [
  ...[forward("tenant-to-tenant"), forward("tenant-unasked"), forward("pool")],
  forward("special-range", "10.0.0.0/8"),
  ...[routing(POOL), dockerIsolation, rest],
];
/** One metadata address alone: its own rule in both tables, its own in the routing lock. */
const metadata = (network: string): Lock[] => [forward("metadata", network), routing(network.replace(/\/32$/, ""))];
/** Each private or special address, with the one range that closes it. */
const PRIVATE: readonly [address: string, range: string][] = [
  ["10.99.0.1", "10.0.0.0/8"],
  ["172.16.5.5", "172.16.0.0/12"],
  ["192.168.7.7", "192.168.0.0/16"],
  ["100.64.0.9", "100.64.0.0/10"],
  ["198.18.0.3", "198.18.0.0/15"],
  ["203.0.113.9", "203.0.113.0/24"],
];
const fromWire = [raw("neighbour-to-pool"), forward("tenant-unasked"), forwardPolicy];
const bridge = ({ ground }: Stage) => `net.ipv4.conf.${ground.attacker.network}`;

export interface WallWeakening {
  name: string;
  attacks: RegExp;
  locks: readonly Lock[];
}

export const UFW_WEAKENING: WallWeakening = { name: "UFW", attacks: /^ufw-/, locks: [ufw] };

export const WALL_WEAKENINGS: readonly WallWeakening[] = [
  { name: "between tenants", attacks: /^neighbour-(tcp|udp|ping)$/, locks: betweenTenants },
  {
    name: "another host's tenants",
    attacks: /^other-host-/,
    locks: [forward("pool"), forward("special-range", "10.0.0.0/8"), routing(POOL), rest],
  },
  { name: "TCP to the host", attacks: /^((other-)?gateway|host)-(tcp|sweep)$/, locks: toHostTcp },
  { name: "the rest to the host", attacks: /^((other-)?gateway|host)-(udp|ping)$/, locks: toHostOther },
  { name: "IPv6 to the host", attacks: /^gateway-ipv6$/, locks: noIpv6("INPUT") },
  {
    name: "IPv6 to metadata",
    attacks: /^metadata-ipv6$/,
    locks: forwardedIpv6,
  },
  { name: "169.254.0.0/16 by TCP", attacks: /^metadata-tcp$/, locks: metadata("169.254.0.0/16") },
  { name: "169.254.0.0/16 otherwise", attacks: /^metadata-(udp|ping)$/, locks: [...metadata("169.254.0.0/16"), rest] },
  {
    name: "Alibaba's metadata",
    attacks: /^metadata-alibaba$/,
    locks: [...metadata("100.100.100.200/32"), forward("special-range", "100.64.0.0/10")],
  },
  { name: "Azure's WireServer", attacks: /^metadata-azure$/, locks: metadata("168.63.129.16/32") },
  ...PRIVATE.map(([address, range]) => ({
    name: range,
    attacks: new RegExp(`^private-${address.replaceAll(".", "\\.")}$`),
    locks: [forward("special-range", range)],
  })),
  {
    name: "10.0.0.0/8 but not by TCP",
    attacks: /^private-(udp|ping)$/,
    locks: [forward("special-range", "10.0.0.0/8"), rest],
  },
  { name: "the control plane by TCP", attacks: /^control-plane-\d/, locks: [forward("control-plane")] },
  {
    name: "the control plane otherwise",
    attacks: /^control-plane-(udp|ping)$/,
    locks: [forward("control-plane"), rest],
  },
  { name: "IPv6 to the control plane", attacks: /^control-plane-ipv6$/, locks: forwardedIpv6 },
  { name: "the dashboard's opening", attacks: /^control-plane-https$/, locks: [forward("exception")] },
  { name: "mail", attacks: /^mail-/, locks: [forward("mail"), rest] },
  { name: "the rest of the world", attacks: /^(ssh-out|udp-out|quic-out|ping-out|dns-elsewhere)$/, locks: [rest] },
  { name: "new connections per second", attacks: /^connection-flood$/, locks: [forward("new-rate")] },
  {
    name: "foreign sources",
    attacks: /^spoof-foreign$/,
    locks: [raw("spoofed-source"), raw("spoofed-neighbour")],
  },
  { name: "sources of neighbours", attacks: /^spoof-neighbour$/, locks: [raw("spoofed-neighbour")] },
  {
    name: "the host's source",
    attacks: /^spoof-host$/,
    locks: [raw("spoofed-source"), raw("spoofed-neighbour"), sysctl((stage) => `${bridge(stage)}.accept_local=1`)],
  },
  {
    name: "the host's loopback",
    attacks: /^host-loopback$/,
    locks: [raw("host-loopback"), ...toHostOther, sysctl((stage) => `${bridge(stage)}.route_localnet=1`)],
  },
  { name: "the wire to containers", attacks: /^wire-to-container-/, locks: fromWire },
  { name: "the wire to bridges", attacks: /^wire-to-gateway$/, locks: [raw("neighbour-to-pool")] },
];
