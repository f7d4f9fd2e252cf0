import { type ChildProcess, spawn } from "node:child_process";
import { readlink } from "node:fs/promises";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Wall } from "../../host-agent/firewall/guard.ts";
import { createFirewall, hostRun, type Run } from "../../host-agent/firewall/index.ts";
import { parsePerimeter } from "../../host-agent/firewall/perimeter.ts";
import { createUfw } from "../../host-agent/firewall/ufw.ts";
import { ADDRESSES, createLab, type Lab, type Peer, POOL } from "./firewall-lab.ts";

/** Real UFW in a network and mount namespace of its own; this machine's configuration is seen by nobody in here. */
const ADMIN = "203.0.113.9";
let lab: Lab;
let keeper: ChildProcess;
let run: Run;
let ufw: Wall;
const peers: Peer[] = [];

beforeAll(async () => {
  lab = await createLab("ufw");
  keeper = spawn("nsenter", [
    `--net=/var/run/netns/${lab.namespace("host")}`,
    "unshare",
    "--mount",
    "sleep",
    "infinity",
  ]);
  // Not before it has left our mount namespace: the copies would be mounted over this machine's own files.
  await vi.waitUntil(async () => (await mountsOf(keeper.pid)) !== (await mountsOf("self")), { timeout: 10_000 });
  run = hostRun(["nsenter", "--target", String(keeper.pid), "--mount", "--net"]);
  expect(await mountsOf(keeper.pid)).not.toBe(await mountsOf("self"));
  await run("mount", ["--make-rprivate", "/"]);
  for (const directory of ["/etc/ufw", "/etc/default", "/var/lib/ufw"]) {
    const copy = `/tmp/chlfw-ufw-${process.pid}`;
    await run("cp", ["-a", directory, copy]);
    await run("mount", ["-t", "tmpfs", "chelar-test", directory]);
    await run("cp", ["-a", `${copy}/.`, directory]);
    await run("rm", ["-rf", copy]);
  }
  const parsed = parsePerimeter({ adminNetworks: [`${ADMIN}/32`, "2001:db8::/32"] });
  if (!parsed.ok) throw new Error(parsed.refusals.join());
  ufw = createUfw(parsed.openings, run);
  for (const port of [22, 80, 443, 2375, 8080, 9090]) await listen("tcp", port);
  for (const port of [443, 5353]) await listen("udp", port);
}, 60_000);
afterAll(async () => {
  for (const peer of peers) await peer.stop();
  keeper?.kill("SIGKILL");
  await lab?.destroy();
});

const mountsOf = (process: number | "self" | undefined) => readlink(`/proc/${process}/ns/mnt`);
const listen = (protocol: string, port: number) => lab.peers.host.ask("listen", { host: "0.0.0.0", port, protocol });

/** What a scan from outside finds open, from a stranger's address or the operator's. */
async function scan(localAddress: string): Promise<string[]> {
  const { internet } = lab.peers;
  const tcp = [22, 80, 443, 2375, 8080, 9090].map(async (port) => {
    const said = await internet.ask("tcp", { host: ADDRESSES.host, port, localAddress, timeoutMs: 400 });
    return said === "open" ? [`tcp/${port}`] : [];
  });
  const udp = [443, 5353].map(async (port) => {
    const said = await internet.ask("udp", { host: ADDRESSES.host, port, localAddress, timeoutMs: 400 });
    return said === "answered" ? [`udp/${port}`] : [];
  });
  return (await Promise.all([...tcp, ...udp])).flat();
}
const WEB = ["tcp/80", "tcp/443", "udp/443"];
const stranger = ADDRESSES.neighbour;

/** What takes chains away: their jumps, their rules, themselves. */
const without = (tool: string, prefix: string, steps: readonly string[]): string[][] =>
  steps.flatMap((step) =>
    ["INPUT", "OUTPUT", "FORWARD"].flatMap((from) => {
      const chain = `${prefix}-${step}-${from.toLowerCase()}`;
      return [
        ["-D", from, "-j", chain],
        ["-F", chain],
        ["-X", chain],
      ].map((args) => [tool, ...args]);
    }),
  );

test("before it stands, everything is open", async () => {
  expect(await scan(stranger)).toEqual([
    "tcp/22",
    ...WEB.slice(0, 2),
    "tcp/2375",
    "tcp/8080",
    "tcp/9090",
    "udp/443",
    "udp/5353",
  ]);
});

test("stands after one repair: the web for everybody, SSH for the operator, nothing else", async () => {
  expect(await ufw.repair()).toContain("ufw: not enabled");
  expect(await ufw.verify()).toEqual([]);
  expect(await scan(stranger)).toEqual(WEB);
  expect(await scan(ADMIN)).toEqual(["tcp/22", ...WEB]);
  expect(await ufw.repair()).toEqual([]);
});

test("stands beside the third wall, and neither takes the other for drift", async () => {
  const firewall = createFirewall({ run, inputs: { pool: POOL, resolvers: [ADDRESSES.resolver] } });
  await firewall.apply();
  expect(await ufw.verify()).toEqual([]);
  await run("ufw", ["reload"]);
  expect(await firewall.verify()).toEqual([]);
  expect(await ufw.verify()).toEqual([]);
  expect(await scan(stranger)).toEqual(WEB);
  // Refused by the other end: through both walls, and back.
  const { web: host } = ADDRESSES;
  expect(await lab.peers.tenant.ask("tcp", { host, port: 80, timeoutMs: 1_000 })).toBe("ECONNREFUSED");
});

test.each<[string, string[][], string]>([
  ["an opening that is not ours", [["ufw", "allow", "8080/tcp"]], "ufw: not ours: allow 8080/tcp"],
  [
    "a route that is not ours",
    [["ufw", "route", "allow", "in", "on", "eth0"]],
    "ufw: not ours: route allow in on eth0",
  ],
  ["a limited opening", [["ufw", "limit", "9090/tcp"]], "ufw: not ours: limit 9090/tcp"],
  ["a missing opening", [["ufw", "--force", "delete", "allow", "443/tcp"]], "ufw: missing: allow 443/tcp"],
  ["another default", [["ufw", "default", "allow", "incoming"]], "ufw: default incoming is ACCEPT, should be deny"],
  [
    "another default for routed packets",
    [["ufw", "default", "allow", "routed"]],
    "ufw: default routed is ACCEPT, should be deny",
  ],
  ["UFW switched off", [["ufw", "disable"]], "ufw: not enabled"],
  [
    "flushed tables",
    [
      ["iptables", "-F"],
      ["ip6tables", "-F"],
    ],
    "ufw ipv4 INPUT: no jump to ufw-before-input",
  ],
  [
    "chains that are gone",
    [
      ["iptables", "-F"],
      ["iptables", "-X"],
    ],
    "ufw ipv4 INPUT: no jump to ufw-before-input",
  ],
  [
    "half of its chains gone, on which it cannot start",
    [...without("iptables", "ufw", ["track", "after"]), ["ufw", "disable"]],
    "ufw ipv4 OUTPUT: no jump to ufw-track-output",
  ],
  [
    "the first of its chains gone, by which it tells whether to make them",
    without("ip6tables", "ufw6", ["before-logging"]),
    "ufw ipv6 INPUT: no jump to ufw6-before-logging-input",
  ],
  [
    "a rule inside UFW's own chain",
    [["iptables", "-I", "ufw-before-input", "1", "-p", "tcp", "--dport", "2375", "-j", "ACCEPT"]],
    "ufw ipv4 ufw-before-input: 14 rules, should be 13",
  ],
  ["an accepting policy", [["iptables", "-P", "INPUT", "ACCEPT"]], "ufw ipv4 INPUT: policy is ACCEPT, should be DROP"],
  [
    "a rule beside UFW",
    [["iptables", "-I", "INPUT", "1", "-p", "tcp", "--dport", "2375", "-j", "ACCEPT"]],
    "ufw ipv4 INPUT: accepts beside UFW: -p tcp -m tcp --dport 2375 -j ACCEPT",
  ],
])("notices and repairs %s", async (_name, commands, expected) => {
  for (const [file = "", ...args] of commands) await run(file, args);
  expect(await ufw.verify()).toContain(expected);
  await ufw.repair();
  expect(await ufw.verify()).toEqual([]);
  expect(await scan(stranger)).toEqual(WEB);
  expect(await scan(ADMIN)).toEqual(["tcp/22", ...WEB]);
});

test.each(["before.rules", "before6.rules"])(
  "begins anew where %s was cut off, on which it cannot start",
  async (file) => {
    // Without its last line, COMMIT.
    await run("truncate", ["--size=-8", `/etc/ufw/${file}`]);
    await run("sh", ["-c", "! ufw reload"]);
    expect(await ufw.verify()).toContain("ufw: not enabled");
    await expect(ufw.repair()).rejects.toThrow("problem running ufw-init");
    await ufw.repair();
    expect(await ufw.verify()).toEqual([]);
    expect(await scan(stranger)).toEqual(WEB);
    expect(await scan(ADMIN)).toEqual(["tcp/22", ...WEB]);
    // What was cut is kept aside.
    expect(await run("sh", ["-c", `ls /etc/ufw/${file}.2*`])).toContain(`/etc/ufw/${file}.2`);
  },
);

test("leaves this machine's own UFW as it was", async () => {
  expect(await hostRun()("ufw", ["status"])).toContain("inactive");
});
