import { DECOY, type Ground, WORLD } from "./ground.ts";
import { type Attack, type Attempt, type Judgement, type Position, type Seen, unreached } from "./rules.ts";

/** The third wall. Nothing of it leaves this machine: a stand-in world answers for every address outside. */
const SECONDS = 1;
/** Swept at the gateway besides what this host really listens on: SSH, mail, DNS, web, Docker, etcd, databases, … */
const USUAL_PORTS = [
  22, 25, 53, 80, 111, 443, 2019, 2375, 2376, 2379, 3306, 5432, 6379, 8080, 8443, 9000, 9090, 10_250,
];
const FLOOD = { tries: 900, perSecond: 30, burst: 150 } as const;
const UDP_PORT = 4_444;

type Protocol = "tcp" | "udp" | "ping";

export function networkAttacks(ground: Ground): Attack[] {
  return [...toNeighbour(ground), ...toHost(ground), ...toWorld(ground), ...forged(ground), ...fromOutside(ground)];
}

/** Sent by any position; `source` where the host must speak from its end of the cable. */
export const probe = (protocol: Protocol, host: string, port: number, source = ""): Attempt => ({
  operation: protocol,
  arguments: protocol === "ping" ? [host, SECONDS, source] : [host, port, SECONDS, source],
});
const keyOf = (protocol: Protocol, host: string, port: number) =>
  `${protocol} ${host} ${protocol === "ping" ? 0 : port}`;
const fromHost = (protocol: Protocol, host: string, port: number, source = ""): Attack["control"] => ({
  from: "host",
  attempt: probe(protocol, host, port, source),
});

interface Row {
  id: string;
  source: string;
  tries: string;
  from?: Position;
}
const row = (
  { id, source, tries, from = "inside" }: Row,
  rest: Omit<Attack, keyof Row | "layer" | "must" | "judge" | "from">,
): Attack => ({
  ...{ id, layer: 3, source, from, tries, must: "nothing arrives, nobody answers", judge: unreached },
  ...rest,
});

function toNeighbour({ neighbour }: Ground): Attack[] {
  const rows: [Protocol, number][] = [
    ["tcp", 8_080],
    ["udp", UDP_PORT],
    ["ping", 0],
  ];
  return rows.map(([protocol, port]) =>
    row(
      {
        id: `neighbour-${protocol}`,
        source: "CIS Docker 2.2; Agents of Chaos 9",
        tries: `${protocol} to another tenant of this host`,
      },
      {
        attempt: probe(protocol, neighbour.address, port),
        target: { at: "neighbour", key: keyOf(protocol, neighbour.address, port) },
        control: fromHost(protocol, neighbour.address, port),
      },
    ),
  );
}

function toHost({ attacker, neighbour, hostPorts, bridgeAddress6 }: Ground): Attack[] {
  const target = (protocol: Protocol, host: string, port: number) => ({
    at: "host" as const,
    key: keyOf(protocol, host, port),
  });
  const decoy = (id: string, tries: string, host: string) => [
    row(
      { id: `${id}-tcp`, source: "CIS Docker 5.10", tries: `TCP to ${tries}` },
      {
        attempt: probe("tcp", host, DECOY.tcp),
        target: target("tcp", host, DECOY.tcp),
        control: fromHost("tcp", host, DECOY.tcp),
      },
    ),
    row(
      { id: `${id}-udp`, source: "CIS Docker 5.10", tries: `UDP to ${tries}` },
      {
        attempt: probe("udp", host, DECOY.udp),
        target: target("udp", host, DECOY.udp),
        control: fromHost("udp", host, DECOY.udp),
      },
    ),
  ];
  const ports = [...new Set([...USUAL_PORTS, ...hostPorts, DECOY.tcp])];
  const sweep = (id: string, tries: string, host: string): Attack =>
    row(
      { id, source: "CIS Docker 5.9; Agents of Chaos 3", tries: `${tries}, ${ports.length} ports` },
      {
        attempt: { operation: "sweep", arguments: [host, ports.join(","), SECONDS] },
        target: target("tcp", host, DECOY.tcp),
        control: fromHost("tcp", host, DECOY.tcp),
      },
    );
  const reply = (host: string): Pick<Attack, "attempt" | "control"> => ({
    attempt: probe("ping", host, 0),
    control: fromHost("ping", host, 0),
  });
  const over6 = (host: string): Attack[] => [
    row(
      {
        id: "gateway-ipv6",
        source: "CVE-2020-13401",
        tries: "IPv6 of its own making: TCP to the bridge's link-local address",
        from: "namespace",
      },
      {
        attempt: probe("tcp", `${host}%eth0`, DECOY.tcp),
        target: target("tcp", `${host}%${attacker.network}`, DECOY.tcp),
        control: fromHost("tcp", `${host}%${attacker.network}`, DECOY.tcp),
      },
    ),
  ];
  return [
    ...decoy("gateway", "its own gateway", attacker.gateway),
    ...decoy("other-gateway", "another tenant's gateway", neighbour.gateway),
    ...decoy("host", "the host's outer address", WORLD.hostAddress),
    sweep("gateway-sweep", "sweep its gateway: agent, Caddy, sshd, dockerd", attacker.gateway),
    sweep("host-sweep", "sweep the host's outer address", WORLD.hostAddress),
    row({ id: "gateway-ping", source: "CIS Docker 5.10", tries: "ping its gateway" }, reply(attacker.gateway)),
    ...(bridgeAddress6 === null ? [] : over6(bridgeAddress6)),
  ];
}

function toWorld({ pool, resolver }: Ground): Attack[] {
  const outside = (id: string, source: string, tries: string, protocol: Protocol, host: string, port = 0): Attack =>
    row(
      { id, source, tries },
      {
        attempt: probe(protocol, host, port),
        target: { at: "world", key: keyOf(protocol, host, port) },
        control: fromHost(protocol, host, port, WORLD.hostAddress),
      },
    );
  const otherHosts = otherHostsTenant(pool);
  const metadata = "SSRF to cloud credentials (CVE-2019-8451); Agents of Chaos 3";
  return [
    outside("metadata-tcp", metadata, "the metadata service of most clouds", "tcp", WORLD.metadata, 80),
    outside("metadata-udp", metadata, "a metadata address over UDP", "udp", WORLD.metadata, 123),
    outside("metadata-ping", metadata, "ping a metadata address", "ping", WORLD.metadata),
    outside("metadata-alibaba", metadata, "Alibaba's metadata service", "tcp", WORLD.alibaba, 80),
    outside("metadata-azure", metadata, "Azure's WireServer", "tcp", WORLD.wireServer, 80),
    {
      ...outside(
        "metadata-ipv6",
        metadata,
        "IPv6 of its own making: EC2's metadata service",
        "tcp",
        WORLD.metadata6,
        80,
      ),
      from: "namespace",
      control: fromHost("tcp", WORLD.metadata6, 80, WORLD.hostAddress6),
    },
    ...WORLD.privates.map((address) =>
      outside(`private-${address}`, "RFC 6890", `a private or special address, ${address}`, "tcp", address, 443),
    ),
    outside("private-udp", "RFC 6890", "a private address over UDP", "udp", WORLD.privates[0], UDP_PORT),
    outside("private-ping", "RFC 6890", "ping a private address", "ping", WORLD.privates[0]),
    outside("other-host-tcp", "Agents of Chaos 9", "TCP to a tenant of another host", "tcp", otherHosts, 443),
    outside("other-host-udp", "Agents of Chaos 9", "UDP to a tenant of another host", "udp", otherHosts, UDP_PORT),
    ...[25, 465, 587].map((port) =>
      outside(`mail-${port}`, "Agents of Chaos 11", `send mail by itself, port ${port}`, "tcp", WORLD.web, port),
    ),
    outside("ssh-out", "Agents of Chaos 5", "SSH to somebody else's server", "tcp", WORLD.web, 22),
    outside("udp-out", "Agents of Chaos 5", "UDP to somebody else's server", "udp", WORLD.web, UDP_PORT),
    outside("quic-out", "Agents of Chaos 5", "QUIC to somebody else's server", "udp", WORLD.web, 443),
    outside("ping-out", "Agents of Chaos 5", "ping somebody else's server", "ping", WORLD.web),
    ...(resolver === WORLD.otherResolver
      ? []
      : [
          outside(
            "dns-elsewhere",
            "DNS tunnel (T1071.004)",
            "DNS at a server of its choice",
            "udp",
            WORLD.otherResolver,
            53,
          ),
        ]),
    {
      id: "connection-flood",
      layer: 3,
      source: "Agents of Chaos 4",
      from: "inside",
      tries: `a loop that opens ${FLOOD.tries} connections as fast as it can`,
      must: `${FLOOD.burst} at once, then ${FLOOD.perSecond} a second`,
      attempt: { operation: "flood", arguments: [WORLD.flood, 443, FLOOD.tries] },
      target: { at: "world", key: keyOf("tcp", WORLD.flood, 443) },
      alone: true,
      judge: (seen, arrivals) => judgeFlood(seen, arrivals?.attack ?? 0),
    },
  ];
}

/** The sixteenth address from the end: no slot's container has it on this host. */
function otherHostsTenant(pool: string): string {
  const [base = "", prefix] = pool.split("/");
  const [a, b] = base.split(".");
  return Number(prefix) <= 16 ? `${a}.${b}.100.102` : `${base.split(".").slice(0, 3).join(".")}.118`;
}

function judgeFlood(seen: Seen, arrived: number): Judgement {
  // A second's worth of room on top: the burst refills while the flood lasts.
  const limit = FLOOD.burst + 4 * FLOOD.perSecond;
  const evidence = `${seen.detail}; ${arrived} went out`;
  if (seen.verdict !== "done" || arrived === 0) return { outcome: "unproven", evidence };
  return { outcome: arrived <= limit ? "held" : "breached", evidence };
}

/** Frames that no tenant can make while the fourth wall stands: as if it had fallen. */
function forged({ attacker, neighbour, bridgeMac }: Ground): Attack[] {
  const frame = (protocol: "tcp" | "udp", source: string, target: string, port: number): Attempt => ({
    operation: "frame",
    arguments: [protocol, "eth0", bridgeMac, source, target, port],
  });
  /** To where a tenant may go, so that the source is all that is wrong with it. */
  const spoof = (id: string, tries: string, source: string, target: string) =>
    row(
      { id, source: "RFC 2827 (BCP 38); Agents of Chaos 8", tries, from: "namespace" },
      {
        attempt: frame("tcp", source, target, 443),
        target: { at: "world", key: keyOf("tcp", target, 443) },
        control: { from: "namespace", attempt: frame("tcp", attacker.address, target, 443) },
      },
    );
  const [foreign, other, host] = WORLD.spoofed;
  return [
    spoof("spoof-foreign", "send with a foreign source address", "93.0.0.9", foreign),
    spoof("spoof-neighbour", "send with another tenant's source address", neighbour.address, other),
    spoof("spoof-host", "send with the host's own source address", WORLD.hostAddress, host),
    row(
      {
        id: "host-loopback",
        source: "CVE-2020-8558",
        tries: "reach the host's 127.0.0.1 through the bridge",
        from: "namespace",
      },
      {
        attempt: frame("udp", attacker.address, "127.0.0.1", DECOY.loopbackUdp),
        target: { at: "host", key: keyOf("udp", "127.0.0.1", DECOY.loopbackUdp) },
        control: fromHost("udp", "127.0.0.1", DECOY.loopbackUdp),
      },
    ),
  ];
}

/** The world is at the other end of a cable of this host: an L2 neighbour that routes the pool to it. */
function fromOutside({ attacker, neighbour }: Ground): Attack[] {
  const inward = (protocol: Protocol, port: number, address: string, id: string) =>
    row(
      {
        id,
        source: "CVE-2024-24557; moby#22054",
        tries: `${protocol} from a neighbour on the host's wire to a container's address`,
        from: "outside",
      },
      {
        attempt: probe(protocol, address, port),
        target: { at: "neighbour", key: keyOf(protocol, address, port) },
        control: fromHost(protocol, address, port),
      },
    );
  return [
    inward("tcp", 8_081, neighbour.address, "wire-to-container-tcp"),
    inward("udp", UDP_PORT + 1, neighbour.address, "wire-to-container-udp"),
    inward("ping", 0, neighbour.address, "wire-to-container-ping"),
    row(
      {
        id: "wire-to-gateway",
        source: "moby#22054",
        tries: "TCP from a neighbour on the host's wire to a bridge's address",
        from: "outside",
      },
      {
        attempt: probe("tcp", attacker.gateway, DECOY.tcp + 10),
        target: { at: "host", key: keyOf("tcp", attacker.gateway, DECOY.tcp + 10) },
        control: fromHost("tcp", attacker.gateway, DECOY.tcp + 10),
      },
    ),
  ];
}
