import { type Ground, WORLD } from "../ground.ts";
import type { Attack, Judgement, Seen } from "../rules.ts";
import { fromHost, keyOf, type Protocol, probe, row } from "./probes.ts";

/** The third wall, outward. Nothing of it leaves this machine: a stand-in world answers for every address outside. */
const FLOOD = { tries: 900, perSecond: 30, burst: 150 } as const;
const UDP_PORT = 4_444;

export function toWorld({ pool, resolver }: Ground): Attack[] {
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
