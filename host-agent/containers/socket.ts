import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { EngineAwayError } from "../tenants/ports.ts";
import { createPulse, type Patience } from "./pulse.ts";

/** Docker 29 refuses versions below 1.44, Docker 20.10 speaks 1.41: the newest that both sides know is used. */
const NEWEST_API = "1.44";
const CALL_TIMEOUT_MS = 60_000;

/** What the engine answered: `status` is Docker's HTTP status. Where nobody answers it is an {@link EngineAwayError}. */
export class DockerError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "DockerError";
    this.status = status;
  }
}

interface Call {
  method: "GET" | "POST" | "DELETE";
  /** Without the version prefix. */
  path: string;
  query?: Record<string, string | string[]>;
  json?: unknown;
  tar?: Readable;
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Goes on for ever: that no word comes says nothing about the engine. */
  lasts?: boolean;
}

/**
 * HTTP to an engine on its unix socket. Opens nothing yet: the first call does, and a daemon that was down is found again by
 * the next call.
 */
export function connectEngine({ socketPath, patience }: { socketPath: string; patience?: Patience }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const pulse = createPulse(socketPath, patience);
  let apiVersion: string | null = null;

  async function versioned(path: string): Promise<string> {
    if (apiVersion === null) {
      const response = await send({ method: "GET", path: "/_ping" }, "/_ping");
      response.resume();
      apiVersion = olderVersion(NEWEST_API, String(response.headers["api-version"] ?? NEWEST_API));
    }
    return `/v${apiVersion}${path}`;
  }

  function send(call: Call, fullPath: string, isRetry = false): Promise<IncomingMessage> {
    const search = new URLSearchParams(
      Object.entries(call.query ?? {}).flatMap(([key, value]) =>
        [value].flat().map((item): [string, string] => [key, item]),
      ),
    );
    const timeout = call.timeoutMs === 0 ? undefined : AbortSignal.timeout(call.timeoutMs ?? CALL_TIMEOUT_MS);
    const signals = [timeout, call.signal].filter((signal) => signal !== undefined);
    const body = call.json === undefined ? undefined : Buffer.from(JSON.stringify(call.json));
    return new Promise((resolve, reject) => {
      const outgoing: ClientRequest = request({
        socketPath,
        agent: isRetry ? false : agent,
        method: call.method,
        path: search.size > 0 ? `${fullPath}?${search}` : fullPath,
        headers: body
          ? { host: "docker", "content-type": "application/json", "content-length": body.length }
          : { host: "docker", ...(call.tar ? { "content-type": "application/x-tar" } : {}) },
        signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
      });
      pulse.follow(outgoing, call.lasts === true);
      outgoing.on("response", resolve);
      outgoing.on("error", (error: NodeJS.ErrnoException) => {
        // A daemon that was restarted leaves dead sockets in the pool: that says nothing about the daemon of now. All
        // calls converge, so asking again on a new connection is safe; a tar is gone once it has been read.
        const isDeadSocket = outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        if (isDeadSocket && !isRetry && !call.tar) return resolve(send(call, fullPath, true));
        // The daemon that comes back may be another version.
        apiVersion = null;
        reject(new EngineAwayError(`Docker at ${socketPath} does not answer: ${error.message}`, error));
      });
      call.tar?.once("error", (cause) => reject(new Error(`the archive cannot be read: ${cause.message}`, { cause })));
      if (call.tar) pipeline(call.tar, outgoing).catch(() => outgoing.destroy());
      else outgoing.end(body);
    });
  }

  async function open(call: Call): Promise<IncomingMessage> {
    if (pulse.hangs()) await pulse.ready();
    const response = await send(call, await versioned(call.path));
    const status = response.statusCode ?? 0;
    if (status < 400 && status !== 304) return response;
    const text = await readText(response);
    throw new DockerError(status, `${call.method} ${call.path}: ${status} ${messageOf(text)}`);
  }

  async function text(call: Call): Promise<string> {
    return readText(await open(call));
  }

  async function json<T>(call: Call): Promise<T> {
    return JSON.parse(await text(call)) as T;
  }

  function close(): void {
    pulse.stop();
    agent.destroy();
  }

  return { open, text, json, close };
}

/** Compares `1.41`-like versions by number. */
export function olderVersion(a: string, b: string): string {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA < majorB || (majorA === majorB && minorA <= minorB) ? a : b;
}

/** The whole answer; of one that is longer than `maxBytes` the beginning. */
export async function readBytes(stream: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    for await (const chunk of stream) {
      if (total < maxBytes) chunks.push(chunk);
      total += chunk.length;
    }
  } catch (error) {
    throw new EngineAwayError(`Docker broke off in the middle of an answer: ${error}`, error);
  }
  return Buffer.concat(chunks).subarray(0, maxBytes);
}

async function readText(stream: IncomingMessage): Promise<string> {
  return (await readBytes(stream, 64 * 1024 * 1024)).toString("utf8");
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text).slice(0, 500);
  } catch {
    return text.slice(0, 500);
  }
}
