import { describe, expect, test } from "vitest";
import { CLOUDS } from "../../test/stand-ins/clouds.ts";
import { RENDERERS } from "./cloud/render.ts";
import { canonicalSource, parsePerimeter } from "./perimeter.ts";
import { ufwPlan } from "./ufw-rules.ts";

const openingsOf = (adminNetworks: string[]) => {
  const parsed = parsePerimeter({ adminNetworks });
  if (!parsed.ok) throw new Error(parsed.refusals.join());
  return parsed.openings;
};

describe("admin networks", () => {
  test.each([
    "",
    "office",
    "203.0.113.0/33",
    "203.0.113.5/24",
    "0.0.0.0/0",
    "128.0.0.0/1",
    "::/0",
    "2001:db8::1/32",
    "fe80::1%eth0",
    "1.2.3",
  ])("%j is refused by name, with what is accepted", (network) => {
    const parsed = parsePerimeter({ adminNetworks: [network] });
    expect(parsed).toMatchObject({ ok: false });
    if (!parsed.ok) {
      expect(parsed.refusals[0]).toContain(JSON.stringify(network));
      expect(parsed.refusals[0]).toContain("203.0.113.0/24");
    }
  });
  test("none at all is refused: nobody could administer the host", () => {
    expect(parsePerimeter({ adminNetworks: [] }).ok).toBe(false);
  });
  test.each([
    ["203.0.113.7", "203.0.113.7/32"],
    ["203.0.113.0/24", "203.0.113.0/24"],
    ["2001:DB8:0:0::/32", "2001:db8::/32"],
    ["2001:db8::1", "2001:db8::1/128"],
    ["2001:db8:8000::/33", "2001:db8:8000::/33"],
  ])("%s is %s", (given, canonical) => expect(canonicalSource(given)).toBe(canonical));
});

describe("renderings", () => {
  const openings = openingsOf(["203.0.113.0/24", "2001:db8::/32"]);
  /** Hetzner, Compute Engine and DigitalOcean know no ICMP types: there, all of ICMP. */
  const expected = (icmpTypes: boolean) =>
    openings.flatMap(({ protocol, port, icmpTypes: [type = null], sources }) =>
      sources.map((source) => ({ protocol, port, icmpType: icmpTypes ? type : null, source })),
    );
  const sorted = (rules: unknown[]) => rules.map((rule) => JSON.stringify(rule)).sort();
  test.each([
    ["hetzner", CLOUDS.hetzner(RENDERERS.hetzner(openings)), false],
    ["aws", CLOUDS.aws(RENDERERS.aws(openings)), true],
    ["gcp", CLOUDS.gcp(RENDERERS.gcp(openings)), false],
    ["digitalocean", CLOUDS.digitalocean(RENDERERS.digitalocean(openings)), false],
  ] as const)("%s lets in exactly the perimeter, IPv4 and IPv6", (_provider, letIn, icmpTypes) => {
    expect(sorted([...letIn])).toEqual(sorted(expected(icmpTypes)));
  });
  test("Compute Engine refuses what its default network would let in", () => {
    const denied = RENDERERS.gcp(openings).filter((rule) => "denied" in rule);
    expect(denied.map(({ sourceRanges }) => sourceRanges)).toEqual([["0.0.0.0/0"], ["::/0"]]);
  });
  test("UFW leaves the length away from a single address, and only there", () => {
    const { rules } = ufwPlan(openingsOf(["203.0.113.7", "2001:db8::/32", "2001:db8::1"]));
    expect(rules.filter(({ id }) => id === "ssh").map(({ words }) => words[2])).toEqual([
      "2001:db8::/32",
      "2001:db8::1",
      "203.0.113.7",
    ]);
  });
});
