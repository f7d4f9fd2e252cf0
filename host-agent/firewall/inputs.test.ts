import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatNetwork, overlaps, parseNetwork } from "./addresses.ts";
import { describeRefusal, type HostFacts, parseInputs, refuseInputs } from "./inputs.ts";

const facts: HostFacts = {
  iptablesVersion: "1.8.9",
  addresses: [
    { interface: "lo", address: "127.0.0.1", prefix: 8 },
    { interface: "eth0", address: "10.213.9.4", prefix: 24 },
    { interface: "chl3", address: "10.213.0.49", prefix: 28 },
  ],
};
const refusalsOf = (given: unknown, host = facts): string[] => {
  const parsed = parseInputs(given);
  return (parsed.ok ? refuseInputs(parsed.inputs, host) : parsed.refusals).map(describeRefusal);
};

describe("inputs are refused before anything is changed", () => {
  test.each([
    [{ pool: "10.213.0.0/16" }, `firewall: the pool 10.213.0.0/16 overlaps 10.213.9.0/24 on eth0`],
    [{ pool: "10.0.0.0/8" }, "overlaps 10.213.9.0/24 on eth0"],
    [{ pool: "10.214.0.0/30" }, `"10.214.0.0/30" is not accepted: an IPv4 network between /8 and /24`],
    [{ pool: "16.0.0.0/7" }, `"16.0.0.0/7" is not accepted: an IPv4 network between /8 and /24`],
    [{ pool: "10.214.0.1/16" }, `"10.214.0.1/16" is not accepted`],
    [{ pool: "everything" }, `"everything" is not accepted`],
    [{ resolvers: ["10.213.9.4"] }, "the resolver 10.213.9.4/32 is this host (eth0)"],
    [{ resolvers: ["127.0.0.53"] }, "the resolver 127.0.0.53/32 is this host (lo)"],
    [{ resolvers: ["resolver.example"] }, `"resolver.example" is not accepted: an IPv4 address such as 9.9.9.9`],
    [{ resolvers: ["9.9.9.0/24"] }, `"9.9.9.0/24" is not accepted: an IPv4 address such as 9.9.9.9`],
    [{ controlPlane: ["1.2.3.4/8"] }, `"1.2.3.4/8" is not accepted: an IPv4 network`],
    [{ exceptions: [{ network: "10.214.7.0/24", tcpPorts: [443] }] }, "would open 10.214.0.0/16"],
    [{ exceptions: [{ network: "169.254.169.254", tcpPorts: [80] }] }, "would open 169.254.0.0/16"],
    [{ exceptions: [{ network: "0.0.0.0/0", tcpPorts: [443] }] }, "would open"],
    [{ exceptions: [{ network: "192.168.1.1", tcpPorts: [25] }] }, "would open mail port 25"],
    [{ egressTcpPorts: [0] }, "egressTcpPorts.0"],
    [{ surprise: true }, "surprise"],
  ])("%j", (given, expected) => {
    expect(refusalsOf({ pool: "10.214.0.0/16", resolvers: ["9.9.9.9"], ...given })[0]).toContain(expected);
  });

  test("names what is missing or too old on the host", () => {
    const good = { pool: "10.214.0.0/16", resolvers: ["9.9.9.9"] };
    expect(refusalsOf(good)).toEqual([]);
    expect(refusalsOf(good, { ...facts, iptablesVersion: null })).toEqual([
      "firewall: iptables is not installed; version 1.8.2 or newer is accepted",
    ]);
    expect(refusalsOf(good, { ...facts, iptablesVersion: "1.6.1" })).toEqual([
      "firewall: iptables 1.6.1 is too old; version 1.8.2 or newer is accepted",
    ]);
    expect(refusalsOf(good, { ...facts, engineVersion: null })).toEqual([
      "firewall: Docker (dockerd) is not installed; version 20.10.0 or newer is accepted",
    ]);
    expect(refusalsOf(good, { ...facts, engineVersion: "19.3.15" })).toEqual([
      "firewall: Docker 19.3.15 is too old; version 20.10.0 or newer is accepted",
    ]);
    expect(refusalsOf(good, { ...facts, engineVersion: "29.5.1" })).toEqual([]);
  });

  test("a tenant's own bridge is no overlap", () => {
    const host = { ...facts, addresses: facts.addresses.filter((entry) => entry.interface === "chl3") };
    expect(refusalsOf({ pool: "10.213.0.0/16", resolvers: [] }, host)).toEqual([]);
  });
});

describe("networks", () => {
  const network = fc
    .tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 32 }))
    .map(([value, prefix]) => ({ base: value - (value % 2 ** (32 - prefix)), prefix }));

  test("are printed as they are read", () => {
    fc.assert(
      fc.property(network, (value) => JSON.stringify(parseNetwork(formatNetwork(value))) === JSON.stringify(value)),
    );
  });
  test("overlap exactly when one holds the other's first address", () => {
    const holds = (a: { base: number; prefix: number }, b: { base: number }) =>
      b.base >= a.base && b.base < a.base + 2 ** (32 - a.prefix);
    fc.assert(fc.property(network, network, (a, b) => overlaps(a, b) === (holds(a, b) || holds(b, a))));
  });
  test.each(["1.2.3", "01.2.3.4", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/08", "1.2.3.4/", "1.2.3.4/24/8", " 1.2.3.4", ""])(
    "%j is none",
    (text) => expect(parseNetwork(text)).toBeNull(),
  );
});
