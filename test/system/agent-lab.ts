import { type ChildProcess, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { ObservedState, TenantApply } from "../../schema/protocol/index.ts";
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
}

export interface AgentLab {
  host: TestHost;
  edge: EdgeStandIn;
  socketPath: string;
  /** Starts the agent and waits until it answers. */
  start(): Promise<void>;
  /** Starts an agent that ends by SIGKILL after its n-th commit; `dead` tells whether it has. */
  startDying(commits: number): Promise<{ dead: () => boolean }>;
  kill(signal: "SIGKILL" | "SIGTERM"): Promise<{ code: number | null; signal: string | null }>;
  census(tenantId: string): Promise<Census>;
  /** The last state that the edge has heard of a tenant. */
  lastState(tenantId: string): { state: ObservedState; generation: number } | null;
  log(): string;
  destroy(): Promise<void>;
}

/** A real server with the real agent, enrolled with a stand-in of the edge. */
export async function createAgentLab(): Promise<AgentLab> {
  const host = await createTestHost({ images: ["echo"] });
  const edge = await startEdgeStandIn(internet.address);
  const [stateDir, runDir, configFile] = [`${host.dir}/agent`, `${host.dir}/run`, `${host.dir}/agent.json`];
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const config = {
    ...{ stateDir, runDir, edgeUrl: edge.url, dockerSocket: host.dockerSocket, pool: POOL },
    ...{ resolvers: ["9.9.9.9"], name: "lab", region: "local", endpoint: `http://${host.address}` },
  };
  writeFileSync(configFile, JSON.stringify(config));
  await host.run(process.execPath, [MAIN, "enrol", "--config", configFile, "--token", edge.token]);

  const socketPath = `${runDir}/agent.sock`;
  let agent: ChildProcess | null = null;
  let lines = "";
  const isDead = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

  async function launch(args: string[]): Promise<ChildProcess> {
    const child = host.spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      lines += text;
    });
    agent = child;
    while (!isDead(child) && !(await answers(socketPath))) await sleep(20);
    return child;
  }

  return {
    host,
    edge,
    socketPath,
    async start() {
      if (isDead(await launch([MAIN, "serve", "--config", configFile]))) throw new Error(`the agent ended:\n${lines}`);
    },
    async startDying(commits) {
      const child = await launch([DYING, configFile, String(commits)]);
      return { dead: () => isDead(child) };
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
    async census(tenantId) {
      const docker = async (...args: string[]) =>
        (await host.run("docker", ["-H", `unix://${host.dockerSocket}`, ...args])).split("\n").filter(Boolean);
      const label = ["--filter", `label=dev.chelar.tenant=${tenantId}`, "-q"];
      const places = ["volumes", "mounts", "config"].map((kind) => `${stateDir}/${kind}`);
      return {
        containers: (await docker("ps", "-a", ...label)).length,
        running: (await docker("ps", ...label)).length,
        networks: (await docker("network", "ls", "--format", "{{.Name}}")).filter((name) => name.startsWith("chl"))
          .length,
        mounts: readFileSync("/proc/self/mountinfo", "utf8").split(`${stateDir}/mounts/${tenantId} `).length - 1,
        directories: places.filter((place) => existsSync(place) && readdirSync(place).includes(tenantId)).length,
      };
    },
    lastState(tenantId) {
      const states = edge.reports.flatMap((one) =>
        one.type === "tenant.state" && one.tenantId === tenantId ? [one] : [],
      );
      const last = states.at(-1);
      return last ? { state: last.state, generation: last.generation } : null;
    },
    log: () => lines,
    async destroy() {
      agent?.kill("SIGKILL");
      await edge.close();
      try {
        execFileSync("umount", [`${runDir}/env`], { stdio: "ignore" });
      } catch {}
      await host.destroy();
    },
  };
}

export const gone: Census = { containers: 0, running: 0, networks: 0, mounts: 0, directories: 0 };
export const whole: Census = { containers: 1, running: 1, networks: 1, mounts: 1, directories: 3 };

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
