import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createFirewall, createUfw, type Drift, hostRun, parsePerimeter } from "../../host-agent/firewall/index.ts";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { createTestHost, internet, type TestHost, UFW_DIRECTORIES } from "../hosts/index.ts";
import { type Recorder, recordTcp, recordUdp } from "../stand-ins/recorder.ts";
import { Peer } from "./firewall-lab.ts";

/**
 * A real server with dockerd and UFW under faults, while a prober inside a tenant's container never stops trying to reach
 * another tenant, the host and the metadata service. Receivers count what came through.
 */
const POOL = "10.213.0.0/16";
const RESOLVER = "9.9.9.9";
const WEB = "93.184.216.34";
const METADATA = "169.254.169.254";
const OTHER = "10.213.0.18";
const GATEWAY = "10.213.0.1";
const PORT = 4444;
const PERIMETER = { adminNetworks: [`${internet.address}/32`] };

let host: TestHost;
let guardian: ChildProcess | undefined;
const drifts: Drift[] = [];
const peers: Peer[] = [];
const recorders: Recorder[] = [];
let hostPeer: Peer;
let otherPeer: Peer;
const rows: Record<string, unknown>[] = [];

const docker = (...args: string[]) => host.run("docker", ["-H", `unix://${host.dockerSocket}`, ...args]);

beforeAll(async () => {
  host = await createTestHost({ images: ["echo"], ownDirectories: UFW_DIRECTORIES, dockerArgs: ["--live-restore"] });
  for (const address of [METADATA, WEB, RESOLVER]) await internet.addAddress(address);
  recorders.push(await recordTcp(METADATA, PORT), await recordUdp(METADATA, PORT));
  await recordTcp(WEB, 80);
  await startGuardian();
  for (const slot of [0, 1]) {
    const bridge = `com.docker.network.bridge.name=chl${slot}`;
    await docker("network", "create", "--opt", bridge, "--subnet", `10.213.0.${slot * 16}/28`, `chl${slot}`);
  }
  const closed = [METADATA, OTHER, GATEWAY, host.address].map((address) => [address, PORT]);
  const targets = JSON.stringify({ closed, open: [WEB, 80] });
  const script = new URL("./firewall-prober.mjs", import.meta.url).pathname;
  const node = "/usr/local/bin/node";
  await docker(
    "run",
    "--detach",
    "--name",
    "other",
    "--network",
    "chl1",
    "--ip",
    OTHER,
    imageRef("echo"),
    node,
    "-e",
    "setInterval(() => {}, 1e6)",
  );
  await docker(
    ...[
      "run",
      "--detach",
      "--name",
      "prober",
      "--network",
      "chl0",
      "--ip",
      "10.213.0.2",
      "--env",
      `TARGETS=${targets}`,
    ],
    ...["--volume", `${script}:/prober.mjs:ro`, imageRef("echo"), node, "/prober.mjs"],
  );
  hostPeer = new Peer(host.namespace);
  otherPeer = new Peer(`/proc/${(await docker("inspect", "--format", "{{.State.Pid}}", "other")).trim()}/ns/net`);
  peers.push(hostPeer, otherPeer);
  for (const peer of peers) {
    for (const protocol of ["tcp", "udp"]) await peer.ask("listen", { host: "0.0.0.0", port: PORT, protocol });
  }
}, 120_000);

afterAll(async () => {
  console.table(rows);
  guardian?.kill("SIGKILL");
  for (const peer of peers) await peer.stop();
  await host?.destroy();
}, 120_000);

async function startGuardian(): Promise<void> {
  const script = new URL("./firewall-guardian.ts", import.meta.url).pathname;
  const inputs = JSON.stringify({ pool: POOL, resolvers: [RESOLVER], ...PERIMETER });
  const child = host.spawn(process.execPath, [script, inputs], { stdio: ["ignore", "pipe", "inherit"] });
  guardian = child;
  const standing = new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the guardian ended with ${code}`)));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const said = JSON.parse(line) as { drift?: Drift; standing?: boolean };
      if (said.drift) drifts.push(said.drift);
      if (said.drift?.failure) console.warn(`guard: ${said.drift.wall}: ${said.drift.failure}`);
      if (said.standing) resolve();
    });
  });
  await standing;
}

interface Counts {
  sent: number;
  entered: number;
  reached: number;
}
const probes = async (): Promise<Counts> =>
  JSON.parse(await host.run("curl", ["--silent", "--max-time", "5", "http://10.213.0.2:8080/"]));

/** What arrived where nothing may: at the host, the other tenant, the metadata service, or back at the prober. */
async function arrivals(): Promise<Record<string, number>> {
  const [atHost, atOther] = await Promise.all(peers.map((peer) => peer.ask<Record<string, number>>("seen")));
  const sum = (seen: Record<string, number> = {}) => Object.values(seen).reduce((total, count) => total + count, 0);
  const metadata = recorders.reduce((total, { arrived }) => total + arrived.length, 0);
  return { host: sum(atHost), other: sum(atOther), metadata, answers: (await probes()).entered };
}
/** Only what leaked, by where it arrived. */
function since(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const grown = Object.entries(after).map(([place, count]) => [place, count - (before[place] ?? 0)] as const);
  return Object.fromEntries(grown.filter(([, count]) => count !== 0));
}
/** What differs from the plan of either wall, as somebody else than the guard finds it. */
async function differences(): Promise<string[]> {
  const run = hostRun(host.enter);
  const perimeter = parsePerimeter(PERIMETER);
  if (!perimeter.ok) throw new Error(perimeter.refusals.join());
  const walls = [
    createFirewall({ run, inputs: { pool: POOL, resolvers: [RESOLVER] } }),
    createUfw(perimeter.openings, run),
  ];
  return (await Promise.all(walls.map((wall) => wall.verify()))).flat();
}

async function removeRoutingRules(): Promise<void> {
  const rules = (await run("ip", "-4", "rule", "show")).matchAll(/^(\d+):.* proto 219/gm);
  for (const [, priority = ""] of rules) await run("ip", "-4", "rule", "del", "priority", priority);
}

interface Fault {
  name: string;
  inflict: () => Promise<unknown>;
  /** False: nothing of ours is touched, so nothing is to be repaired. */
  drifts: boolean;
}
const run = (file: string, ...args: string[]) => host.run(file, args);
const faults: Fault[] = [
  { name: "nothing (control)", drifts: false, inflict: async () => {} },
  { name: "iptables -F", drifts: true, inflict: () => run("iptables", "-F") },
  {
    name: "iptables -F, then -P FORWARD ACCEPT",
    drifts: true,
    inflict: async () => {
      await run("iptables", "-F");
      await run("iptables", "-P", "FORWARD", "ACCEPT");
    },
  },
  {
    name: "iptables -F and -X",
    drifts: true,
    inflict: async () => {
      await run("iptables", "-F");
      await run("iptables", "-X");
    },
  },
  { name: "ip6tables -F", drifts: true, inflict: () => run("ip6tables", "-F") },
  { name: "iptables -t raw -F", drifts: true, inflict: () => run("iptables", "-t", "raw", "-F") },
  { name: "iptables -t nat -F", drifts: true, inflict: () => run("iptables", "-t", "nat", "-F") },
  {
    name: "an accepting rule before ours",
    drifts: true,
    inflict: () => run("iptables", "-I", "DOCKER-USER", "-j", "ACCEPT"),
  },
  {
    name: "routing rules deleted",
    drifts: true,
    inflict: () => removeRoutingRules(),
  },
  { name: "ufw reload", drifts: false, inflict: () => run("ufw", "reload") },
  { name: "ufw disable", drifts: true, inflict: () => run("ufw", "disable") },
  {
    name: "sysctl bridge-nf-call-iptables=0",
    drifts: false,
    inflict: () => run("sysctl", "-w", "-e", "net.bridge.bridge-nf-call-iptables=0"),
  },
  {
    name: "dockerd restarted",
    drifts: false,
    inflict: async () => {
      await host.stopDocker();
      await host.startDocker();
    },
  },
  {
    name: "dockerd killed and started",
    drifts: false,
    inflict: async () => {
      await host.stopDocker("SIGKILL");
      await host.startDocker();
    },
  },
  {
    name: "kill -9 of the guard, iptables -F, guard started again",
    drifts: false,
    inflict: async () => {
      guardian?.kill("SIGKILL");
      await run("iptables", "-F");
      await new Promise((resolve) => setTimeout(resolve, 500));
      await startGuardian();
    },
  },
];

test.each(faults)(
  "nothing leaks under: $name",
  async ({ name, inflict, drifts: expected }) => {
    const before = { drifts: drifts.length, arrivals: await arrivals(), ...(await probes()) };
    await inflict();
    const inflictedAt = performance.now();
    if (expected) await vi.waitUntil(() => drifts.length > before.drifts, { timeout: 20_000, interval: 10 });
    const repairedAfterMs = expected ? Math.round(performance.now() - inflictedAt) : null;
    // Long enough for the prober to have found any opening that is left.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // By name, so that a wall that stays down says why.
    await vi.waitFor(async () => expect(await differences()).toEqual([]), { timeout: 30_000, interval: 200 });
    const { reached } = await probes();
    await vi.waitUntil(async () => (await probes()).reached > reached, { timeout: 10_000, interval: 100 });
    const after = await probes();
    const leaked = since(before.arrivals, await arrivals());
    rows.push({ fault: name, probes: after.sent - before.sent, leaked: JSON.stringify(leaked), repairedAfterMs });
    expect(leaked).toEqual({});
    expect(after.sent - before.sent).toBeGreaterThan(50);
  },
  120_000,
);

test("the prober is no dummy: with guard and locks gone, it gets through", async () => {
  guardian?.kill("SIGKILL");
  const before = await arrivals();
  for (const tool of ["iptables", "ip6tables"]) {
    await run(tool, "-P", "INPUT", "ACCEPT");
    await run(tool, "-P", "FORWARD", "ACCEPT");
    for (const table of ["filter", "raw", "mangle"]) await run(tool, "-t", table, "-F");
  }
  await removeRoutingRules();
  await vi.waitUntil(async () => Object.keys(since(before, await arrivals())).length === 4, { timeout: 10_000 });
  await startGuardian();
  expect(await differences()).toEqual([]);
});

test("nothing leaks when another tenant's bridge is deleted, and its return does not open it", async () => {
  const before = { arrivals: await arrivals(), ...(await probes()) };
  await run("ip", "link", "delete", "chl1");
  await new Promise((resolve) => setTimeout(resolve, 500));
  await run("ip", "link", "add", "chl1", "type", "bridge");
  await run("ip", "address", "add", "10.213.0.17/28", "dev", "chl1");
  await run("ip", "link", "set", "chl1", "up");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const leaked = since(before.arrivals, await arrivals());
  rows.push({
    fault: "a bridge deleted and made again",
    probes: (await probes()).sent - before.sent,
    leaked: JSON.stringify(leaked),
    repairedAfterMs: null,
  });
  expect(leaked).toEqual({});
});
