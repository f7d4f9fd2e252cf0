import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createIngress, type Gate, type Streams } from "../../host-agent/ingress/index.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const HOST = "ada.agents.localhost";
export const HOST_KEY = `hst_lab.${"k".repeat(43)}`;

/** What the stand-in of the edge answers to `GET /forward-auth`. */
export interface EdgeAnswer {
  status: number;
  headers?: Record<string, string>;
}

export interface IngressLab {
  port: number;
  gate: Gate;
  streams: Streams;
  /** What Caddy wrote to its log. */
  log: string[];
  /** Commands that reached the agent's socket. */
  commands: string[];
  /** What the edge was asked, newest last. */
  asked: IncomingMessage[];
  edge: { answer: (question: IncomingMessage) => EdgeAnswer | "no answer" };
  /** Instead of the real gate, where a test wants it to err. */
  gateAnswer: { headers: Record<string, string> | null };
  echoPort: number;
  /** One request with exactly these header lines, doubles and odd spellings included. */
  send(head: {
    method?: string;
    path?: string;
    host?: string;
    lines?: string[];
    body?: Buffer | string;
  }): Promise<Answer>;
  stop(): Promise<void>;
}

export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  text: string;
}

/** The real Caddy with the real Caddyfile and the real gate, between a stand-in edge and a real echo runtime. */
export async function startIngress({ tls = false } = {}): Promise<IngressLab> {
  const dir = await mkdtemp("/tmp/chl-ingress-");
  const streamSocket = `${dir}/streams.sock`;
  const edgePort = await freePort();
  const ingress = createIngress({
    isReady: () => true,
    streamSocket,
    edgeUrl: `http://127.0.0.1:${edgePort}`,
    hostKey: HOST_KEY,
    onCut: () => {},
  });
  const { gate, streams } = ingress;
  const commands: string[] = [];
  const gateAnswer: IngressLab["gateAnswer"] = { headers: null };
  const agent = createServer((question, response) => {
    if (gateAnswer.headers && question.url === "/gate") return void response.writeHead(200, gateAnswer.headers).end();
    if (/^\/(gate|tls-ask)(\?|$)/.test(question.url ?? "")) return ingress.handle(question, response);
    commands.push(`${question.method} ${question.url}`);
    question.resume();
    question.on("end", () => response.writeHead(200).end("taken"));
  });
  const asked: IncomingMessage[] = [];
  const edge: IngressLab["edge"] = { answer: () => ({ status: 200, headers: { "X-Chelar-User": "usr_owner" } }) };
  const edgeServer = createServer((question, response) => {
    asked.push(question);
    const answer = edge.answer(question);
    if (answer === "no answer") question.destroy();
    else response.writeHead(answer.status, answer.headers).end();
  });
  const agentSocket = `${dir}/agent.sock`;
  agent.listen(agentSocket);
  streams.server.listen(streamSocket);
  edgeServer.listen(edgePort, "127.0.0.1");
  const [port, echoPort, askPort] = [await freePort(), await freePort(), await freePort()];
  const scheme = tls ? "https" : "http";
  const echo = child(process.execPath, [`${ROOT}host-agent/runtimes/echo/server.mjs`], { PORT: String(echoPort) });
  const caddy = child("caddy", ["run", "--config", `${ROOT}host-agent/ingress/Caddyfile`, "--adapter", "caddyfile"], {
    CHELAR_EDGE: `http://127.0.0.1:${edgePort}`,
    CHELAR_TENANT_SITE: `${scheme}://*.agents.localhost:${port}`,
    CHELAR_HOST_SITE: `${scheme}://127.0.0.1:${port}`,
    CHELAR_TLS: tls ? "internal" : "off",
    CHELAR_ASK_PORT: String(askPort),
    CHELAR_AGENT_SOCKET: agentSocket,
    CHELAR_ADMIN_SOCKET: `${dir}/admin.sock`,
    CHELAR_DATA: dir,
    CHELAR_HOST_KEY: HOST_KEY,
    HOME: dir,
    XDG_CONFIG_HOME: dir,
    XDG_DATA_HOME: dir,
  });
  const log: string[] = [];
  for (const { stderr } of [caddy, echo]) stderr?.setEncoding("utf8").on("data", (text: string) => log.push(text));
  await Promise.all([untilOpen(port, caddy), untilOpen(echoPort, echo)]);
  gate.set(HOST, { tenantId: "tnt_a", upstream: `127.0.0.1:${echoPort}`, requestsPerMinute: 100_000 });

  return {
    port,
    gate,
    streams,
    log,
    commands,
    asked,
    edge,
    gateAnswer,
    echoPort,
    send: (head) => sendRaw(port, head),
    async stop() {
      for (const process of [caddy, echo]) {
        process.kill("SIGKILL");
        await once(process, "exit");
      }
      ingress.stop();
      for (const server of [agent, edgeServer]) {
        server.closeAllConnections();
        server.close();
      }
      await rm(dir, { recursive: true });
    },
  };
}

async function sendRaw(port: number, head: Parameters<IngressLab["send"]>[0]): Promise<Answer> {
  const { method = "GET", path = "/", host = HOST, lines = [], body } = head;
  const outgoing = request({
    host: "127.0.0.1",
    port,
    method,
    path,
    agent: false,
    // A flat list of names and values: sent as they are, doubles too.
    headers: ["Host", host, ...lines.flatMap((line) => line.split(/: ?(.*)/s).slice(0, 2))],
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() };
}

function child(command: string, args: string[], env: Record<string, string>): ChildProcess {
  return spawn(command, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "ignore", "pipe"] });
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  return port;
}

async function untilOpen(port: number, owner: ChildProcess): Promise<void> {
  for (;;) {
    if (owner.exitCode !== null) throw new Error(`${owner.spawnfile} ended with ${owner.exitCode}`);
    const socket = connect({ host: "127.0.0.1", port });
    const open = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "error").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    await sleep(50);
  }
}
