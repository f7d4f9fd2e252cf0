import { execFile, type spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { totalmem } from "node:os";
import { parseEnv, promisify } from "node:util";
import { ingressVariants } from "../host-agent/ingress/rules.ts";
import { NODE_FLAGS } from "../host-agent/node-flags.ts";
import type { Edge } from "./edge.ts";
import { type Part, startPart, untilReady } from "./processes.ts";
import { ROOT } from "./worker.ts";

const run = promisify(execFile);

/** Where a host's parts run: this machine, or a test host in a network namespace. */
export interface Place {
  name: string;
  /** State of the host agent and data of Caddy. */
  dir: string;
  /** Sockets; short, since a unix socket's path ends at 107 characters. */
  runDir: string;
  dockerSocket: string;
  /** The edge as seen from the host. */
  edgeUrl: string;
  /** The host's ingress as seen from the edge. */
  endpoint: string;
  /** Caddy's site addresses. */
  tenantSite: string;
  hostSite: string;
  pool: string;
  resolvers: readonly string[];
  maxTenants?: number;
  /** More of the agent's configuration, e.g. `{ prebuild: ["openclaw"] }`. */
  agent?: Readonly<Record<string, unknown>>;
  /** Environment of the agent, for faults. */
  env?: Record<string, string>;
  spawner?: typeof spawn;
  onLine?: (part: string, line: string) => void;
}

export interface Host {
  place: Place;
  hostId: string;
  agent: Part;
  caddy: Part;
  failed: Promise<string>;
  /** kill -9 and start again: what the fault tests do. */
  killAgent(): Promise<void>;
  startAgent(): Promise<void>;
  /** Ends agent and Caddy; with `tenants`, stops this host's containers too. */
  stop(options: { tenants: boolean }): Promise<void>;
}

const AGENT = `${ROOT}/host-agent/main.ts`;

/** Enrols where needed, then runs the host agent and Caddy. */
export async function startHost(edge: Pick<Edge, "dashboard" | "operatorToken">, place: Place): Promise<Host> {
  for (const dir of [place.dir, place.runDir]) mkdirSync(dir, { recursive: true, mode: 0o755 });
  const configFile = `${place.dir}/config.json`;
  writeFileSync(configFile, JSON.stringify(agentConfig(place), null, 2), { mode: 0o600 });
  await enrolIfNeeded(edge, place, configFile);

  let stopping = false;
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>();
  const watch = (part: Part) =>
    void part.ended.then((how) => stopping || fail(`${part.name} ended by itself (${how})`));
  const startAgent = async () => {
    const part = startPart({
      name: "host-agent",
      command: process.execPath,
      args: [...NODE_FLAGS, AGENT, "serve", "--config", configFile],
      env: place.env,
      logFile: `${place.dir}/logs/agent.log`,
      onLine: (line) => place.onLine?.("host", line),
      spawner: place.spawner,
      graceSeconds: 20,
    });
    await untilReady(part, "the host agent answered", () => answers(`${place.runDir}/agent.sock`), 60);
    return part;
  };
  let agent = await startAgent();
  watch(agent);
  const caddy = await startCaddy(place);
  watch(caddy);

  return {
    place,
    hostId: readIdentity(place)?.hostId ?? "",
    get agent() {
      return agent;
    },
    caddy,
    failed,
    async killAgent() {
      stopping = true;
      agent.kill("SIGKILL");
      await agent.ended;
    },
    async startAgent() {
      agent = await startAgent();
      stopping = false;
      watch(agent);
    },
    async stop({ tenants }) {
      stopping = true;
      await caddy.stop();
      await agent.stop();
      if (tenants) await stopTenants(place.dockerSocket, readIdentity(place)?.hostId);
    },
  };
}

function agentConfig(place: Place) {
  return {
    stateDir: place.dir,
    ingressDir: `${place.dir}/caddy`,
    runDir: place.runDir,
    edgeUrl: place.edgeUrl,
    dockerSocket: place.dockerSocket,
    pool: place.pool,
    resolvers: place.resolvers,
    name: place.name,
    region: "local",
    endpoint: place.endpoint,
    maxTenants: place.maxTenants ?? 500,
    memoryMiB: Math.floor(totalmem() / 2 ** 20),
    ...place.agent,
  };
}

function readIdentity(place: Place): { hostId?: string } | null {
  const file = `${place.dir}/identity.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { hostId?: string }) : null;
}

/** A host whose identity the edge still knows stays as it is; any other asks for a token and enrols. */
async function enrolIfNeeded(
  edge: Pick<Edge, "dashboard" | "operatorToken">,
  place: Place,
  configFile: string,
): Promise<void> {
  const operator = { authorization: `Bearer ${edge.operatorToken}` };
  const identity = readIdentity(place);
  if (identity?.hostId && existsSync(`${place.dir}/ingress.env`)) {
    const response = await fetch(`${edge.dashboard}/api/v1/hosts`, { headers: operator });
    const { hosts } = (await response.json()) as { hosts: { id: string }[] };
    if (hosts.some(({ id }) => id === identity.hostId)) return;
  }
  const response = await fetch(`${edge.dashboard}/api/v1/operator/hosts/tokens`, { method: "POST", headers: operator });
  if (!response.ok) throw new Error(`the edge gave no enrolment token: ${response.status}`);
  const { token } = (await response.json()) as { token: string };
  const child = (place.spawner ?? (await import("node:child_process")).spawn)(
    process.execPath,
    [...NODE_FLAGS, AGENT, "enrol", "--config", configFile],
    { env: { ...process.env, ...place.env, CHELAR_ENROL_TOKEN: token }, stdio: ["ignore", "inherit", "inherit"] },
  );
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error("the host could not be enrolled; its own words are above");
}

async function startCaddy(place: Place): Promise<Part> {
  const { stdout: caddyVersion } = await run("caddy", ["version"]);
  const admin = `${place.runDir}/caddy-admin.sock`;
  const part = startPart({
    name: "caddy",
    command: "caddy",
    args: ["run", "--config", `${ROOT}/host-agent/ingress/Caddyfile`, "--adapter", "caddyfile"],
    env: {
      ...ingressVariants({ tenantSite: place.tenantSite, caddyVersion }),
      CHELAR_EDGE: place.edgeUrl,
      CHELAR_TENANT_SITE: place.tenantSite,
      CHELAR_HOST_SITE: place.hostSite,
      CHELAR_AGENT_SOCKET: `${place.runDir}/agent.sock`,
      CHELAR_ADMIN_SOCKET: admin,
      CHELAR_DATA: `${place.dir}/caddy`,
      ...parseEnv(readFileSync(`${place.dir}/ingress.env`, "utf8")),
      XDG_DATA_HOME: `${place.dir}/caddy`,
      XDG_CONFIG_HOME: `${place.dir}/caddy`,
      HOME: `${place.dir}/caddy`,
    },
    logFile: `${place.dir}/logs/caddy.log`,
    spawner: place.spawner,
  });
  await untilReady(part, "Caddy answered", () => answers(admin, "/config/"));
  return part;
}

/** Any HTTP answer at all on a unix socket. */
function answers(socketPath: string, path = "/"): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path, timeout: 2_000, headers: { host: "localhost" } }, (response) => {
      response.resume();
      resolve(true);
    });
    call.once("error", () => resolve(false));
    call.once("timeout", () => call.destroy(new Error("no answer")));
    call.end();
  });
}

/** Stops the containers that carry this host's label, all at once, and no other. */
async function stopTenants(dockerSocket: string, hostId: string | undefined): Promise<void> {
  if (!hostId) return;
  const docker = (...args: string[]) => run("docker", ["-H", `unix://${dockerSocket}`, ...args]);
  const { stdout } = await docker("ps", "-q", "--filter", `label=dev.chelar.host=${hostId}`);
  const ids = stdout.split("\n").filter(Boolean);
  if (ids.length > 0) await docker("stop", "--time", "5", ...ids);
}
