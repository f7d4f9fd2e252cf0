import { DECOY, type Ground, WORLD } from "../ground.ts";
import { type Attack, type Position, type Unmanaged, unreached } from "../rules.ts";
import { probe } from "./probes.ts";

/**
 * The first two walls, from a machine on the host's wire. The second can be tried from here; the first stands before
 * the host's own uplink, where nothing on the host can stand, so that it is never called held by the host alone.
 */
const PORT = DECOY.tcp + 1;
const SSH = 22;

export function perimeterAttacks({ managed }: Ground): (Attack | Unmanaged)[] {
  const ufw = (id: string, tries: string, protocol: "tcp" | "udp", host: string, port: number): Attack | Unmanaged => {
    const what = {
      id,
      layer: 2 as const,
      source: "CIS Debian 11 4.1.7; CIS Docker 5.9",
      from: "outside" as Position,
      tries,
    };
    const must = "nothing arrives, nobody answers";
    if (!managed.ufw) return { ...what, must, why: "not managed here: this host's UFW is its owner's" };
    return {
      ...what,
      must,
      attempt: probe(protocol, host, port),
      target: { at: "host", key: `${protocol} ${host} ${port}` },
      control: { from: "host", attempt: probe(protocol, host, port) },
      judge: unreached,
    };
  };
  const cloud = (id: string, tries: string): Unmanaged => ({
    ...{ id, layer: 1, source: "CIS Docker 5.9", from: "outside", tries, must: "dropped before it reaches the host" },
    why: managed.cloud
      ? "not provable from here: the host cannot stand before its own uplink"
      : "not managed here: no cloud provider is configured",
  });
  return [
    cloud("perimeter-tcp", "TCP to a port that is not in the perimeter"),
    cloud("perimeter-udp", "UDP to a port that is not in the perimeter"),
    cloud("perimeter-ssh", "SSH from outside the admin networks"),
    ufw("ufw-tcp", "TCP to a service that is not one of the three openings", "tcp", WORLD.hostAddress, PORT),
    ufw("ufw-udp", "UDP to a service that is not one of the three openings", "udp", WORLD.hostAddress, DECOY.udp + 1),
    ufw("ufw-ssh", "SSH from outside the admin networks", "tcp", WORLD.hostAddress, SSH),
    ufw("ufw-tcp-ipv6", "the same TCP over IPv6", "tcp", WORLD.hostAddress6, PORT),
    ufw("ufw-udp-ipv6", "the same UDP over IPv6", "udp", WORLD.hostAddress6, DECOY.udp + 1),
  ];
}
