import { once } from "node:events";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { Agent, createServer, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { newId, type SleepPolicy, type TenantLimits, type TenantSpec } from "../../schema/protocol/index.ts";
import { internet } from "../hosts/index.ts";
import { type AgentLab, type AgentLabOptions, applyCommand, createAgentLab } from "./agent-lab.ts";

const CADDYFILE = fileURLToPath(new URL("../../host-agent/ingress/Caddyfile", import.meta.url));
const PORT = 8080;
const OWNER = "usr_owner";

export interface Visit {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** Until the first byte of the answer's head. */
  firstByteMs: number;
}

export interface Wish {
  /** Its secrets. */
  env?: Record<string, string>;
  limits?: Partial<TenantLimits>;
  /** What else is not as in the lab's own. */
  spec?: Partial<TenantSpec>;
  /** How long it may take to get anywhere. */
  patienceMs?: number;
}

/** What the door's stand-in takes for the inbox's token, with a message of Telegram's for the agent of this name. */
const DELIVERY = /^Bearer delivery-to-([a-z0-9.-]+)$/;

export interface SleepLab extends AgentLab {
  /** Creates an agent with this policy and waits until it runs. */
  create(sleep: SleepPolicy | undefined, more?: Wish): Promise<Sleeper>;
  /** The same, without waiting for anything. */
  begin(sleep: SleepPolicy | undefined, more?: Wish): Promise<Sleeper>;
  /** Puts an empty environment where a container that is started by hand looks for one. */
  env(id: string, user: string): Promise<void>;
}

export interface Sleeper {
  id: string;
  /** The next word about it: the first one with this sleep, and what else is new. */
  tell(sleep: SleepPolicy | undefined, spec?: Partial<TenantSpec>): Promise<void>;
  /** A request through Caddy, the door's stand-in and the gate; a POST where there is something to send. */
  visit(path?: string, headers?: Record<string, string>, body?: string): Promise<Visit>;
  /** A message of its channel, as the edge's inbox brings it. */
  deliver(headers: Record<string, string>, body: string): Promise<Visit>;
  /** A WebSocket that stays open until `close`. */
  socket(path?: string): Promise<{ close(): void; closed: Promise<void> }>;
  /** As Docker sees it: `running`, `paused`, `exited`; empty when there is none. */
  status(): Promise<string>;
  docker(...args: string[]): Promise<string>;
  untilState(state: "running" | "asleep" | "failed"): Promise<void>;
  untilStatus(status: string): Promise<void>;
}

/** A real server with the real agent and the real Caddy; of the edge, the door says yes to everybody. */
export async function createSleepLab(options?: AgentLabOptions): Promise<SleepLab> {
  const lab = await createAgentLab(options);
  const door = createServer(({ url = "", headers }, response) => {
    const [, agent] = (url.startsWith("/forward-auth/message") && DELIVERY.exec(headers.authorization ?? "")) || [];
    const delivery = { "X-Chelar-Channel": "telegram", "X-Chelar-Path": "/telegram-webhook", "X-Chelar-Tenant": agent };
    if (agent) return response.writeHead(200, { "X-Chelar-User": "inbox", ...delivery }).end();
    response.writeHead(200, { "X-Chelar-User": OWNER }).end();
  });
  door.listen(0, internet.address);
  await once(door, "listening");
  const { port } = door.address() as { port: number };
  await lab.start();
  const dir = `${lab.host.dir}/caddy`;
  mkdirSync(dir, { recursive: true });
  const caddy = lab.host.spawn("caddy", ["run", "--config", CADDYFILE, "--adapter", "caddyfile"], {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      PATH: process.env.PATH,
      CHELAR_EDGE: `http://${internet.address}:${port}`,
      CHELAR_TENANT_SITE: `http://*.agents.test:${PORT}`,
      CHELAR_HOST_SITE: `http://${lab.host.address}:${PORT}`,
      CHELAR_AGENT_SOCKET: lab.socketPath,
      CHELAR_ADMIN_SOCKET: `${dir}/admin.sock`,
      CHELAR_DATA: dir,
      CHELAR_HOST_KEY: `hst_lab.${"k".repeat(43)}`,
      HOME: dir,
      XDG_CONFIG_HOME: dir,
      XDG_DATA_HOME: dir,
    },
  });
  const connections = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  const address = lab.host.address;
  for (;;) {
    const answered = await visit({ address, agent: connections, host: "nobody.agents.test" }).catch(() => null);
    if (answered) break;
    if (caddy.exitCode !== null) throw new Error("Caddy ended");
    await sleep(50);
  }

  async function create(policy: SleepPolicy | undefined, wish?: Wish): Promise<Sleeper> {
    const one = await begin(policy, wish);
    await one.untilState("running");
    return one;
  }

  async function begin(policy: SleepPolicy | undefined, wish: Wish = {}): Promise<Sleeper> {
    const { env = {}, limits, spec, patienceMs = 60_000 } = wish;
    const id = newId("tnt");
    const tenant = { ...applyCommand(id).tenant, ...spec };
    Object.assign(tenant.limits, { requestsPerMinute: 100_000, ...limits });
    let generation = 0;
    const tell = async (sleep: SleepPolicy | undefined, change: Partial<TenantSpec> = {}) => {
      Object.assign(tenant, change);
      generation += 1;
      const secretsJwe = await lab.edge.seal(id, generation, env);
      const command = applyCommand(id, { tenant: { ...tenant, sleep }, generation, secretsJwe });
      const outcome = await lab.edge.command(lab.socketPath, command);
      if (outcome?.status !== "accepted") throw new Error(`refused: ${JSON.stringify(outcome)}`);
    };
    await tell(policy);
    const docker = (...args: string[]) => lab.host.run("docker", ["-H", `unix://${lab.host.dockerSocket}`, ...args]);
    const status = async () =>
      (await docker("ps", "-a", "--filter", `name=chelar-${id}`, "--format", "{{.State}}")).trim();
    const until = async (what: string, holds: () => boolean | Promise<boolean>) => {
      const deadline = Date.now() + patienceMs;
      while (!(await holds())) {
        if (Date.now() > deadline) throw new Error(`${id} is not ${what}:\n${lab.log().slice(-2_000)}`);
        await sleep(20);
      }
    };
    const host = tenant.hostname;
    const one: Sleeper = {
      id,
      docker,
      status,
      tell,
      visit: (path, headers, body) => visit({ address, agent: connections, host, path, headers, body }),
      deliver: (headers, body) =>
        visit({
          ...{ address, agent: connections, host: `${address}:${PORT}`, path: "/.chelar/messages", body },
          headers: { authorization: `Bearer delivery-to-${host}`, ...headers },
        }),
      socket: (path) => openSocket({ address, host, path }),
      untilState: (state) => until(state, () => lab.has(id, state, generation)),
      untilStatus: (wanted) => until(wanted, async () => (await status()) === wanted),
    };
    return one;
  }

  return {
    ...lab,
    create,
    begin,
    async env(id, user) {
      const file = `${lab.host.dir}/run/env/${id}/env`;
      writeFileSync(file, "");
      chownSync(file, Number(user.split(":")[0]), 0);
    },
    async destroy() {
      connections.destroy();
      caddy.kill("SIGKILL");
      door.closeAllConnections();
      door.close();
      await lab.destroy();
    },
  };
}

interface Way {
  address: string;
  host: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
}

async function visit({ address, host, path = "/", headers = {}, body, agent }: Way & { agent: Agent }): Promise<Visit> {
  const began = performance.now();
  const method = body === undefined ? "GET" : "POST";
  const outgoing = request({ host: address, port: PORT, method, path, agent, headers: { host, ...headers } });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const firstByteMs = performance.now() - began;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return { status: response.statusCode ?? 0, headers: response.headers, text, firstByteMs };
}

async function openSocket({ address, host, path = "/" }: Way) {
  const headers = {
    host,
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": Buffer.alloc(16, "k").toString("base64"),
  };
  const outgoing = request({ host: address, port: PORT, path, agent: false, headers });
  outgoing.end();
  const [, socket] = (await once(outgoing, "upgrade")) as [IncomingMessage, Socket];
  socket.on("error", () => {});
  socket.resume();
  const closed = once(socket, "close").then(() => {});
  return { close: () => socket.destroy(), closed };
}
