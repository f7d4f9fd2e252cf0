import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  CommandFailed,
  createFirewall,
  type HostFirewall,
  type PolicyInputsGiven,
  type Run,
} from "../../host-agent/firewall/index.ts";
import { policyInputs } from "../../host-agent/firewall/inputs.ts";
import { applyRuleSets } from "../../host-agent/firewall/iptables.ts";
import { firewallPolicy } from "../../host-agent/firewall/policy.ts";
import { applyRouting, routingPolicy } from "../../host-agent/firewall/routing.ts";
import { ADDRESSES, createLab, type Lab, Peer, type Place, POOL } from "./firewall-lab.ts";

let lab: Lab;
let firewall: HostFirewall;
const inputs: PolicyInputsGiven = {
  pool: POOL,
  resolvers: [ADDRESSES.resolver],
  controlPlane: [ADDRESSES.controlPlane],
};
const firewallInputs = policyInputs.parse(inputs);

beforeAll(async () => {
  lab = await createLab("packets");
  firewall = createFirewall({ run: lab.run, inputs });
  await serve("internet", "0.0.0.0", [22, 25, 53, 80, 443, 465, 587, 8443], [443, 4444]);
  // A name server answers from the address that was asked.
  for (const host of [ADDRESSES.resolver, ADDRESSES.otherResolver, ADDRESSES.metadata])
    await serve("internet", host, [], [53]);
  await serve("host", "0.0.0.0", [22], [53, 5353]);
  await serve("host", "::", [9022], []);
  await serve("other", "0.0.0.0", [80], [4444]);
  await serve("other", "::", [9080], []);
  await serve("tenant", "0.0.0.0", [80], [4444]);
  await lab.peers.host.ask("listen", { host: "127.0.0.1", port: 6379, protocol: "tcp" });
  await prepareAttackers();
});
afterAll(() => lab?.destroy());

async function serve(place: Place, host: string, tcpPorts: number[], udpPorts: number[]) {
  for (const port of tcpPorts) await lab.peers[place].ask("listen", { host, port, protocol: "tcp" });
  for (const port of udpPorts) await lab.peers[place].ask("listen", { host, port, protocol: "udp" });
}

/** What a hostile tenant would set up if it had every right in its namespace, and a hostile machine on the host's wire. */
async function prepareAttackers() {
  const [neighbour, tenant] = [lab.inside("internet"), lab.inside("tenant")];
  await neighbour("ip", ["route", "add", POOL, "via", ADDRESSES.host]);
  await neighbour("ip", ["address", "add", `${FORGED_BY_NEIGHBOUR}/32`, "dev", "lo"]);
  await neighbour("ip", ["address", "add", `${OTHER_HOSTS_TENANT}/32`, "dev", "lo"]);
  for (const address of [FORGED_ELSEWHERE, FORGED_IN_POOL]) {
    await tenant("ip", ["address", "add", `${address}/32`, "dev", "eth0"]);
  }
  await tenant("ip", ["address", "flush", "dev", "lo"]);
  await tenant("ip", ["route", "add", "127.0.0.1/32", "via", ADDRESSES.tenantGateway]);
  await tenant("sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=1"]);
}
const FORGED_ELSEWHERE = "93.0.0.9";
const FORGED_IN_POOL = "10.213.0.99";
const FORGED_BY_NEIGHBOUR = "10.213.0.77";
const OTHER_HOSTS_TENANT = "10.213.200.2";

interface Probe {
  protocol: "tcp" | "udp" | "icmp";
  host: string;
  port: number;
  localAddress?: string;
}
interface Attack {
  name: string;
  from: Place;
  probe: Probe;
  receiver: Place;
  /** What stops it, each sufficient alone: family:table:chain:rule, or routing:rule. */
  locks: readonly string[];
}

const raw = (id: string) => [`ipv4:raw:CHELAR-RAW:${id}`];
const input = (id: string) => [`ipv4:filter:CHELAR-INPUT:${id}`];
const forward = (id: string) => [`ipv4:filter:CHELAR-FORWARD:${id}`, `ipv4:mangle:CHELAR-FORWARD:${id}`];
const ROUTE_TO_TENANT = ["routing:tenant-to-tenant"];
const ROUTE_TO_METADATA = ["routing:metadata"];
const NO_IPV6 = ["raw:CHELAR-RAW", "filter:CHELAR-INPUT", "filter:CHELAR-FORWARD"].map(
  (chain) => `ipv6:${chain}:no-ipv6`,
);
const tcp = (host: string, port: number): Probe => ({ protocol: "tcp", host, port });
const udp = (host: string, port: number, localAddress?: string): Probe => ({
  protocol: "udp",
  host,
  port,
  localAddress,
});
const ping = (host: string): Probe => ({ protocol: "icmp", host, port: 0 });
const attack = (name: string, from: Place, probe: Probe, receiver: Place, locks: readonly string[]): Attack => ({
  ...{ name, from, probe, receiver, locks },
});

const BETWEEN_TENANTS = [
  ...forward("tenant-to-tenant"),
  ...forward("tenant-unasked"),
  ...forward("pool"),
  ...forward("special-range"),
  ...ROUTE_TO_TENANT,
];
const TO_HOST_TCP = [...raw("host-connect"), ...input("host-closed")];
const TO_HOST_REST = [...raw("host-other"), ...input("host-closed")];
const REST = forward("everything-else");

const attacks: readonly Attack[] = [
  attack("TCP to another tenant", "tenant", tcp(ADDRESSES.other, 80), "other", BETWEEN_TENANTS),
  attack("UDP to another tenant", "tenant", udp(ADDRESSES.other, 4444), "other", [...BETWEEN_TENANTS, ...REST]),
  attack("ping of another tenant", "tenant", ping(ADDRESSES.other), "other", [...BETWEEN_TENANTS, ...REST]),
  // Refused by INPUT too: without an answer from its gateway a tenant does not find the way (neighbour discovery).
  attack("TCP to another tenant over IPv6", "tenant", tcp("fd00:1::2", 9080), "other", NO_IPV6),
  attack("UDP to a tenant of another host", "tenant", udp(OTHER_HOSTS_TENANT, 4444), "internet", [
    ...forward("pool"),
    ...forward("special-range"),
    ...REST,
    ...ROUTE_TO_TENANT,
  ]),
  attack("TCP to its gateway", "tenant", tcp(ADDRESSES.tenantGateway, 22), "host", TO_HOST_TCP),
  attack("TCP to another tenant's gateway", "tenant", tcp(ADDRESSES.otherGateway, 22), "host", TO_HOST_TCP),
  attack("TCP to the host's own address", "tenant", tcp(ADDRESSES.host, 22), "host", TO_HOST_TCP),
  attack("UDP to its gateway", "tenant", udp(ADDRESSES.tenantGateway, 5353), "host", TO_HOST_REST),
  attack("DNS at its gateway", "tenant", udp(ADDRESSES.tenantGateway, 53), "host", TO_HOST_REST),
  attack("ping of its gateway", "tenant", ping(ADDRESSES.tenantGateway), "host", TO_HOST_REST),
  attack("UDP broadcast on its bridge", "tenant", udp("10.213.0.15", 5353), "host", [
    ...raw("many-receivers"),
    ...input("host-closed"),
  ]),
  ...["fe80::1%eth0", "fd00:0::1"].map((address) =>
    attack(
      `TCP to the bridge's ${address} over IPv6`,
      "tenant",
      tcp(address, 9022),
      "host",
      NO_IPV6.filter((lock) => !lock.includes("FORWARD")),
    ),
  ),
  attack("TCP to the host's 127.0.0.1 through the bridge", "tenant", tcp("127.0.0.1", 6379), "host", [
    ...raw("host-loopback"),
    ...TO_HOST_TCP,
  ]),
  attack("metadata of most clouds", "tenant", tcp(ADDRESSES.metadata, 80), "internet", [
    ...forward("metadata"),
    ...ROUTE_TO_METADATA,
  ]),
  attack("metadata of Alibaba", "tenant", tcp(ADDRESSES.alibaba, 80), "internet", [
    ...forward("metadata"),
    ...forward("special-range"),
    ...ROUTE_TO_METADATA,
  ]),
  attack("Azure's WireServer", "tenant", tcp(ADDRESSES.wireServer, 80), "internet", [
    ...forward("metadata"),
    ...ROUTE_TO_METADATA,
  ]),
  attack("DNS at a metadata address", "tenant", udp(ADDRESSES.metadata, 53), "internet", [
    ...forward("metadata"),
    ...REST,
    ...ROUTE_TO_METADATA,
  ]),
  ...ADDRESSES.privates.map((address) =>
    attack(`private or special address ${address}`, "tenant", tcp(address, 443), "internet", forward("special-range")),
  ),
  attack("the control plane", "tenant", tcp(ADDRESSES.controlPlane, 443), "internet", forward("control-plane")),
  ...[25, 465, 587].map((port) =>
    attack(`mail on ${port}`, "tenant", tcp(ADDRESSES.web, port), "internet", [...forward("mail"), ...REST]),
  ),
  ...[22, 8443].map((port) =>
    attack(`TCP to port ${port} outside`, "tenant", tcp(ADDRESSES.web, port), "internet", REST),
  ),
  ...[443, 4444].map((port) =>
    attack(`UDP to port ${port} outside`, "tenant", udp(ADDRESSES.web, port), "internet", REST),
  ),
  attack("ping outside", "tenant", ping(ADDRESSES.web), "internet", REST),
  attack("DNS at another resolver", "tenant", udp(ADDRESSES.otherResolver, 53), "internet", REST),
  attack("DNS over TCP at another resolver", "tenant", tcp(ADDRESSES.otherResolver, 53), "internet", REST),
  attack("a forged source outside of the pool", "tenant", udp(ADDRESSES.resolver, 53, FORGED_ELSEWHERE), "internet", [
    ...raw("spoofed-source"),
    ...raw("spoofed-neighbour"),
  ]),
  attack(
    "another tenant's source",
    "tenant",
    udp(ADDRESSES.resolver, 53, FORGED_IN_POOL),
    "internet",
    raw("spoofed-neighbour"),
  ),
  attack("UDP from a neighbour of the host to a container", "internet", udp(ADDRESSES.tenant, 4444), "tenant", [
    ...raw("neighbour-to-pool"),
    ...forward("tenant-unasked"),
  ]),
  attack(
    "TCP from a neighbour of the host to a bridge",
    "internet",
    tcp(ADDRESSES.tenantGateway, 22),
    "host",
    raw("neighbour-to-pool"),
  ),
  attack(
    "a neighbour that forges a container's source",
    "internet",
    udp(ADDRESSES.host, 5353, FORGED_BY_NEIGHBOUR),
    "host",
    raw("neighbour-as-pool"),
  ),
];

/** "held", or what got through, as the receiver saw it. */
async function attempt({ from, probe, receiver }: Attack): Promise<string> {
  const { protocol, ...rest } = probe;
  const [target, source] = [lab.peers[receiver], lab.peers[from]];
  await target.ask("forget");
  const pingsBefore = await pings(receiver);
  // A question for a neighbour's address that was dropped a moment ago is repeated only after a second.
  if (probe.host.includes(":")) {
    for (const place of [from, "host", receiver] as const)
      await lab.inside(place)("ip", ["-6", "neigh", "flush", "all"]);
  }
  let said: string;
  if (protocol === "icmp") {
    const answered = lab.inside(from)("timeout", ["0.3", "busybox", "ping", "-c", "1", probe.host]);
    said = await answered.then(
      () => "answered",
      () => "timeout",
    );
  } else said = await source.ask(protocol, { ...rest, timeoutMs: probe.host.includes(":") ? 700 : 250 });
  const seen = await target.ask<Record<string, number>>("seen");
  const arrived = (seen[`${protocol}/${probe.port}`] ?? 0) + (await pings(receiver)) - pingsBefore;
  if (arrived === 0 && said !== "open" && said !== "answered") return "held";
  return `${arrived} arrived, sender: ${said}`;
}

/** What gets through arrives at once, on a machine that is not held up: then it is tried again. */
async function untilThrough(row: Attack): Promise<string> {
  let said = "held";
  for (let tries = 0; said === "held" && tries < 10; tries++) said = await attempt(row);
  return said;
}

async function pings(place: Place): Promise<number> {
  const text = await lab.inside(place)("cat", ["/proc/net/snmp"]);
  const [names = [], values = []] = text
    .split("\n")
    .filter((row) => row.startsWith("Icmp: "))
    .map((row) => row.split(" "));
  return Number(values[names.indexOf("InEchos")]);
}

/** Brings the kernel to the policy without these locks; each must have been there. */
async function standWithout(locks: readonly string[]): Promise<void> {
  const gone = new Set<string>();
  const keeps = (lock: string) => {
    if (locks.includes(lock)) gone.add(lock);
    return !locks.includes(lock);
  };
  const ruleSets = firewallPolicy(firewallInputs).map((set) => {
    const chains = Object.entries(set.chains).map(([chain, rules]) => {
      return [chain, rules.filter(({ id }) => keeps(`${set.family}:${set.table}:${chain}:${id}`))];
    });
    return { ...set, chains: Object.fromEntries(chains) };
  });
  await applyRouting(
    lab.run,
    routingPolicy(firewallInputs).filter(({ id }) => keeps(`routing:${id}`)),
  );
  await applyRuleSets(lab.run, ruleSets);
  expect([...gone].sort()).toEqual([...locks].sort());
}

describe("the walls against packets", () => {
  const takenApart = new Set<string>();
  beforeEach(() => firewall.apply());

  test.each(attacks)("holds $name; and only its locks hold it, each alone", async (row) => {
    expect(await attempt(row)).toBe("held");
    // Once for each set of locks: they do not hold another port differently.
    const apart = row.locks.length > 1 && !takenApart.has(row.locks.join());
    takenApart.add(row.locks.join());
    for (const kept of apart ? row.locks : []) {
      await standWithout(row.locks.filter((lock) => lock !== kept));
      expect(await attempt(row), `with ${kept} alone`).toBe("held");
    }
    await standWithout(row.locks);
    expect(await untilThrough(row), "with its locks removed").not.toBe("held");
  });

  test.each([
    ["the web in clear", tcp(ADDRESSES.web, 80), "open"],
    ["the web", tcp(ADDRESSES.web, 443), "open"],
    ["its resolver", udp(ADDRESSES.resolver, 53), "answered"],
    ["its resolver over TCP", tcp(ADDRESSES.resolver, 53), "open"],
  ])("lets a tenant reach %s", async (_name, { protocol, ...rest }, expected) => {
    expect(await lab.peers.tenant.ask(protocol, { ...rest })).toBe(expected);
  });

  test("lets the host reach a tenant's port, as Caddy does", async () => {
    expect(await lab.peers.host.ask("tcp", { host: ADDRESSES.tenant, port: 80 })).toBe("open");
  });
});

describe("connections that were opened in a gap", () => {
  test.each([
    ["another tenant", ADDRESSES.other, 80],
    ["the host", ADDRESSES.tenantGateway, 22],
    ["a forbidden port outside", ADDRESSES.web, 8443],
    ["a private address", ADDRESSES.privates[0], 443],
  ])("a connection to %s dies at the repair", async (_name, host, port) => {
    await tearDown();
    const peer = new Peer(lab.namespace("tenant"));
    try {
      expect(await peer.ask("tcp", { host, port, keep: true })).toBe("open");
      expect(await peer.ask("speak")).toBe("answered");
      await firewall.apply();
      expect(await peer.ask("speak")).toBe("timeout");
    } finally {
      await peer.stop();
    }
  });
});

describe("drift", () => {
  beforeEach(() => firewall.apply());
  const pick = (...names: string[]) => attacks.filter(({ name }) => names.includes(name));
  const essential = ["TCP to another tenant", "TCP to its gateway", "metadata of most clouds"];

  test("a flushed filter table opens neither tenant, host nor metadata, is noticed and repaired", async () => {
    for (const tool of ["iptables", "ip6tables"]) {
      await lab.run(tool, ["-F"]);
      await lab.run(tool, ["-P", "FORWARD", "ACCEPT"]);
    }
    for (const row of pick(...essential)) expect(await attempt(row), row.name).toBe("held");
    expect(await firewall.verify()).not.toEqual([]);
    await firewall.apply();
    expect(await firewall.verify()).toEqual([]);
    expect(await lab.peers.tenant.ask("tcp", { host: ADDRESSES.web, port: 80 })).toBe("open");
  });

  test("with every table flushed, the routing lock still parts tenants from each other and from metadata", async () => {
    await flushTables();
    for (const row of pick(
      "TCP to another tenant",
      "UDP to another tenant",
      "metadata of most clouds",
      "Azure's WireServer",
    )) {
      expect(await attempt(row), row.name).toBe("held");
    }
  });

  test("an accepting rule slipped in before ours is noticed and put behind", async () => {
    await lab.run("iptables", ["-I", "INPUT", "1", "-j", "ACCEPT"]);
    await lab.run("iptables", ["-I", "DOCKER-USER", "1", "-j", "ACCEPT"]);
    const found = await firewall.verify();
    expect(found).toEqual([
      "ipv4 filter INPUT: does not begin with our jump to CHELAR-INPUT",
      "ipv4 filter DOCKER-USER: does not begin with our jump to CHELAR-FORWARD",
    ]);
    expect(await firewall.repair()).toEqual(found);
    for (const row of pick(...essential)) expect(await attempt(row), row.name).toBe("held");
    const rules = await lab.run("iptables", ["-S", "DOCKER-USER"]);
    expect(rules.trim().split("\n")).toEqual([
      "-N DOCKER-USER",
      "-A DOCKER-USER -j CHELAR-FORWARD",
      "-A DOCKER-USER -j ACCEPT",
    ]);
    await lab.run("iptables", ["-D", "INPUT", "-j", "ACCEPT"]);
    await lab.run("iptables", ["-D", "DOCKER-USER", "-j", "ACCEPT"]);
  });

  test("with the filter table alone flushed, everything outside is held as before", async () => {
    await lab.run("iptables", ["-F"]);
    for (const row of attacks.filter(({ locks }) => locks.some((lock) => lock.includes("mangle")))) {
      expect(await attempt(row), row.name).toBe("held");
    }
  });

  test("a routing rule slipped in before ours is named, and stays, since it is not ours", async () => {
    await lab.run("ip", ["rule", "add", "priority", "1", "from", "all", "lookup", "main", "protocol", "static"]);
    expect(await firewall.repair()).toEqual([
      "routing: somebody else's rule stands before ours: 1: from all lookup main proto static",
    ]);
    await lab.run("ip", ["rule", "del", "priority", "1", "from", "all", "lookup", "main", "protocol", "static"]);
    expect(await firewall.verify()).toEqual([]);
  });

  test("another pool replaces the routing rules of the old one", async () => {
    await createFirewall({ run: lab.run, inputs: { ...inputs, pool: "10.99.0.0/16" } }).apply();
    await firewall.apply();
    const rules = await lab.run("ip", ["rule", "show"]);
    expect(rules).not.toContain("10.99.0.0/16");
    expect(await firewall.verify()).toEqual([]);
  });

  test("a second run touches nothing, and an operator's own rules stay", async () => {
    await lab.run("iptables", ["-A", "DOCKER-USER", "-d", "192.0.2.99/32", "-j", "DROP"]);
    const before = await lab.run("iptables-save", []);
    expect(await firewall.repair()).toEqual([]);
    expect(strip(await lab.run("iptables-save", []))).toBe(strip(before));
  });
});

describe("refusals, before anything is changed", () => {
  const withPrograms =
    (say: Record<string, string | null>): Run =>
    async (file, args, input) => {
      const said = args[0] === "--version" ? say[file] : undefined;
      if (said === null)
        throw new CommandFailed(file, args, Object.assign(new Error("no such program"), { code: 127 }), "");
      return said ?? lab.run(file, args, input);
    };
  test.each<[string, Partial<PolicyInputsGiven>, Record<string, string | null>, string]>([
    ["a pool that overlaps the host's own network", { pool: "198.51.0.0/16" }, {}, "overlaps 198.51.100.0/24 on eth0"],
    ["a resolver that is the host", { resolvers: [ADDRESSES.host] }, {}, "198.51.100.2/32 is this host (eth0)"],
    ["no Docker", {}, { dockerd: null }, "Docker (dockerd) is not installed"],
    ["an old Docker", {}, { dockerd: "Docker version 19.03.15, build 99e3ed8" }, "Docker 19.03.15 is too old"],
    ["an old iptables", {}, { iptables: "iptables v1.6.1" }, "iptables 1.6.1 is too old"],
  ])("%s", async (_name, changed, programs, expected) => {
    await flushTables();
    const before = (await lab.run("iptables-save", [])) + (await lab.run("ip", ["rule"]));
    const wall = createFirewall({ run: withPrograms(programs), inputs: { ...inputs, ...changed } });
    await expect(wall.apply()).rejects.toThrow(expected);
    expect(strip((await lab.run("iptables-save", [])) + (await lab.run("ip", ["rule"])))).toBe(strip(before));
  });
});

describe("limits, per tenant", () => {
  const small = { newPerSecond: 1, newBurst: 10, dnsPerSecond: 1, dnsBurst: 10, concurrent: 5 };
  const limited = (limits: Partial<typeof small>) => createFirewall({ run: lab.run, inputs: { ...inputs, limits } });
  afterAll(() => firewall.apply());

  test("bounds new connections, and only of the tenant that floods", async () => {
    const limits = { newPerSecond: small.newPerSecond, newBurst: small.newBurst };
    await limited(limits).apply();
    const opened = await lab.peers.tenant.ask<number>("flood", { host: ADDRESSES.web, port: 80, times: 60 });
    expect(opened).toBeGreaterThanOrEqual(5);
    expect(opened).toBeLessThanOrEqual(20);
    expect(await lab.peers.other.ask("tcp", { host: ADDRESSES.web, port: 80 })).toBe("open");
    await lab.removeRule("ipv4", "filter", "CHELAR-FORWARD", "new-rate");
    expect(await lab.peers.tenant.ask("flood", { host: ADDRESSES.web, port: 80, times: 60 })).toBe(60);
  });

  test("bounds connections that are open at once", async () => {
    const peer = new Peer(lab.namespace("other"));
    try {
      await limited({ concurrent: small.concurrent }).apply();
      const opened = await peer.ask<number>("flood", { host: ADDRESSES.web, port: 443, times: 40 });
      expect(opened).toBeLessThanOrEqual(small.concurrent);
      await lab.removeRule("ipv4", "filter", "CHELAR-FORWARD", "too-many");
      expect(await peer.ask("flood", { host: ADDRESSES.web, port: 443, times: 40 })).toBe(40);
    } finally {
      await peer.stop();
    }
  });

  test("bounds queries to the resolver, from one socket too", async () => {
    const arrived = async () => {
      await lab.peers.internet.ask("forget");
      await lab.peers.tenant.ask("udp", { host: ADDRESSES.resolver, port: 53, times: 80 });
      return (await lab.peers.internet.ask<Record<string, number>>("seen"))["udp/53"] ?? 0;
    };
    await limited({ dnsPerSecond: small.dnsPerSecond, dnsBurst: small.dnsBurst }).apply();
    expect(await arrived()).toBeLessThanOrEqual(15);
    await lab.removeRule("ipv4", "filter", "CHELAR-FORWARD", "dns-rate-udp");
    expect(await arrived()).toBe(80);
  });
});

async function flushTables() {
  for (const tool of ["iptables", "ip6tables"]) {
    for (const table of ["filter", "raw", "mangle", "nat"]) await lab.run(tool, ["-t", table, "-F"]);
  }
}
async function tearDown() {
  await firewall.apply();
  await flushTables();
  for (const { priority } of routingPolicy(firewallInputs))
    await lab.run("ip", ["rule", "del", "priority", String(priority)]);
}
const strip = (saved: string) => saved.replace(/^#.*$/gm, "").replace(/\[\d+:\d+\]/g, "");
