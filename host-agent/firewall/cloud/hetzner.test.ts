import { afterEach, beforeEach, expect, test } from "vitest";
import { type HetznerStandIn, startHetznerStandIn } from "../../../test/stand-ins/hetzner.ts";
import { parsePerimeter } from "../perimeter.ts";
import { createHetznerWall } from "./hetzner.ts";

const parsed = parsePerimeter({ adminNetworks: ["203.0.113.0/24"] });
if (!parsed.ok) throw new Error("perimeter");
let cloud: HetznerStandIn;
beforeEach(async () => {
  cloud = await startHetznerStandIn("secret", [7, 8]);
});
afterEach(() => cloud.close());

const wall = (rest: { token?: string; serverIds?: number[] } = {}) =>
  createHetznerWall({
    ...{ openings: parsed.openings, endpoint: cloud.endpoint, token: "secret", serverIds: [7, 8], pollMs: 1, ...rest },
  });

test("creates and attaches, then finds nothing to do", async () => {
  expect(await wall().verify()).toEqual([
    "cloud: firewall chelar-host is missing",
    "cloud: server 7 is not behind our firewall",
    "cloud: server 8 is not behind our firewall",
  ]);
  await wall().repair();
  expect(await wall().verify()).toEqual([]);
  const [firewall] = [...cloud.firewalls.values()];
  expect(firewall?.rules.map(({ protocol, port, source_ips }) => [protocol, port, source_ips])).toEqual([
    ["tcp", "22", ["203.0.113.0/24"]],
    ["tcp", "80", ["0.0.0.0/0", "::/0"]],
    ["tcp", "443", ["0.0.0.0/0", "::/0"]],
    ["udp", "443", ["0.0.0.0/0", "::/0"]],
    ["icmp", undefined, ["0.0.0.0/0", "::/0"]],
  ]);
  const writes = cloud.writes.length;
  expect(await wall().repair()).toEqual([]);
  expect(cloud.writes.length).toBe(writes);
});

test("notices an opening, a missing rule and a widened source in the console, and repairs them", async () => {
  await wall().repair();
  const [firewall] = [...cloud.firewalls.values()];
  if (!firewall) throw new Error("no firewall");
  firewall.rules.push({ direction: "in", protocol: "tcp", port: "2375", source_ips: ["0.0.0.0/0"] });
  firewall.rules = firewall.rules.filter(({ port }) => port !== "80");
  const ssh = firewall.rules.find(({ port }) => port === "22");
  ssh?.source_ips.push("0.0.0.0/0");
  expect(await wall().verify()).toEqual([
    "cloud: missing: in tcp 22 203.0.113.0/24",
    "cloud: missing: in tcp 80 0.0.0.0/0 ::/0",
    "cloud: not ours: in tcp 22 0.0.0.0/0 203.0.113.0/24",
    "cloud: not ours: in tcp 2375 0.0.0.0/0",
  ]);
  await wall().repair();
  expect(await wall().verify()).toEqual([]);
});

test("notices a detached server and another firewall beside ours, whose rules would add up", async () => {
  await wall().repair();
  const open = {
    id: 1,
    name: "open",
    rules: [{ direction: "in", protocol: "tcp", port: "1-65535", source_ips: ["::/0"] }],
  };
  cloud.firewalls.set(1, open);
  cloud.servers.get(7)?.add(1);
  cloud.servers.get(8)?.clear();
  expect(await wall().verify()).toEqual([
    "cloud: server 7 has another firewall: 1",
    "cloud: server 8 is not behind our firewall",
  ]);
  await wall().repair();
  expect(await wall().verify()).toEqual([]);
  expect(cloud.firewalls.has(1)).toBe(true);
});

test("changes nothing on a server that is somewhere else than the one that is meant", async () => {
  const here = (address: string) =>
    createHetznerWall({
      ...{ openings: parsed.openings, endpoint: cloud.endpoint, token: "secret", serverIds: [7], pollMs: 1 },
      addresses: [address],
    });
  await expect(here("198.51.100.9").repair()).rejects.toMatchObject({ code: "wrong_server" });
  expect(cloud.writes).toEqual([]);
  await here("203.0.113.7").repair();
  expect(await here("203.0.113.7").verify()).toEqual([]);
});

test("servers of different operators have firewalls of their own", async () => {
  const of = (id: number, network: string) => {
    const perimeter = parsePerimeter({ adminNetworks: [network] });
    if (!perimeter.ok) throw new Error("perimeter");
    return createHetznerWall({
      ...{ openings: perimeter.openings, endpoint: cloud.endpoint, token: "secret", serverIds: [id], pollMs: 1 },
      name: `chelar-host-${id}`,
    });
  };
  await of(7, "203.0.113.0/24").repair();
  await of(8, "198.51.100.0/24").repair();
  expect(await of(7, "203.0.113.0/24").verify()).toEqual([]);
});

test.each([
  ["a wrong token", {}, { token: "guess" }, "unauthorized"],
  ["a server that is not there", {}, { serverIds: [99] }, "not_found"],
  ["too many requests", { rateLimited: 2 }, {}, "rate_limit_exceeded"],
  ["an action that fails", { actionsFail: true }, {}, "action_failed"],
])("says %s by its code, without the token", async (_name, trouble, options, code) => {
  Object.assign(cloud, trouble);
  const failed = await wall(options)
    .repair()
    .then(
      () => null,
      (error: Error & { code: string }) => error,
    );
  expect(failed?.code).toBe(code);
  expect(String(failed?.stack)).not.toMatch(/secret|guess/);
});

test("picks up after being ended between two steps", async () => {
  await wall().repair();
  for (const attached of cloud.servers.values()) attached.clear();
  await wall().repair();
  expect(await wall().verify()).toEqual([]);
  expect(cloud.firewalls.size).toBe(1);
});
