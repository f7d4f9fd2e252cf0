import { type ChildProcess, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { NODE_FLAGS } from "../../host-agent/node-flags.ts";
import type { ObservedState, RuntimeName, TenantApply } from "../../schema/protocol/index.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { createTestHost, internet, type TestHost } from "../hosts/index.ts";
import { type EdgeStandIn, startEdgeStandIn } from "../stand-ins/edge.ts";

const MAIN = fileURLToPath(new URL("../../host-agent/main.ts", import.meta.url));
const DYING = fileURLToPath(new URL("./dying-agent.ts", import.meta.url));
const POOL = "10.213.0.0/16";

/** What of one tenant is on the host, asked of Docker and the kernel and not of the agent. */
export interface Census {
  containers: number;
  running: number;
  networks: number;
  mounts: number;
  directories: number;
  /** Different ones of the container's process and of the owner of the data. */
  uids: number;
}

export interface AgentLabOptions {
  /** What its engine has before it is asked; the test agent's where nothing is said. */
  images?: readonly RuntimeName[];
  dockerArgs?: readonly string[];
  /** Size of a file system of its own for the agent's state, so that it can be filled. */
  stateMiB?: number;
}

/** Where else the agent can be started than on a sound machine. */
export interface StartOptions {
  /** Its clock runs this far ahead of everybody's. */
  clockAheadMs?: number;
  /** It can be told when to die. */
  mortal?: boolean;
}

export interface AgentLab {
  host: TestHost;
  edge: EdgeStandIn;
  socketPath: string;
  stateDir: string;
  /** Starts the agent and waits until it answers. Rejects with its log when it ends instead. */
  start(options?: StartOptions): Promise<void>;
  /** Ends the running, mortal agent by SIGKILL after its n-th commit from now; null: lets it live. */
  arm(commits: number | null): Promise<void>;
  isDead(): boolean;
  /** Of the running agent. */
  pid(): number;
  /** Of the running agent since its birth: with the programs that it has started and seen end, or itself alone. */
  cpuSeconds(of?: "all" | "itself"): number;
  /** Enrols this host once more: a new epoch. No agent may run. */
  enrol(): Promise<void>;
  kill(signal: "SIGKILL" | "SIGTERM"): Promise<{ code: number | null; signal: string | null }>;
  /** `others`: how many other tenants have a network there, which does not say whose it is. */
  census(tenantId: string, others?: number): Promise<Census>;
  /** The same of everything of this host, whoever's it is. */
  wholeCensus(): Promise<Census>;
  /** The last state that the edge has heard of a tenant. */
  lastState(tenantId: string): { state: ObservedState; generation: number } | null;
  has(tenantId: string, state: ObservedState, generation: number): boolean;
  log(): string;
  destroy(): Promise<void>;
}

/** A real server with the real agent, enrolled with a stand-in of the edge. */
export async function createAgentLab({
  stateMiB,
  images = ["echo"],
  dockerArgs,
}: AgentLabOptions = {}): Promise<AgentLab> {
  const host = await createTestHost({ images, dockerArgs });
  const edge = await startEdgeStandIn(internet.address);
  const [stateDir, runDir, configFile] = [`${host.dir}/agent`, `${host.dir}/run`, `${host.dir}/agent.json`];
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  if (stateMiB) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${stateMiB}m,mode=0700`, "tmpfs", stateDir]);
  const config = {
    ...{ stateDir, runDir, edgeUrl: edge.url, dockerSocket: host.dockerSocket, pool: POOL },
    // Networks are counted, and a spare one does not say that it is nobody's.
    ...{
      imageCacheDir: IMAGE_CACHE,
      spareNetworks: 0,
      resolvers: ["9.9.9.9"],
      name: "lab",
      region: "local",
      endpoint: `http://${host.address}`,
    },
  };
  writeFileSync(configFile, JSON.stringify(config));
  const enrol = async () => {
    await host.run(process.execPath, [MAIN, "enrol", "--config", configFile, "--token", edge.token]);
  };
  await enrol();

  const socketPath = `${runDir}/agent.sock`;
  let agent: ChildProcess | null = null;
  let lines = "";
  const isDead = (child: ChildProcess | null) => !child || child.exitCode !== null || child.signalCode !== null;

  function lastState(tenantId: string) {
    const states = edge.reports.flatMap((one) =>
      one.type === "tenant.state" && one.tenantId === tenantId ? [one] : [],
    );
    const last = states.at(-1);
    return last ? { state: last.state, generation: last.generation } : null;
  }

  return {
    host,
    edge,
    socketPath,
    stateDir,
    enrol,
    async start({ clockAheadMs, mortal = false } = {}) {
      const clock = clockAheadMs === undefined ? [] : ["--import", clockShim(clockAheadMs)];
      const program = mortal ? [DYING, configFile] : [MAIN, "serve", "--config", configFile];
      const child = host.spawn(process.execPath, [...NODE_FLAGS, ...clock, ...program], {
        stdio: ["ignore", "ignore", "pipe", ...(mortal ? ["ipc" as const] : [])],
      });
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        lines += text;
      });
      agent = child;
      while (!isDead(child) && !(await answers(socketPath))) await sleep(20);
      if (isDead(child)) throw new Error(`the agent ended:\n${lines.slice(-2_000)}`);
    },
    async arm(commits) {
      const child = agent;
      if (!child || isDead(child)) throw new Error("no agent runs");
      const armed = new Promise((resolve) => child.once("message", resolve));
      child.send(commits as never);
      await armed;
    },
    isDead: () => isDead(agent),
    pid: () => agent?.pid ?? 0,
    cpuSeconds(of = "all") {
      // proc(5): after the name in brackets, fields 14 to 17 in ticks of 10 ms (USER_HZ, fixed for user space).
      const stat = readFileSync(`/proc/${agent?.pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields.slice(11, of === "all" ? 15 : 13).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
    },
    async kill(signal) {
      const child = agent;
      if (!child) throw new Error("no agent was started");
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      if (!isDead(child)) {
        child.kill(signal);
        await ended;
      }
      return { code: child.exitCode, signal: child.signalCode };
    },
    census: (tenantId, others) => takeCensus({ host, stateDir, tenantId, others }),
    wholeCensus: () => takeCensus({ host, stateDir }),
    lastState,
    has(tenantId, state, generation) {
      const last = lastState(tenantId);
      return last?.state === state && last.generation === generation;
    },
    log: () => lines,
    async destroy() {
      agent?.kill("SIGKILL");
      await edge.close();
      await host.destroy();
    },
  };
}

/** Of one tenant, or of everything that a host agent has made there. */
export async function takeCensus({
  host,
  stateDir,
  tenantId,
  others = 0,
}: {
  host: TestHost;
  stateDir: string;
  tenantId?: string;
  others?: number;
}): Promise<Census> {
  const label = tenantId ? `dev.chelar.tenant=${tenantId}` : "dev.chelar.host";
  const isMeant = (name: string) => tenantId === undefined || name === tenantId;
  const filters = JSON.stringify({ label: [label] });
  const [containers, networks] = await Promise.all([
    askEngine<{ Id: string; State: string }[]>(host, `/containers/json?all=1&filters=${encodeURIComponent(filters)}`),
    askEngine<{ Name: string }[]>(host, "/networks"),
  ]);
  const inspected = containers.map(({ Id }) => askEngine<{ Config: { User: string } }>(host, `/containers/${Id}/json`));
  const users = (await Promise.all(inspected)).map(({ Config }) => Config.User);
  const places = ["volumes", "mounts", "config"].map((kind) => `${stateDir}/${kind}`);
  const directories = places.flatMap((place) => (existsSync(place) ? readdirSync(place).filter(isMeant) : []));
  const data = directories.map((name) => `${stateDir}/volumes/${name}/live`).filter((path) => existsSync(path));
  const owners = data.map((path) => `${statSync(path).uid}:${statSync(path).gid}`);
  const mounted = tenantId ? `${stateDir}/mounts/${tenantId} ` : `${stateDir}/mounts/`;
  return {
    containers: containers.length,
    running: containers.filter(({ State }) => State === "running").length,
    networks: networks.filter(({ Name }) => Name.startsWith("chl")).length - others,
    mounts: readFileSync("/proc/self/mountinfo", "utf8").split(mounted).length - 1,
    directories: directories.length,
    uids: new Set([...users, ...owners]).size,
  };
}

/** Of the engine itself, past our own driver: the census must not share its faults. */
function askEngine<T>({ dockerSocket }: TestHost, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: dockerSocket, path, headers: { host: "docker" } }, async (response) => {
      const text = (await response.toArray()).join("");
      if (response.statusCode === 200) resolve(JSON.parse(text));
      else reject(new Error(`${path}: ${response.statusCode} ${text}`));
    });
    call.once("error", reject);
    call.end();
  });
}

/** Every way to ask what time it is, shifted: of this process only, since a network namespace has no clock of its own. */
function clockShim(aheadMs: number): string {
  const source = `const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...args) { super(...(args.length === 0 ? [Real.now() + ${aheadMs}] : args)); }
      static now() { return Real.now() + ${aheadMs}; }
    };`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

export const gone: Census = { containers: 0, running: 0, networks: 0, mounts: 0, directories: 0, uids: 0 };
export const whole: Census = { containers: 1, running: 1, networks: 1, mounts: 1, directories: 3, uids: 1 };

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: "/", timeout: 2_000 }, (response) => {
      response.resume();
      resolve(true);
    });
    call.once("error", () => resolve(false));
    call.once("timeout", () => call.destroy());
    call.end();
  });
}

export function applyCommand(tenantId: string, change: Partial<TenantApply> = {}): TenantApply {
  const slug = `lab-${tenantId.slice(4, 12)}`;
  return {
    type: "tenant.apply",
    tenant: {
      ...{ id: tenantId, slug, hostname: `${slug}.agents.test`, origin: `https://${slug}.agents.test` },
      ...{ ownerId: "usr_owner", runtime: "echo" },
      limits: {
        ...{ memoryMiB: 128, cpuMillis: 1_000, pids: 32, diskMiB: 64 },
        ...{ tmpMiB: 16, shmMiB: 16, requestsPerMinute: 600 },
      },
    },
    generation: 1,
    desired: "running",
    restarts: 0,
    secretsJwe: null,
    ...change,
  };
}
