import type { aws, digitalocean, gcp, hetzner } from "../../host-agent/firewall/cloud/render.ts";

/**
 * Reads each cloud's JSON as that cloud would enforce it: what is not let in is refused. Written from the providers'
 * documentation and not from our renderer, so that a test can put real packets between the two.
 */
export interface LetIn {
  protocol: "tcp" | "udp" | "icmp" | "icmpv6";
  port: number | null;
  /** Null: every type. */
  icmpType: number | null;
  source: string;
}

const v6 = (source: string) => source.includes(":");
const icmpOf = (source: string) => (v6(source) ? "icmpv6" : "icmp");
const letIn = (protocol: string, port: number | null, source: string, icmpType: number | null = null): LetIn => ({
  ...{ protocol: protocol as LetIn["protocol"], port, icmpType, source },
});

export const CLOUDS = {
  hetzner: ({ rules }: ReturnType<typeof hetzner>): LetIn[] =>
    rules.flatMap(({ protocol, port, source_ips }) =>
      source_ips.map((source) =>
        letIn(protocol === "icmp" ? icmpOf(source) : protocol, port ? Number(port) : null, source),
      ),
    ),
  aws: ({ IpPermissions }: ReturnType<typeof aws>): LetIn[] =>
    IpPermissions.flatMap(({ IpProtocol, FromPort, ToPort, IpRanges, Ipv6Ranges }) => {
      const isIcmp = IpProtocol.startsWith("icmp");
      if (!isIcmp && FromPort !== ToPort) throw new Error(`a range of ports: ${FromPort}-${ToPort}`);
      const sources = [...IpRanges.map(({ CidrIp }) => CidrIp), ...Ipv6Ranges.map(({ CidrIpv6 }) => CidrIpv6)];
      return sources.map((source) => letIn(IpProtocol, isIcmp ? null : FromPort, source, isIcmp ? FromPort : null));
    }),
  gcp: (rules: ReturnType<typeof gcp>): LetIn[] =>
    rules.flatMap((rule) => {
      if (!("allowed" in rule)) return [];
      return rule.allowed.flatMap((allowed) => {
        const protocol = allowed.IPProtocol === "58" ? "icmpv6" : allowed.IPProtocol;
        const ports: (string | null)[] = allowed.ports ?? [null];
        return ports.flatMap((port) =>
          rule.sourceRanges.map((source) => letIn(protocol, port ? Number(port) : null, source)),
        );
      });
    }),
  digitalocean: ({ inbound_rules }: ReturnType<typeof digitalocean>): LetIn[] =>
    inbound_rules.flatMap((rule) =>
      rule.sources.addresses.map((source) =>
        letIn(
          rule.protocol === "icmp" ? icmpOf(source) : rule.protocol,
          "ports" in rule ? Number(rule.ports) : null,
          source,
        ),
      ),
    ),
};

/** As input for `iptables-restore`: a network in front of the server that lets in exactly this. */
export function enforcement(rules: readonly LetIn[], outward: string): string {
  const ipv4 = rules.filter(({ source }) => !v6(source));
  const accepted = ipv4.map(({ protocol, port, icmpType, source }) =>
    [
      `-A OUTPUT -o ${outward} -s ${source} -p ${protocol}`,
      ...(port === null ? [] : [`-m ${protocol} --dport ${port}`]),
      ...(icmpType === null ? [] : [`-m icmp --icmp-type ${icmpType}`]),
      "-j ACCEPT",
    ].join(" "),
  );
  const answers = `-A OUTPUT -o ${outward} -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT`;
  return [
    "*filter",
    ":OUTPUT ACCEPT [0:0]",
    answers,
    ...accepted,
    `-A OUTPUT -o ${outward} -j DROP`,
    "COMMIT",
    "",
  ].join("\n");
}
