import { DECOY, type Ground, WORLD } from "../ground.ts";
import type { Attack, Attempt } from "../rules.ts";
import { fromHost, keyOf, type Protocol, probe, row } from "./probes.ts";

/** The third wall, under it: packets that no tenant can make, and a neighbour on the host's own wire. */
const UDP_PORT = 4_444;

/** Frames that no tenant can make while the fourth wall stands: as if it had fallen. */
export function forged({ attacker, neighbour, bridgeMac }: Ground): Attack[] {
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
export function fromOutside({ attacker, neighbour }: Ground): Attack[] {
  const inward = (protocol: Protocol, port: number, address: string, id: string) =>
    row(
      {
        id,
        source: "moby#45610",
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
        source: "moby#52224",
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
