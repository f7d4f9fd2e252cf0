import { z } from "zod";
import { formatNetwork, type Network, networkOf, overlaps, parseAddress, parseNetwork } from "./addresses.ts";
import { MAIL_PORTS, METADATA } from "./policy.ts";

/** What the walls are built from. Everything is checked here, before anything on the host is changed. */
const network = (accepted: string) =>
  z.string().superRefine((value, context) => {
    if (parseNetwork(value) === null) {
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is not accepted: ${accepted}` });
    }
  });
const ipv4Network = network("an IPv4 network such as 203.0.113.0/24, host bits zero, or one address").transform(
  (value) => formatNetwork(parseNetwork(value) as Network),
);
const port = z.int().min(1).max(65_535);
const ports = z.array(port).min(1).max(15);

export const policyInputs = z.strictObject({
  /** Addresses of all tenants of this host; the same pool may serve on every host. */
  pool: network("an IPv4 network between /8 and /24, e.g. 10.213.0.0/16").refine(
    (value) => {
      const prefix = parseNetwork(value)?.prefix ?? 16;
      return prefix >= 8 && prefix <= 24;
    },
    {
      error: ({ input }) =>
        `${JSON.stringify(input)} is not accepted: an IPv4 network between /8 and /24, e.g. 10.213.0.0/16`,
    },
  ),
  /** iptables' wildcard for every tenant's bridge. */
  bridges: z
    .string()
    .regex(/^[a-z]{2,8}\+$/)
    .default("chl+"),
  /** Name servers of the containers: IPv4 addresses, never this host's own. */
  resolvers: z
    .array(
      z
        .string()
        .refine((value) => parseAddress(value) !== null, {
          error: ({ input }) => `${JSON.stringify(input)} is not accepted: an IPv4 address such as 9.9.9.9`,
        })
        .transform((value) => `${value}/32`),
    )
    .max(8),
  /** Networks of the control plane, on which tenants have nothing to seek. */
  controlPlane: z.array(ipv4Network).max(64).default([]),
  /** Openings inside blocked ranges, e.g. the public HTTPS address of the control plane. */
  exceptions: z
    .array(z.strictObject({ network: ipv4Network, tcpPorts: ports }))
    .max(64)
    .default([]),
  egressTcpPorts: ports.default([80, 443]),
  /** Per tenant. `…PerSecond` are new connections (or queries), sustained; `…Burst` what may come at once. */
  limits: z
    .strictObject({
      newPerSecond: z.int().min(1).max(10_000).default(30),
      newBurst: z.int().min(1).max(10_000).default(150),
      dnsPerSecond: z.int().min(1).max(10_000).default(50),
      dnsBurst: z.int().min(1).max(10_000).default(200),
      /** TCP connections open at the same time. */
      concurrent: z.int().min(1).max(100_000).default(1_024),
    })
    .prefault({}),
});
export type PolicyInputs = z.output<typeof policyInputs>;
export type PolicyInputsGiven = z.input<typeof policyInputs>;

/** What the host says of itself; read by `facts.ts`. */
export interface HostFacts {
  /** Null: not installed. */
  iptablesVersion: string | null;
  /** Of dockerd. Null: not installed. Undefined: not asked, e.g. of a server on which it is still to be installed. */
  engineVersion?: string | null;
  addresses: readonly { interface: string; address: string; prefix: number }[];
}

export type InputRefusal =
  | { reason: "malformed"; field: string; detail: string }
  | { reason: "pool_overlaps"; pool: string; network: string; interface: string }
  | { reason: "resolver_is_host"; resolver: string; interface: string }
  | { reason: "exception_opens_wall"; network: string; wall: string }
  | { reason: "iptables_missing" }
  | { reason: "iptables_too_old"; have: string; need: string }
  | { reason: "engine_missing" }
  | { reason: "engine_too_old"; have: string; need: string };

/** The oldest that the walls were proven with. What production asks for is the version gates' to say (DESIGN 5). */
export const ENGINE_MINIMUM = "20.10.0";

/** First with `iptables-restore --noflush` and hashlimit in nft form as used here, and `-w` in all tools. */
export const IPTABLES_MINIMUM = "1.8.2";

export function parseInputs(
  given: unknown,
): { ok: true; inputs: PolicyInputs } | { ok: false; refusals: InputRefusal[] } {
  const parsed = policyInputs.safeParse(given);
  if (parsed.success) return { ok: true, inputs: parsed.data };
  const refusals = parsed.error.issues.map(
    (issue): InputRefusal => ({ reason: "malformed", field: issue.path.join("."), detail: issue.message }),
  );
  return { ok: false, refusals };
}

/** Whether this policy may stand on this host. Empty: it may. */
export function refuseInputs(inputs: PolicyInputs, facts: HostFacts): InputRefusal[] {
  const refusals: InputRefusal[] = [];
  const prefix = inputs.bridges.slice(0, -1);
  const pool = parseNetwork(inputs.pool) as Network;
  const own = facts.addresses.filter((entry) => !entry.interface.startsWith(prefix));
  for (const entry of own) {
    const local = networkOf(entry.address, entry.prefix);
    if (local && overlaps(local, pool)) {
      const refusal = { pool: inputs.pool, network: formatNetwork(local), interface: entry.interface };
      refusals.push({ reason: "pool_overlaps", ...refusal });
    }
  }
  for (const resolver of inputs.resolvers) {
    const server = parseNetwork(resolver) as Network;
    // All of 127.0.0.0/8 is the host, e.g. systemd-resolved's 127.0.0.53.
    const entry = own.find(({ address, prefix: length }) =>
      overlaps(networkOf(address, address.startsWith("127.") ? length : 32) as Network, server),
    );
    if (entry) refusals.push({ reason: "resolver_is_host", resolver, interface: entry.interface });
  }
  refusals.push(...refuseOpenings(inputs));
  if (facts.iptablesVersion === null) refusals.push({ reason: "iptables_missing" });
  else if (compareVersions(facts.iptablesVersion, IPTABLES_MINIMUM) < 0) {
    refusals.push({ reason: "iptables_too_old", have: facts.iptablesVersion, need: IPTABLES_MINIMUM });
  }
  if (facts.engineVersion === null) refusals.push({ reason: "engine_missing" });
  else if (facts.engineVersion !== undefined && compareVersions(facts.engineVersion, ENGINE_MINIMUM) < 0) {
    refusals.push({ reason: "engine_too_old", have: facts.engineVersion, need: ENGINE_MINIMUM });
  }
  return refusals;
}

/** Exceptions that would open what no exception may. */
export function refuseOpenings({ pool, exceptions }: PolicyInputs): InputRefusal[] {
  return exceptions.flatMap(({ network, tcpPorts }) => {
    const opens = (wall: string): InputRefusal => ({ reason: "exception_opens_wall", network, wall });
    const walls = [pool, ...METADATA].filter((wall) =>
      overlaps(parseNetwork(network) as Network, parseNetwork(wall) as Network),
    );
    const mail = tcpPorts.find((value) => MAIL_PORTS.some((mailPort) => mailPort === value));
    return [...walls.map(opens), ...(mail ? [opens(`mail port ${mail}`)] : [])];
  });
}

/** One sentence that names the value and what is accepted. */
export function describeRefusal(refusal: InputRefusal): string {
  switch (refusal.reason) {
    case "malformed":
      return `firewall: ${refusal.field}: ${refusal.detail}`;
    case "pool_overlaps":
      return `firewall: the pool ${refusal.pool} overlaps ${refusal.network} on ${refusal.interface}; a pool that no other interface of this host uses is accepted`;
    case "resolver_is_host":
      return `firewall: the resolver ${refusal.resolver} is this host (${refusal.interface}), which tenants never reach; a name server elsewhere is accepted`;
    case "exception_opens_wall":
      return `firewall: the exception ${refusal.network} would open ${refusal.wall}; exceptions outside of the pool, of metadata services and of mail ports are accepted`;
    case "iptables_missing":
      return `firewall: iptables is not installed; version ${IPTABLES_MINIMUM} or newer is accepted`;
    case "iptables_too_old":
      return `firewall: iptables ${refusal.have} is too old; version ${refusal.need} or newer is accepted`;
    case "engine_missing":
      return `firewall: Docker (dockerd) is not installed; version ${ENGINE_MINIMUM} or newer is accepted`;
    case "engine_too_old":
      return `firewall: Docker ${refusal.have} is too old; version ${refusal.need} or newer is accepted`;
  }
}

export function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}
