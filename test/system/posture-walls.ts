import type { RuleSet, Run } from "../../host-agent/firewall/index.ts";
import { readTable } from "../../host-agent/firewall/iptables.ts";
import type { Stage } from "../../host-agent/posture/index.ts";

/** One lock of the second and third wall, and how to take it off. */
type Lock = (run: Run, stage: Stage) => Promise<unknown>;

async function removeRule(run: Run, where: Pick<RuleSet, "family" | "table">, chain: string, id: string) {
  const rules = (await readTable(run, where)).get(chain) ?? [];
  const found = rules.flatMap((tokens, index) => (tokens.includes(`chelar:${id}`) ? [index + 1] : []));
  const tool = where.family === "ipv4" ? "iptables" : "ip6tables";
  // From the end: every deletion moves what follows.
  for (const position of found.reverse()) await run(tool, ["-w", "-t", where.table, "-D", chain, String(position)]);
  return found.length;
}
const rule =
  (family: "ipv4" | "ipv6", tables: readonly RuleSet["table"][], chain: string, id: string): Lock =>
  async (run) => {
    let removed = 0;
    for (const table of tables) removed += await removeRule(run, { family, table }, chain, id);
    if (removed === 0) throw new Error(`there is no rule ${id} in ${chain}`);
  };
const raw = (id: string) => rule("ipv4", ["raw"], "CHELAR-RAW", id);
const input = rule("ipv4", ["filter"], "CHELAR-INPUT", "host-closed");
/** In filter, and in its twin in mangle, which holds while somebody rewrites filter. */
const forward = (id: string) => rule("ipv4", ["mangle", "filter"], "CHELAR-FORWARD", id);
const rest = forward("everything-else");
const noIpv6 = (chain: "INPUT" | "FORWARD") => [
  rule("ipv6", ["raw"], "CHELAR-RAW", "no-ipv6"),
  rule("ipv6", ["filter"], `CHELAR-${chain}`, "no-ipv6"),
];
/** Every rule of the routing lock that forbids. */
const routing: Lock = async (run) => {
  const rows = (await run("ip", ["-4", "rule", "show"])).split("\n").filter((row) => row.includes(" prohibit"));
  for (const row of rows) await run("ip", ["-4", "rule", "delete", "priority", row.split(":")[0] as string]);
};
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

const toHostTcp = [raw("host-connect"), input];
const toHostOther = [raw("host-other"), input];
const betweenTenants = [
  ...[forward("tenant-to-tenant"), forward("tenant-unasked"), forward("pool"), forward("special-range")],
  ...[routing, dockerIsolation, rest],
];
const metadata = [forward("metadata"), routing];
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
    locks: [forward("pool"), forward("special-range"), routing, rest],
  },
  { name: "TCP to the host", attacks: /^((other-)?gateway|host)-(tcp|sweep)$/, locks: toHostTcp },
  { name: "the rest to the host", attacks: /^((other-)?gateway|host)-(udp|ping)$/, locks: toHostOther },
  { name: "IPv6 to the host", attacks: /^gateway-ipv6$/, locks: noIpv6("INPUT") },
  {
    name: "IPv6 to metadata",
    attacks: /^metadata-ipv6$/,
    locks: [
      ...noIpv6("FORWARD"),
      (run) => run("ip6tables", ["-w", "-P", "FORWARD", "ACCEPT"]),
      sysctl(() => "net.ipv6.conf.all.forwarding=1"),
    ],
  },
  {
    name: "metadata services",
    attacks: /^metadata-(tcp|alibaba|azure)$/,
    locks: [...metadata, forward("special-range")],
  },
  { name: "metadata but not by TCP", attacks: /^metadata-(udp|ping)$/, locks: [...metadata, rest] },
  { name: "private ranges", attacks: /^private-\d/, locks: [forward("special-range")] },
  { name: "private ranges but not by TCP", attacks: /^private-(udp|ping)$/, locks: [forward("special-range"), rest] },
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
