import { chmodSync, chownSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Server as SocketServer } from "node:net";
import { COMMAND_PATH, ENVELOPE_CONTENT_TYPE, MAX_ENVELOPE_BYTES } from "../schema/protocol/index.ts";
import { readBody } from "./body.ts";
import type { CommandDesk } from "./commands.ts";
import { describeError, type Log } from "./log.ts";

export interface ServerOptions {
  command: CommandDesk;
  /** The ingress room's handler: `GET /gate` and whatever else Caddy asks. Undefined until tenants may be reached. */
  gate: (request: IncomingMessage, response: ServerResponse) => void;
  log: Log;
}

/** What a caller may know. One answer for every command that does not verify: it must not learn which check stopped it. */
const ANSWERS = {
  command_refused: 403,
  method_not_allowed: 405,
  body_too_large: 413,
  unsupported_media_type: 415,
  stopping: 503,
} as const;

/** The agent's only door: commands for everyone who can sign, the gate for Caddy. */
export function createServer({ command, gate, log }: ServerOptions): Server {
  const server = createHttpServer((request, response) => {
    if (request.url !== COMMAND_PATH) return gate(request, response);
    takeCommand(request, response, command).catch((error) => {
      log.error("server.failed", { error: describeError(error) });
      response.destroy();
    });
  });
  // A client that sends a byte a minute must not hold a connection for longer than a command takes.
  server.requestTimeout = 10_000;
  server.headersTimeout = 5_000;
  server.keepAliveTimeout = 60_000;
  return server;
}

async function takeCommand(request: IncomingMessage, response: ServerResponse, command: CommandDesk): Promise<void> {
  if (request.method !== "POST") return refuse(response, "method_not_allowed");
  if (request.headers["content-type"] !== ENVELOPE_CONTENT_TYPE) return refuse(response, "unsupported_media_type");
  const body = await readBody(request, MAX_ENVELOPE_BYTES.command);
  if (body === null) return refuse(response, "body_too_large");
  const result = await command(body);
  if (result === null) return refuse(response, "command_refused");
  response.writeHead(200, { "content-type": ENVELOPE_CONTENT_TYPE, "cache-control": "no-store" }).end(result);
}

function refuse(response: ServerResponse, code: keyof typeof ANSWERS): void {
  // The rest of an unread body is not worth reading: the connection ends with the answer.
  const headers = { "content-type": "application/json", "cache-control": "no-store", connection: "close" };
  response.writeHead(ANSWERS[code], headers).end(JSON.stringify({ code }));
}

/** Listens on a unix socket that only root and one group may connect to. A socket left by a dead agent is replaced. */
export async function listen(server: SocketServer, socketPath: string, groupId: number | undefined): Promise<void> {
  rmSync(socketPath, { force: true });
  const umask = process.umask(0o117);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      // A unix socket refuses at once where TCP would let a client knock again: visitors who come together to a sleeping
      // agent would see that. The kernel's own limit (net.core.somaxconn) is 4096, Node's 511.
      server.listen({ path: socketPath, backlog: 4_096 }, resolve);
    });
  } finally {
    process.umask(umask);
  }
  if (groupId !== undefined) chownSync(socketPath, 0, groupId);
  chmodSync(socketPath, 0o660);
}
