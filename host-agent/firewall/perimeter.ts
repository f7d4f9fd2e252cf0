import { isIPv6 } from "node:net";
import { z } from "zod";
import { formatNetwork, parseNetwork } from "./addresses.ts";

/**
 * What may reach a host from outside, once, for the first wall (the cloud's firewall) and the second (UFW) alike: SSH
 * from the operator's networks, the web from everywhere, and the ICMP without which large packets vanish silently.
 */
export interface Opening {
  id: "ssh" | "http" | "https" | "http3" | "path-mtu" | "path-mtu-v6";
  protocol: "tcp" | "udp" | "icmp" | "icmpv6";
  /** Null: the protocol has none. */
  port: number | null;
  /** ICMP types; empty for other protocols. */
  icmpTypes: readonly number[];
  sources: readonly string[];
}

const ANYWHERE = ["0.0.0.0/0", "::/0"] as const;

const adminNetwork = z.string().transform((value, context) => {
  const network = canonicalSource(value);
  if (network === null) {
    const accepted = "an IPv4 or IPv6 network such as 203.0.113.0/24, host bits zero, narrower than /8 (IPv6: /16)";
    context.addIssue({
      code: "custom",
      message: `admin network ${JSON.stringify(value)} is not accepted: ${accepted}`,
    });
    return z.NEVER;
  }
  return network;
});

export const perimeterInputs = z.strictObject({
  /** At least one: a host that nobody can administer any more is no safer. */
  adminNetworks: z.array(adminNetwork).min(1).max(32),
  sshPort: z.int().min(1).max(65_535).default(22),
});
export type PerimeterInputsGiven = z.input<typeof perimeterInputs>;

export function parsePerimeter(given: unknown): { ok: true; openings: Opening[] } | { ok: false; refusals: string[] } {
  const parsed = perimeterInputs.safeParse(given);
  if (parsed.success) return { ok: true, openings: perimeter(parsed.data) };
  return { ok: false, refusals: parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) };
}

function perimeter({ adminNetworks, sshPort }: z.output<typeof perimeterInputs>): Opening[] {
  const port = (id: Opening["id"], protocol: "tcp" | "udp", number: number, sources: readonly string[] = ANYWHERE) => ({
    ...{ id, protocol, port: number, icmpTypes: [], sources },
  });
  return [
    port("ssh", "tcp", sshPort, [...new Set(adminNetworks)].sort()),
    port("http", "tcp", 80),
    port("https", "tcp", 443),
    port("http3", "udp", 443),
    // RFC 1191, RFC 4890: "fragmentation needed" and "packet too big"; without them a path with a smaller MTU hangs.
    { id: "path-mtu", protocol: "icmp", port: null, icmpTypes: [3], sources: ["0.0.0.0/0"] },
    { id: "path-mtu-v6", protocol: "icmpv6", port: null, icmpTypes: [2], sources: ["::/0"] },
  ];
}

/** Canonical text of a network that may hold administrators; null for what is none, or nearly everybody. */
export function canonicalSource(text: string): string | null {
  const network = parseNetwork(text);
  if (network) return network.prefix < 8 ? null : formatNetwork(network);
  const [address = "", prefixText = "128", ...rest] = text.split("/");
  if (rest.length > 0 || !isIPv6(address) || address.includes("%") || !/^(0|[1-9]\d{0,2})$/.test(prefixText))
    return null;
  const prefix = Number(prefixText);
  if (prefix > 128 || prefix < 16) return null;
  const groups = ipv6Groups(address);
  const hostBits = groups.some((group, i) => (group & (0xffff >> Math.min(16, Math.max(0, prefix - i * 16)))) !== 0);
  // The URL parser writes the canonical form of RFC 5952.
  return hostBits ? null : `${new URL(`http://[${address}]/`).hostname.slice(1, -1)}/${prefix}`;
}

function ipv6Groups(address: string): number[] {
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const parse = (text: string) => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const [left, right] = [parse(head), parse(tail)];
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

export const isIpv6Source = (source: string): boolean => source.includes(":");
