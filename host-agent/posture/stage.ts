import type { ControlPlane } from "../../schema/protocol/index.ts";
import type { Docker } from "../containers/index.ts";
import type { StorageSettings } from "../storage/index.ts";
import { allAttacks, attacksFromWithin } from "./attacks/index.ts";
import { type Canary, createCanary, type Weaken } from "./canary.ts";
import {
  CANARY_LIMITS,
  canaryLayouts,
  DECOY,
  type Ground,
  type Managed,
  MODPROBE_DIRECTORIES,
  WORLD,
} from "./ground.ts";
import type { Attack, Receiver, Row, Unmanaged } from "./rules.ts";
import { postureTools, type Receiving, type Tools } from "./tools.ts";
import { type Crew, type Progress, runAttacks, targetsAt } from "./trial.ts";
import { createWorld, type World } from "./world.ts";

export interface PostureOptions {
  docker: Docker;
  hostId: string;
  pool: string;
  resolvers: readonly string[];
  uidBase: number;
  stateDir: string;
  /** How volumes are made here; the canaries' are made the same way. */
  storage?: StorageSettings;
  runDir: string;
  managed: Managed;
  /** The edge's own addresses, as it has named them. */
  controlPlane: ControlPlane | null;
  /** Prefix of every program on the host, e.g. nsenter into a test host's namespace. */
  enter?: readonly string[];
  busyboxPath?: string;
  /** Which pair of canaries: several may stand side by side. */
  seat?: number;
  /** For tests: where modprobe would look. */
  modprobeDirectories?: readonly string[];
  /** For tests: the attacking canary's plan with one defence less. */
  weaken?: Weaken;
  /** For tests of the fourth wall: no neighbour, no world, no network rows. */
  withoutNetwork?: boolean;
}

/** The stage on which attacks run; made once, used for one or many runs, always removed. */
export interface Stage {
  ground: Ground;
  attacks: readonly (Attack | Unmanaged)[];
  run(attacks: readonly (Attack | Unmanaged)[], onProgress?: Progress): Promise<Row[]>;
  attacker: Canary;
  remove(): Promise<void>;
}

export async function createStage(options: PostureOptions): Promise<Stage> {
  const tools = postureTools(options.enter);
  const layouts = canaryLayouts({ ...options, seat: options.seat ?? 0 });
  const removals: (() => Promise<void>)[] = [];
  const remove = async () => {
    const failures: unknown[] = [];
    for (const removal of removals.splice(0).reverse()) await removal().catch((error) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  };
  try {
    const canaryOptions = { ...options, tools };
    const attacker = await createCanary(layouts.attacker, canaryOptions);
    removals.push(attacker.remove);
    const ground = await readGround(options, tools, attacker, layouts.neighbour);
    if (options.withoutNetwork) {
      const crew = createCrew({ tools, attacker, world: null });
      const attacks = attacksFromWithin(ground);
      return {
        ground,
        attacks,
        attacker,
        run: (rows, progress) =>
          runAttacks({ crew, receivers: new Map(), neighbour: layouts.neighbour }, rows, progress),
        remove,
      };
    }
    const neighbour = await createCanary(layouts.neighbour, { ...canaryOptions, weaken: undefined });
    removals.push(neighbour.remove);
    const attacks = allAttacks(ground);
    const targets = targetsAt(attacks, "world").map((key) => key.split(" ")[1] as string);
    const world = await createWorld(tools, layouts.attacker, layouts.neighbour, [...new Set(targets)], options.pool);
    removals.push(world.remove);
    const next = await tools.receive(neighbour.enterNetwork, ["packets"]);
    removals.push(next.stop);
    const host = await tools.receive([], listenersFor(attacks));
    removals.push(host.stop);
    await giveIpv6(tools, attacker, ground);
    const receivers = new Map<Receiver, Receiving>([
      ["world", world.receiving],
      ["neighbour", next],
      ["host", host],
    ]);
    const crew = createCrew({ tools, attacker, world });
    return {
      ground,
      attacks,
      attacker,
      run: (rows, progress) => runAttacks({ crew, receivers, neighbour: layouts.neighbour }, rows, progress),
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Decoys of the host; SSH's own port may be taken by the real one, which is as good a target. */
const listenersFor = (attacks: readonly (Attack | Unmanaged)[]): string[] =>
  [...targetsAt(attacks, "host"), `udp 127.0.0.1 ${DECOY.marker}`].map((key) => key.replaceAll(" ", "\t"));

async function readGround(
  { docker, pool, resolvers, managed, controlPlane, modprobeDirectories = MODPROBE_DIRECTORIES }: PostureOptions,
  { run }: Tools,
  attacker: Canary,
  neighbour: Ground["neighbour"],
): Promise<Ground> {
  const { layout } = attacker;
  const [{ CgroupVersion }, links, sockets, ...namespaces] = await Promise.all([
    docker.info(),
    run("ip", ["-json", "address", "show", "dev", layout.network]),
    run("cat", ["/proc/net/tcp"]),
    ...["pid", "net", "mnt", "ipc", "uts", "cgroup"].map((name) => run("readlink", [`/proc/self/ns/${name}`])),
  ]);
  const [link] = JSON.parse(links) as {
    address: string;
    addr_info: { family: string; scope: string; local: string }[];
  }[];
  return {
    attacker: layout,
    neighbour,
    limits: CANARY_LIMITS,
    pool,
    resolver: resolvers[0] ?? "",
    cgroupVersion: CgroupVersion === "2" ? "2" : "1",
    arch: process.arch === "arm64" ? "arm64" : "x64",
    bridgeMac: link?.address ?? "",
    bridgeAddress6: link?.addr_info.find(({ family, scope }) => family === "inet6" && scope === "link")?.local ?? null,
    hostNamespaces: namespaces.map((name) => name.trim()).join(" "),
    hostPorts: listeningPorts(sockets),
    managed,
    controlPlane,
    modprobeDirectories,
  };
}

/** Ports in state LISTEN on an address that packets from a bridge could name; loopback has a row of its own. */
function listeningPorts(procNetTcp: string): number[] {
  const rows = procNetTcp.split("\n").map((line) => line.trim().split(/\s+/));
  const ports = rows.flatMap(([, local = "", , state]) =>
    state === "0A" && !local.startsWith("0100007F") ? [Number.parseInt(local.split(":")[1] ?? "", 16)] : [],
  );
  return [...new Set(ports)].slice(0, 200);
}

/** As root of the canary's network namespace: IPv6 as an attacker would make it who broke the fourth wall. */
async function giveIpv6({ run }: Tools, { enterNetwork }: Canary, { bridgeAddress6 }: Ground): Promise<void> {
  if (bridgeAddress6 === null) return;
  const inside = (file: string, ...args: string[]) => run("nsenter", [...enterNetwork.slice(1), file, ...args]);
  for (const scope of ["all", "default", "eth0"]) {
    await inside("sysctl", "-q", "-w", `net.ipv6.conf.${scope}.disable_ipv6=0`, `net.ipv6.conf.${scope}.accept_dad=0`);
  }
  await inside("ip", "-6", "address", "replace", "fe80::c4e1/64", "dev", "eth0", "nodad");
  await inside("ip", "-6", "address", "replace", `${WORLD.attackerNetwork6}2/64`, "dev", "eth0", "nodad");
  await inside("ip", "-6", "route", "replace", "default", "via", bridgeAddress6, "dev", "eth0");
}

function createCrew({ tools, attacker, world }: { tools: Tools; attacker: Canary; world: World | null }): Crew {
  const { uid } = attacker.layout;
  const escaped = [
    "setpriv",
    `--reuid=${uid}`,
    `--regid=${uid}`,
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--no-new-privs",
  ];
  return async (from, attempts) => {
    switch (from) {
      case "inside":
        return attacker.attempt(attempts);
      case "namespace":
        return tools.attempt(attacker.enterNetwork, attempts);
      case "escaped":
        return tools.attempt(escaped, attempts);
      case "host":
        return tools.attempt([], attempts);
      case "outside":
        if (!world) throw new Error("there is no world to attack from");
        return tools.attempt(world.enter, attempts);
    }
  };
}
