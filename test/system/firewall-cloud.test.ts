import { afterAll, beforeAll, expect, test } from "vitest";
import { createHetznerWall } from "../../host-agent/firewall/cloud/hetzner.ts";
import { aws, digitalocean, gcp, type HetznerRule, hetzner } from "../../host-agent/firewall/cloud/render.ts";
import { type Opening, parsePerimeter } from "../../host-agent/firewall/perimeter.ts";
import { type Judgement, unreached } from "../../host-agent/posture/rules.ts";
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

/** As the provider has it: rules of all attached firewalls add up, and a server without any is open. */
async function enforceWhatIsAttached(): Promise<void> {
  const ids = [...(cloud.servers.get(7) ?? [])];
  const rules = ids.flatMap((id) => cloud.firewalls.get(id)?.rules ?? []) as HetznerRule[];
  if (ids.length > 0) await enforce(CLOUDS.hetzner({ name: "attached", rules }));
  else await lab.inside("internet")("iptables", ["-F", "OUTPUT"]);
}
const wallAtHetzner = () =>
  createHetznerWall({ openings, serverIds: [7], token: "secret", endpoint: cloud.endpoint, pollMs: 1 });

test("what the driver left in Hetzner's memory holds, and drift there is found by a scan until repaired", async () => {
  const wall = wallAtHetzner();
  await wall.repair();
  await enforceWhatIsAttached();
  expect(await scan(ADDRESSES.neighbour)).toEqual(WEB);
  const [firewall] = [...cloud.firewalls.values()];
  firewall?.rules.push({ direction: "in", protocol: "tcp", port: "2375", source_ips: ["0.0.0.0/0"] });
  await enforceWhatIsAttached();
  expect(await scan(ADDRESSES.neighbour)).toContain("tcp/2375");
  expect(await wall.repair()).toEqual(["cloud: not ours: in tcp 2375 0.0.0.0/0"]);
  await enforceWhatIsAttached();
  expect(await scan(ADDRESSES.neighbour)).toEqual(WEB);
});

/**
 * The posture's rows of the first wall, which no host can try by itself: tried from outside, and judged as all others
 * are. `spoil` is what somebody does at the provider.
 */
const ATTACKS = {
  "perimeter-tcp": ["tcp", 2375],
  "perimeter-udp": ["udp", 53],
  "perimeter-ssh": ["tcp", 22],
} as const;
type AttackId = keyof typeof ATTACKS;

async function attack(id: AttackId): Promise<Judgement> {
  const [protocol, port] = ATTACKS[id];
  const target = { host: ADDRESSES.host, port, timeoutMs: 400 };
  const opened = (said: string) => said === "open" || said === "answered";
  const control = opened(await lab.peers.host.ask(protocol, target));
  const said = await lab.peers.internet.ask(protocol, { ...target, localAddress: ADDRESSES.neighbour });
  const verdict = opened(said) ? "answered" : "silent";
  return unreached({ verdict, detail: said }, { attack: opened(said) ? 1 : 0, control: control ? 1 : 0 });
}

const letIn = (protocol: string, port: string) => () => {
  const source_ips = ["0.0.0.0/0", "::/0"];
  for (const { rules } of cloud.firewalls.values()) rules.push({ direction: "in", protocol, port, source_ips });
};
test.each<[string, readonly AttackId[], () => void]>([
  [
    "detached from the server",
    ["perimeter-tcp", "perimeter-udp", "perimeter-ssh"],
    () => cloud.servers.get(7)?.clear(),
  ],
  ["with Docker's port opened to the world", ["perimeter-tcp"], letIn("tcp", "2375")],
  ["with DNS opened to the world", ["perimeter-udp"], letIn("udp", "53")],
  ["with SSH opened to the world", ["perimeter-ssh"], letIn("tcp", "22")],
])("the first wall, %s, is breached, and after the repair held", async (weakening, attacks, spoil) => {
  const wall = wallAtHetzner();
  const outcomes = async () => {
    await enforceWhatIsAttached();
    const judged = await Promise.all(attacks.map(async (id) => ({ id, ...(await attack(id)) })));
    for (const { id, outcome, evidence } of judged) {
      if (outcome === "breached") console.log(`${outcome}  ${id}  ${weakening}  ${evidence}`);
    }
    return judged.map(({ outcome }) => outcome);
  };
  await wall.repair();
  expect(await outcomes()).toEqual(attacks.map(() => "held"));
  spoil();
  expect(await outcomes()).toEqual(attacks.map(() => "breached"));
  expect(await wall.repair()).not.toEqual([]);
  expect(await outcomes()).toEqual(attacks.map(() => "held"));
});
