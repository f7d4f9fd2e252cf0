import { afterAll, beforeAll, expect, test } from "vitest";
import { createHetznerWall } from "../../host-agent/firewall/cloud/hetzner.ts";
import { aws, digitalocean, gcp, type HetznerRule, hetzner } from "../../host-agent/firewall/cloud/render.ts";
import { type Opening, parsePerimeter } from "../../host-agent/firewall/perimeter.ts";
import { CLOUDS, enforcement, type LetIn } from "../stand-ins/clouds.ts";
import { type HetznerStandIn, startHetznerStandIn } from "../stand-ins/hetzner.ts";
import { ADDRESSES, createLab, type Lab } from "./firewall-lab.ts";

/** A host with everything open, behind a network that enforces what a cloud's JSON says; scanned from outside. */
const ADMIN = "203.0.113.9";
const TCP = [22, 25, 80, 443, 2019, 2375, 3389, 8080, 10250];
const UDP = [53, 443, 5353];
const parsed = parsePerimeter({ adminNetworks: ["203.0.113.0/24"] });
if (!parsed.ok) throw new Error("perimeter");
const openings: readonly Opening[] = parsed.openings;
let lab: Lab;
let cloud: HetznerStandIn;

beforeAll(async () => {
  lab = await createLab("cloud");
  cloud = await startHetznerStandIn("secret", [7]);
  for (const port of TCP) await lab.peers.host.ask("listen", { host: "0.0.0.0", port, protocol: "tcp" });
  for (const port of UDP) await lab.peers.host.ask("listen", { host: "0.0.0.0", port, protocol: "udp" });
});
afterAll(async () => {
  await cloud?.close();
  await lab?.destroy();
});

async function scan(localAddress: string): Promise<string[]> {
  const target = { host: ADDRESSES.host, localAddress, timeoutMs: 400 };
  const tcp = TCP.map(async (port) => [`tcp/${port}`, await lab.peers.internet.ask("tcp", { ...target, port })]);
  const udp = UDP.map(async (port) => [`udp/${port}`, await lab.peers.internet.ask("udp", { ...target, port })]);
  const seen = await Promise.all([...tcp, ...udp]);
  return seen.filter(([, said]) => said === "open" || said === "answered").map(([name]) => name as string);
}
const enforce = (rules: LetIn[]) => lab.inside("internet")("iptables-restore", [], enforcement(rules, "eth0"));
const WEB = ["tcp/80", "tcp/443", "udp/443"];

test("without it, a scan finds everything", async () => {
  expect(await scan(ADDRESSES.neighbour)).toHaveLength(TCP.length + UDP.length);
});

test.each([
  ["AWS", () => CLOUDS.aws(aws(openings))],
  ["GCP", () => CLOUDS.gcp(gcp(openings))],
  ["DigitalOcean", () => CLOUDS.digitalocean(digitalocean(openings))],
  ["Hetzner", () => CLOUDS.hetzner(hetzner(openings))],
])("as %s enforces it, a scan finds the web, and SSH only from the operator's network", async (_name, rules) => {
  await enforce(rules());
  expect(await scan(ADDRESSES.neighbour)).toEqual(WEB);
  expect(await scan(ADMIN)).toEqual(["tcp/22", ...WEB]);
});

test("what the driver left in Hetzner's memory holds, and drift there is found by a scan until repaired", async () => {
  const wall = createHetznerWall({ openings, serverIds: [7], token: "secret", endpoint: cloud.endpoint, pollMs: 1 });
  const attached = () => {
    const ids = [...(cloud.servers.get(7) ?? [])];
    const rules = ids.flatMap((id) => cloud.firewalls.get(id)?.rules ?? []) as HetznerRule[];
    return enforce(CLOUDS.hetzner({ name: "attached", rules }));
  };
  await wall.repair();
  await attached();
  expect(await scan(ADDRESSES.neighbour)).toEqual(WEB);
  const [firewall] = [...cloud.firewalls.values()];
  firewall?.rules.push({ direction: "in", protocol: "tcp", port: "2375", source_ips: ["0.0.0.0/0"] });
  await attached();
  expect(await scan(ADDRESSES.neighbour)).toContain("tcp/2375");
  expect(await wall.repair()).toEqual(["cloud: not ours: in tcp 2375 0.0.0.0/0"]);
  await attached();
  expect(await scan(ADDRESSES.neighbour)).toEqual(WEB);
});
