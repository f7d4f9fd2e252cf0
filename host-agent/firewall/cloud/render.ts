import { isIpv6Source, type Opening } from "../perimeter.ts";

/**
 * The perimeter in each cloud's own JSON. Adding a cloud is adding a row. Sources of the formats: Hetzner Cloud API
 * `firewalls`, EC2 `AuthorizeSecurityGroupIngress`, Compute Engine `firewalls.insert`, DigitalOcean `firewalls`.
 */
export const RENDERERS = { hetzner, aws, gcp, digitalocean } as const;
export type CloudProvider = keyof typeof RENDERERS;

/** Names what we own at the provider. */
const NAME = "chelar-host";

export interface HetznerRule {
  direction: "in";
  protocol: "tcp" | "udp" | "icmp";
  /** Absent for ICMP, of which Hetzner knows no types. */
  port?: string;
  source_ips: string[];
  description: string;
}

export function hetzner(openings: readonly Opening[]): { name: string; rules: HetznerRule[] } {
  const icmp = openings.filter(({ port }) => port === null);
  const rules = openings
    .filter(({ port }) => port !== null)
    .map(
      ({ id, protocol, port, sources }): HetznerRule => ({
        direction: "in",
        protocol: protocol as "tcp" | "udp",
        port: String(port),
        source_ips: [...sources],
        description: `${NAME} ${id}`,
      }),
    );
  const icmpRule: HetznerRule = {
    direction: "in",
    protocol: "icmp",
    source_ips: icmp.flatMap(({ sources }) => sources),
    description: `${NAME} path-mtu`,
  };
  return { name: NAME, rules: [...rules, icmpRule] };
}

/** For `aws ec2 authorize-security-group-ingress --cli-input-json`; a security group refuses what it does not name. */
export function aws(openings: readonly Opening[]) {
  const ipPermissions = openings.flatMap(({ id, protocol, port, icmpTypes, sources }) => {
    // For ICMP the "from" port is the type, and -1 as "to" port means every code.
    const ranges = port === null ? icmpTypes.map((type) => [type, -1] as const) : [[port, port] as const];
    return ranges.map(([FromPort, ToPort]) => ({
      ...{ IpProtocol: protocol, FromPort, ToPort },
      IpRanges: sources.filter((source) => !isIpv6Source(source)).map((CidrIp) => ({ CidrIp, Description: id })),
      Ipv6Ranges: sources.filter(isIpv6Source).map((CidrIpv6) => ({ CidrIpv6, Description: id })),
    }));
  });
  return { GroupName: NAME, IpPermissions: ipPermissions };
}

/** One body for `firewalls.insert` per element. Rules hold one address family each. */
export function gcp(openings: readonly Opening[]) {
  const base = { network: "global/networks/default", direction: "INGRESS", targetTags: [NAME] } as const;
  const families = [
    { suffix: "", is: (source: string) => !isIpv6Source(source), all: "0.0.0.0/0" },
    { suffix: "-v6", is: isIpv6Source, all: "::/0" },
  ] as const;
  return families.flatMap(({ suffix, is, all }) => [
    ...openings
      .map((opening) => ({ ...opening, sources: opening.sources.filter(is) }))
      .filter(({ sources }) => sources.length > 0)
      .map(({ id, protocol, port, sources }) => ({
        ...base,
        name: `${NAME}-${id.replace(/-v6$/, "")}${suffix}`,
        priority: 1_000,
        sourceRanges: sources,
        // IANA protocol 58: Compute Engine has no name for ICMPv6.
        allowed: [
          { IPProtocol: protocol === "icmpv6" ? "58" : protocol, ...(port === null ? {} : { ports: [String(port)] }) },
        ],
      })),
    // The default network comes with rules that let SSH and RDP in from everywhere, at priority 65534.
    { ...base, name: `${NAME}-deny${suffix}`, priority: 2_000, sourceRanges: [all], denied: [{ IPProtocol: "all" }] },
  ]);
}

/** Body for `POST /v2/firewalls`. Without outbound rules DigitalOcean refuses everything that leaves. */
export function digitalocean(openings: readonly Opening[]) {
  const everywhere = { addresses: ["0.0.0.0/0", "::/0"] };
  const icmp = openings.filter(({ port }) => port === null).flatMap(({ sources }) => sources);
  return {
    name: NAME,
    tags: [NAME],
    inbound_rules: [
      ...openings
        .filter(({ port }) => port !== null)
        .map(({ protocol, port, sources }) => ({
          protocol,
          ports: String(port),
          sources: { addresses: [...sources] },
        })),
      { protocol: "icmp", sources: { addresses: icmp } },
    ],
    outbound_rules: [
      ...["tcp", "udp"].map((protocol) => ({ protocol, ports: "all", destinations: everywhere })),
      { protocol: "icmp", destinations: everywhere },
    ],
  };
}
