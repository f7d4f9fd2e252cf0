import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { hostRun, type Run } from "../../host-agent/firewall/index.ts";
import { readTable } from "../../host-agent/firewall/iptables.ts";

/**
 * A server in a network namespace, without Docker: two tenants behind bridges chl0 and chl1, an "internet" that is also
 * the host's neighbour on its wire. The machine's own network and firewall are never touched.
 */
export const POOL = "10.213.0.0/16";
export const ADDRESSES = {
  host: "198.51.100.2",
  neighbour: "198.51.100.1",
  tenant: "10.213.0.2",
  tenantGateway: "10.213.0.1",
  other: "10.213.0.18",
  otherGateway: "10.213.0.17",
  resolver: "9.9.9.9",
  otherResolver: "8.8.8.8",
  web: "93.184.216.34",
  metadata: "169.254.169.254",
  alibaba: "100.100.100.200",
  wireServer: "168.63.129.16",
  privates: ["10.99.0.1", "172.16.5.5", "192.168.7.7", "100.64.0.9", "198.18.0.3", "203.0.113.9"],
  controlPlane: "151.101.1.9",
} as const;

export type Place = "internet" | "host" | "tenant" | "other";

export class Peer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;
  /** `namespace` by name, or as the path of a process's network namespace. */
  constructor(namespace: string) {
    const path = namespace.startsWith("/") ? namespace : `/var/run/netns/${namespace}`;
    const script = new URL("./firewall-peer.mjs", import.meta.url).pathname;
    this.#child = spawn("nsenter", [`--net=${path}`, process.execPath, script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const { id, answer, error } = JSON.parse(line) as { id: number; answer: unknown; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error));
      else waiting?.resolve(answer);
    });
  }
  ask<T = string>(operation: string, rest: Record<string, unknown> = {}): Promise<T> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, operation, ...rest })}\n`);
    });
  }
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.kill("SIGKILL");
    });
  }
}

export interface Lab {
  /** Runs programs on the lab's host. */
  run: Run;
  peers: Record<Place, Peer>;
  namespace(place: Place): string;
  inside(place: Place): Run;
  /** Deletes the rules of that id from the kernel; the mutation that a guard must be seen failing under. */
  removeRule(family: "ipv4" | "ipv6", table: "raw" | "filter" | "nat", chain: string, id: string): Promise<number>;
  destroy(): Promise<void>;
}

export async function createLab(tag: string): Promise<Lab> {
  const namespace = (place: Place) => `chlfw-${tag}-${process.pid}-${place}`;
  const places: Place[] = ["internet", "host", "tenant", "other"];
  const here = hostRun();
  const inside = (place: Place) => hostRun(["nsenter", `--net=/var/run/netns/${namespace(place)}`]);
  const peers = {} as Record<Place, Peer>;
  const destroy = async () => {
    await Promise.all(Object.values(peers).map((peer) => peer.stop()));
    for (const place of places) await here("ip", ["netns", "del", namespace(place)]).catch(() => {});
  };
  try {
    for (const place of places) {
      await here("ip", ["netns", "add", namespace(place)]);
      await inside(place)("ip", ["link", "set", "lo", "up"]);
    }
    await connect(inside("host"), "eth0", namespace("internet"), "eth0");
    await inside("host")("ip", ["address", "add", `${ADDRESSES.host}/24`, "dev", "eth0"]);
    await inside("internet")("ip", ["address", "add", `${ADDRESSES.neighbour}/24`, "dev", "eth0"]);
    await inside("host")("ip", ["route", "add", "default", "via", ADDRESSES.neighbour]);
    const everywhere = [
      ...[ADDRESSES.resolver, ADDRESSES.otherResolver, ADDRESSES.web, ADDRESSES.metadata, ADDRESSES.alibaba],
      ...[ADDRESSES.wireServer, ADDRESSES.controlPlane, ...ADDRESSES.privates],
    ];
    for (const address of everywhere) await inside("internet")("ip", ["address", "add", `${address}/32`, "dev", "lo"]);
    for (const [place, slot] of [
      ["tenant", 0],
      ["other", 1],
    ] as const)
      await tenantBehind(place, slot);
    // The worst host there could be: it forwards everything, and nothing but our rules stands.
    await inside("host")("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
    await inside("host")("sysctl", ["-q", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"]);
    await inside("host")("sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=1"]);
    for (const place of places) peers[place] = new Peer(namespace(place));
  } catch (error) {
    await destroy();
    throw error;
  }

  async function tenantBehind(place: "tenant" | "other", slot: number) {
    const [bridge, port] = [`chl${slot}`, `veth${slot}`];
    await inside("host")("ip", ["link", "add", bridge, "type", "bridge"]);
    await connect(inside("host"), port, namespace(place), "eth0");
    await inside("host")("ip", ["link", "set", port, "master", bridge]);
    await inside("host")("ip", ["link", "set", bridge, "up"]);
    await inside("host")("sysctl", ["-q", "-w", `net.ipv4.conf.${bridge}.rp_filter=0`]);
    const [gateway, address] = [`10.213.0.${slot * 16 + 1}`, `10.213.0.${slot * 16 + 2}`];
    await inside("host")("ip", ["address", "add", `${gateway}/28`, "dev", bridge]);
    await inside("host")("ip", ["-6", "address", "add", "fe80::1/64", "dev", bridge, "nodad"]);
    await inside("host")("ip", ["-6", "address", "add", `fd00:${slot}::1/64`, "dev", bridge, "nodad"]);
    await inside(place)("ip", ["address", "add", `${address}/28`, "dev", "eth0"]);
    await inside(place)("ip", ["-6", "address", "add", `fd00:${slot}::2/64`, "dev", "eth0", "nodad"]);
    await inside(place)("ip", ["route", "add", "default", "via", gateway]);
    await inside(place)("ip", ["-6", "route", "add", "default", "via", `fd00:${slot}::1`]);
  }

  return {
    run: inside("host"),
    peers,
    namespace,
    inside,
    removeRule: (family, table, chain, id) => removeRule(inside("host"), { family, table }, chain, id),
    destroy,
  };
}

async function connect(run: Run, name: string, otherNamespace: string, otherName: string): Promise<void> {
  await run("ip", [
    "link",
    "add",
    name,
    "type",
    "veth",
    "peer",
    "name",
    otherName,
    "netns",
    `/var/run/netns/${otherNamespace}`,
  ]);
  await run("ip", ["link", "set", name, "up"]);
  const other = hostRun(["nsenter", `--net=/var/run/netns/${otherNamespace}`]);
  await other("ip", ["link", "set", otherName, "up"]);
}

async function removeRule(
  run: Run,
  from: { family: "ipv4" | "ipv6"; table: "raw" | "filter" | "nat" },
  chain: string,
  id: string,
): Promise<number> {
  const rules = (await readTable(run, from)).get(chain) ?? [];
  const found = rules.flatMap((rule, index) => (rule.includes(`"chelar:${id}"`) ? [index + 1] : []));
  const tool = from.family === "ipv4" ? "iptables" : "ip6tables";
  // From the end: every deletion moves what follows.
  for (const position of found.reverse()) await run(tool, ["-w", "-t", from.table, "-D", chain, String(position)]);
  return found.length;
}
