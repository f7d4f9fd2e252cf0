import { type Ground, WORLD } from "../ground.ts";
import type { Attack, Judgement, Seen, Unmanaged } from "../rules.ts";
import { fromHost, keyOf, type Protocol, probe, row } from "./probes.ts";

/** The third wall towards our own control plane: its database, its machines; one address of each network. */
const NETWORKS_TRIED = 4;
const UDP_PORT = 4_444;
const SOURCE = "SSRF; Agents of Chaos 3";

export function toControlPlane({ controlPlane }: Ground): (Attack | Unmanaged)[] {
  if (controlPlane === null) {
    const tries = "reach the control plane past its public name";
    const what = { id: "control-plane", layer: 3 as const, source: SOURCE, from: "inside" as const, tries };
    const must = "nothing arrives, nobody answers";
    return [{ ...what, must, why: "not managed here: the edge has named no addresses of its own" }];
  }
  const { networks, https } = controlPlane;
  const v4 = networks.filter((network) => !network.includes(":")).slice(0, NETWORKS_TRIED);
  const v6 = networks.find((network) => network.includes(":"));
  const addresses = v4.map((network) => closedAddress(network, https)).filter((address) => address !== null);
  const [first] = addresses;
  const [open] = https;
  return [
    ...addresses.map((address) => closed(`control-plane-${address}`, "tcp", address, 443)),
    ...(first
      ? [closed("control-plane-udp", "udp", first, UDP_PORT), closed("control-plane-ping", "ping", first)]
      : []),
    ...(v6 ? [over6(addressIn6(v6))] : []),
    ...(open ? [https443(firstAddress(open))] : []),
  ];
}

/** TCP goes to port 443: everywhere else a tenant may speak there, so that this rule alone stops it. */
const closed = (id: string, protocol: Protocol, address: string, port = 0): Attack =>
  row(
    { id, source: SOURCE, tries: `${protocol} to the control plane, ${address}` },
    {
      attempt: probe(protocol, address, port),
      target: { at: "world", key: keyOf(protocol, address, port) },
      control: fromHost(protocol, address, port, WORLD.hostAddress),
    },
  );

const over6 = (address: string): Attack => ({
  ...closed("control-plane-ipv6", "tcp", address, 443),
  from: "namespace",
  control: fromHost("tcp", address, 443, WORLD.hostAddress6),
});

/** No attack: the one way that must stay open, since an agent may call its owner's dashboard. */
function https443(address: string): Attack {
  const judge = (seen: Seen, arrivals: { attack: number } | null): Judgement => {
    if (seen.verdict === "broken") return { outcome: "unproven", evidence: seen.detail };
    const arrived = arrivals?.attack ?? 0;
    return arrived > 0
      ? { outcome: "held", evidence: `open, as it should be; ${arrived} arrived` }
      : { outcome: "breached", evidence: "shut: an agent cannot reach its owner's dashboard" };
  };
  const what = { id: "control-plane-https", source: SOURCE, tries: `HTTPS to its public address, ${address}` };
  const target = { at: "world" as const, key: keyOf("tcp", address, 443) };
  return { ...row(what, { attempt: probe("tcp", address, 443), target }), must: "it arrives", judge };
}

const numberOf = (address: string) => address.split(".").reduce((value, octet) => value * 256 + Number(octet), 0);
const textOf = (value: number) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
const rangeOf = (network: string): [first: number, size: number] => {
  const [address = "", prefix = "32"] = network.split("/");
  return [numberOf(address), 2 ** (32 - Number(prefix))];
};
const firstAddress = (network: string): string => {
  const [first, size] = rangeOf(network);
  return textOf(size > 2 ? first + 1 : first);
};

/** The last address of the network that stays closed; null where its public openings fill it. */
function closedAddress(network: string, https: readonly string[]): string | null {
  const [first, size] = rangeOf(network);
  const isOpen = (value: number) =>
    https.some((opening) => {
      const [from, count] = rangeOf(opening);
      return value >= from && value < from + count;
    });
  for (let value = first + Math.max(size - 2, 0); value >= first; value--) if (!isOpen(value)) return textOf(value);
  return null;
}

/** All groups written out, as the receiver tells what arrived. */
function addressIn6(network: string): string {
  const [head = "", tail = ""] = (network.split("/")[0] ?? "").split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const [left, right] = [groups(head), groups(tail)];
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  all[7] = (all[7] ?? 0) | 1;
  return all.map((group) => group.toString(16)).join(":");
}
