import type { Docker } from "../containers/index.ts";
import { type Canary, createCanary, removeCanary, type Weaken } from "./canary.ts";
import { type Gate, versionGates } from "./gates.ts";
import { CANARY_LIMITS, canaryLayouts, DECOY, type Ground, WORLD } from "./ground.ts";
import { hardeningAttacks } from "./hardening.ts";
import { networkAttacks, probe } from "./network.ts";
import { perimeterAttacks } from "./perimeter.ts";
import {
  type Arrivals,
  type Attack,
  type Attempt,
  type Position,
  type Receiver,
  type Row,
  rowOf,
  type Seen,
  type Unmanaged,
  type Verdict,
  verdictOf,
} from "./rules.ts";
import { postureTools, type Receiving, type Tools } from "./tools.ts";
import { createWorld, removeSteering, type World } from "./world.ts";

export { createDoor, openDoor } from "./door.ts";
export type { Gate } from "./gates.ts";
export { tenantSlots } from "./ground.ts";
export { postureReport } from "./report.ts";
export type { Row, Verdict } from "./rules.ts";

export interface PostureOptions {
  docker: Docker;
  hostId: string;
  pool: string;
  resolvers: readonly string[];
  uidBase: number;
  stateDir: string;
  runDir: string;
  /** Walls that this host keeps itself; where one is not, its rows say so. */
  managed: { cloud: boolean; ufw: boolean };
  /** Prefix of every program on the host, e.g. nsenter into a test host's namespace. */
  enter?: readonly string[];
  busyboxPath?: string;
  /** Which pair of canaries: several may stand side by side. */
  seat?: number;
  /** For tests: the attacking canary's plan with one defence less. */
  weaken?: Weaken;
  /** For tests of the fourth wall: no neighbour, no world, no network rows. */
  withoutNetwork?: boolean;
}

export type Progress = (note: { fraction: number; detail: string }) => void;

/** What a run that died may have left: containers and networks by their names, volumes, routing rules. Safe at any time but during a run. */
export async function removeLeftovers(options: PostureOptions): Promise<void> {
  const tools = postureTools(options.enter);
  for (const layout of Object.values(canaryLayouts({ ...options, seat: options.seat ?? 0 }))) {
    await removeCanary(layout, options.docker);
  }
  await removeSteering(tools);
}

/** The stage on which attacks run; made once, used for one or many runs, always removed. */
export interface Stage {
  ground: Ground;
  attacks: readonly (Attack | Unmanaged)[];
  run(attacks: readonly (Attack | Unmanaged)[], onProgress?: Progress): Promise<Row[]>;
  attacker: Canary;
  remove(): Promise<void>;
}

export interface FullVerdict extends Verdict {
  gates: Gate[];
}

/** All attacks from where an attacker would stand. At most 60 s; leaves nothing behind. */
export async function runPosture(options: PostureOptions, onProgress: Progress = () => {}): Promise<FullVerdict> {
  onProgress({ fraction: 0, detail: "Setting up two canaries and a stand-in world" });
  const stage = await createStage(options);
  try {
    const verdict = verdictOf(await stage.run(stage.attacks, onProgress));
    return { ...verdict, gates: await readGates(options, verdict) };
  } finally {
    await stage.remove();
  }
}

async function readGates({ docker, enter }: PostureOptions, { attacks }: Verdict): Promise<Gate[]> {
  const { run } = postureTools(enter);
  const [engine, caddy] = await Promise.all([docker.version(), run("caddy", ["version"]).catch(() => null)]);
  return versionGates({
    docker: engine.Version,
    runc: engine.Components?.find(({ Name }) => Name === "runc")?.Version ?? null,
    caddy: caddy?.trim() ?? null,
    afAlg: attacks.find(({ id }) => id === "af-alg"),
  });
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
      const attacks = hardeningAttacks(ground);
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
    const attacks = [...perimeterAttacks(ground), ...networkAttacks(ground), ...hardeningAttacks(ground)];
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

const isAttack = (row: Attack | Unmanaged): row is Attack => "judge" in row;

function targetsAt(attacks: readonly (Attack | Unmanaged)[], at: Receiver): string[] {
  const keys = attacks.flatMap((row) => (isAttack(row) && row.target?.at === at ? [row.target.key] : []));
  return [...new Set([...keys, ...(at === "world" ? [ALLOWED.key] : [])])];
}

/** Decoys of the host; SSH's own port may be taken by the real one, which is as good a target. */
const listenersFor = (attacks: readonly (Attack | Unmanaged)[]): string[] =>
  [...targetsAt(attacks, "host"), `udp 127.0.0.1 ${DECOY.marker}`].map((key) => key.replaceAll(" ", "\t"));

/** What a tenant may do: if even this does not arrive, nothing that does not arrive is proven to be stopped. */
const ALLOWED = { key: `tcp ${WORLD.web} 443`, attempt: probe("tcp", WORLD.web, 443) };

async function readGround(
  { docker, pool, resolvers, managed }: PostureOptions,
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

type Crew = (from: Position, attempts: ReadonlyMap<string, Attempt>) => Promise<Map<string, Seen>>;

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

/** Sent behind everything else: who has seen it has seen what came before it, however busy the machine is. */
const MARKERS: Record<Receiver, (neighbour: Ground["neighbour"]) => string> = {
  world: () => WORLD.address,
  neighbour: ({ address }) => address,
  host: () => "127.0.0.1",
};
const MARKER_WITHIN_MS = 5_000;

async function settle({ crew, receivers, neighbour }: Scene): Promise<void> {
  const marks = [...receivers].map(([at, receiving]) => {
    const key = `udp ${MARKERS[at](neighbour)} ${DECOY.marker}`;
    return { at, receiving, key, had: receiving.arrived(key).length };
  });
  const markers = marks.map(({ at }): [string, Attempt] => [
    at,
    { operation: "udp", arguments: [MARKERS[at](neighbour), DECOY.marker, 0] },
  ]);
  await crew("host", new Map(markers));
  const deadline = performance.now() + MARKER_WITHIN_MS;
  while (marks.some(({ receiving, key, had }) => receiving.arrived(key).length === had)) {
    if (performance.now() > deadline) throw new Error("a receiver of the posture run has stopped to answer");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

interface Scene {
  crew: Crew;
  receivers: ReadonlyMap<Receiver, Receiving>;
  neighbour: Ground["neighbour"];
}

async function runAttacks(
  scene: Scene,
  rows: readonly (Attack | Unmanaged)[],
  onProgress: Progress = () => {},
): Promise<Row[]> {
  const { crew, receivers } = scene;
  const attacks = rows.filter(isAttack);
  const count = (attack: Attack): number => {
    if (!attack.target) return 0;
    const arrived = receivers.get(attack.target.at)?.arrived(attack.target.key) ?? [];
    // A connection that is tried again is still one.
    return attack.attempt.operation === "flood" ? new Set(arrived).size : arrived.length;
  };
  const counts = (of: readonly Attack[]) => new Map(of.map((attack) => [attack.id, count(attack)]));

  onProgress({ fraction: 0.15, detail: "Proving that every target can be reached from where it is allowed" });
  const before = counts(attacks);
  const controls = await everywhere(
    crew,
    attacks.flatMap(({ id, control }) => (control ? [{ id, ...control }] : [])),
  );
  const path = receivers.has("world") ? await allowedArrives(scene) : true;
  await settle(scene);
  const middle = counts(attacks);

  const judge = (attack: Attack, seen: Seen | undefined, had: number): Row => {
    const told = seen ?? { verdict: "broken" as const, detail: "the attacker's program said nothing of it" };
    const answered = controls.get(attack.id)?.verdict === "answered" ? 1 : 0;
    const control = Math.max((middle.get(attack.id) ?? 0) - (before.get(attack.id) ?? 0), answered);
    const arrivals: Arrivals = { attack: count(attack) - had, control: path ? control : 0 };
    return rowOf(attack, attack.judge(told, arrivals));
  };
  const done = new Map<string, Row>();
  const tell = () =>
    onProgress({ fraction: 0.2 + (0.8 * done.size) / rows.length, detail: `${done.size} of ${rows.length} attacks` });

  const together = attacks.filter(({ alone }) => !alone);
  tell();
  const seen = await everywhere(
    crew,
    together.map(({ id, from, attempt }) => ({ id, from, attempt })),
  );
  await settle(scene);
  for (const attack of together) done.set(attack.id, judge(attack, seen.get(attack.id), middle.get(attack.id) ?? 0));
  for (const attack of attacks.filter(({ alone }) => alone)) {
    tell();
    const had = count(attack);
    const only = await crew(attack.from, new Map([[attack.id, attack.attempt]]));
    if (attack.target) await settle(scene);
    done.set(attack.id, judge(attack, only.get(attack.id), had));
  }
  tell();
  return rows.map((row) =>
    isAttack(row) ? (done.get(row.id) as Row) : rowOf(row, { outcome: "not_managed", evidence: row.why }),
  );
}

async function allowedArrives(scene: Scene): Promise<boolean> {
  const { crew, receivers } = scene;
  const arrived = () => receivers.get("world")?.arrived(ALLOWED.key).length ?? 0;
  const had = arrived();
  await crew("inside", new Map([["allowed", ALLOWED.attempt]]));
  await settle(scene);
  return arrived() > had;
}

/** All positions at once; one that cannot be taken leaves its attempts unsaid. */
async function everywhere(
  crew: Crew,
  attempts: readonly { id: string; from: Position; attempt: Attempt }[],
): Promise<Map<string, Seen>> {
  const positions = [...new Set(attempts.map(({ from }) => from))];
  const seen = await Promise.all(
    positions.map(async (position) => {
      const own = new Map(attempts.filter(({ from }) => from === position).map(({ id, attempt }) => [id, attempt]));
      try {
        return await crew(position, own);
      } catch (error) {
        const detail = `${position}: ${error instanceof Error ? error.message.slice(-200) : error}`;
        return new Map([...own.keys()].map((id): [string, Seen] => [id, { verdict: "broken", detail }]));
      }
    }),
  );
  return new Map(seen.flatMap((part) => [...part]));
}
