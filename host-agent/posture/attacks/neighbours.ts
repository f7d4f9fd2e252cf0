import { DECOY, type Ground, WORLD } from "../ground.ts";
import type { Attack } from "../rules.ts";
import { fromHost, keyOf, type Protocol, probe, row, sweepOf } from "./probes.ts";

/** The third wall, inward: other tenants of this host, and the host itself. */
/** Swept at the gateway besides what this host really listens on: SSH, mail, DNS, web, Docker, etcd, databases, … */
const USUAL_PORTS = [
  22, 25, 53, 80, 111, 443, 2019, 2375, 2376, 2379, 3306, 5432, 6379, 8080, 8443, 9000, 9090, 10_250,
];
const UDP_PORT = 4_444;

export function toNeighbour({ neighbour }: Ground): Attack[] {
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

export function toHost({ attacker, neighbour, hostPorts, bridgeAddress6 }: Ground): Attack[] {
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
        attempt: sweepOf(host, ports),
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
