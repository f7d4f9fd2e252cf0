import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ContainerSpec, NetworkSpec } from "./spec.ts";

/**
 * The only file that talks to Docker: plain HTTP on its unix socket (Docker Engine API). Each function is one call;
 * what converges on which status is said where it is decided, in `index.ts`.
 */

/** Docker 29 refuses versions below 1.44, Docker 20.10 speaks 1.41: the newest that both sides know is used. */
const NEWEST_API = "1.44";
const CALL_TIMEOUT_MS = 60_000;

/** `status` is Docker's HTTP status, or null when nobody answered. */
export class DockerError extends Error {
  readonly status: number | null;
  constructor(status: number | null, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "DockerError";
    this.status = status;
  }
}

export interface ContainerState {
  Id: string;
  Config: { Labels: Record<string, string> | null };
  State: { Status: string; Running: boolean; Paused: boolean; OOMKilled: boolean; ExitCode: number; StartedAt: string };
}
export interface NetworkState {
  Id: string;
  Driver: string;
  EnableIPv6: boolean;
  IPAM: { Config: { Subnet: string; Gateway: string }[] };
  Options: Record<string, string>;
  Containers: Record<string, unknown> | null;
}
export interface EngineVersion {
  Version: string;
  ApiVersion: string;
  KernelVersion: string;
  Components?: { Name: string; Version: string }[];
}
export interface EngineInfo {
  CgroupVersion?: string;
  SecurityOptions: string[] | null;
}
export interface EngineEvent {
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  timeNano: number;
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
}

export type Docker = ReturnType<typeof connectDocker>;

/** Opens nothing yet: the first call does, and a daemon that was down is found again by the next call. */
export function connectDocker({ socketPath }: { socketPath: string }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
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
      outgoing.on("response", resolve);
      outgoing.on("error", (error: NodeJS.ErrnoException) => {
        // A daemon that was restarted leaves dead sockets in the pool: that says nothing about the daemon of now. All
        // calls converge, so asking again on a new connection is safe; a tar is gone once it has been read.
        const isDeadSocket = outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        if (isDeadSocket && !isRetry && !call.tar) resolve(send(call, fullPath, true));
        else reject(new DockerError(null, `Docker at ${socketPath} does not answer: ${error.message}`, error));
      });
      call.tar?.once("error", (error) =>
        reject(new DockerError(null, `the archive cannot be read: ${error.message}`, error)),
      );
      if (call.tar) pipeline(call.tar, outgoing).catch(() => outgoing.destroy());
      else outgoing.end(body);
    });
  }

  async function open(call: Call): Promise<IncomingMessage> {
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

  const segment = encodeURIComponent;
  const filters = (filter: Record<string, string[]>) => ({ filters: JSON.stringify(filter) });

  return {
    ping: async () => void (await text({ method: "GET", path: "/_ping", timeoutMs: 5_000 })),
    version: () => json<EngineVersion>({ method: "GET", path: "/version" }),
    info: () => json<EngineInfo>({ method: "GET", path: "/info" }),

    createNetwork: (spec: NetworkSpec) =>
      json<{ Id: string }>({ method: "POST", path: "/networks/create", json: spec }),
    inspectNetwork: (name: string) => json<NetworkState>({ method: "GET", path: `/networks/${segment(name)}` }),
    removeNetwork: (name: string) => text({ method: "DELETE", path: `/networks/${segment(name)}` }),

    createContainer: ({ name, body }: ContainerSpec) =>
      json<{ Id: string }>({ method: "POST", path: "/containers/create", query: { name }, json: body }),
    inspectContainer: (name: string) =>
      json<ContainerState>({ method: "GET", path: `/containers/${segment(name)}/json` }),
    listContainers: (label: string) =>
      json<{ Id: string }[]>({
        method: "GET",
        path: "/containers/json",
        query: { all: "1", ...filters({ label: [label] }) },
      }),
    startContainer: (name: string) => text({ method: "POST", path: `/containers/${segment(name)}/start` }),
    stopContainer: (name: string, timeoutSeconds: number) =>
      text({
        method: "POST",
        path: `/containers/${segment(name)}/stop`,
        query: { t: String(timeoutSeconds) },
        timeoutMs: CALL_TIMEOUT_MS + timeoutSeconds * 1000,
      }),
    pauseContainer: (name: string) => text({ method: "POST", path: `/containers/${segment(name)}/pause` }),
    unpauseContainer: (name: string) => text({ method: "POST", path: `/containers/${segment(name)}/unpause` }),
    removeContainer: (name: string) =>
      text({ method: "DELETE", path: `/containers/${segment(name)}`, query: { force: "1", v: "1" } }),

    /** Runs a program in a running container; both streams interleaved, at most `maxBytes` of them kept. */
    async exec(name: string, argv: readonly string[], { user = "", maxBytes = 1_048_576 } = {}) {
      const { Id } = await json<{ Id: string }>({
        method: "POST",
        path: `/containers/${segment(name)}/exec`,
        json: { Cmd: argv, User: user, AttachStdout: true, AttachStderr: true, Tty: false },
      });
      const stream = await open({ method: "POST", path: `/exec/${Id}/start`, json: { Detach: false, Tty: false } });
      const output = demultiplex(await readBytes(stream, maxBytes));
      const { ExitCode } = await json<{ ExitCode: number }>({ method: "GET", path: `/exec/${Id}/json` });
      return { exitCode: ExitCode, output };
    },

    /** Calls back for each event until the stream ends or the signal is given; `since` in nanoseconds. */
    async events(
      filter: Record<string, string[]>,
      { sinceNano, signal, onOpen }: { sinceNano?: number; signal: AbortSignal; onOpen: () => void },
      onEvent: (event: EngineEvent) => void,
    ): Promise<void> {
      const since: Record<string, string> = sinceNano === undefined ? {} : { since: (sinceNano / 1e9).toFixed(9) };
      const query = { ...filters(filter), ...since };
      const stream = await open({ method: "GET", path: "/events", query, timeoutMs: 0, signal });
      onOpen();
      let rest = "";
      for await (const chunk of stream.setEncoding("utf8")) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line.trim()) onEvent(JSON.parse(line) as EngineEvent);
      }
    },

    async imageExists(ref: string): Promise<boolean> {
      try {
        await text({ method: "GET", path: `/images/${ref.split("/").map(segment).join("/")}/json` });
        return true;
      } catch (error) {
        if (error instanceof DockerError && error.status === 404) return false;
        throw error;
      }
    },
    /** A tar of a root file system becomes an image; `changes` are Dockerfile lines such as `WORKDIR /app`. */
    async importImage(
      tar: Readable,
      { repo, tag, changes }: { repo: string; tag: string; changes: readonly string[] },
    ) {
      const query = { fromSrc: "-", repo, tag, changes: [...changes] };
      // Docker answers 200 first and may fail later, inside the stream of progress.
      failOnStreamedError(await text({ method: "POST", path: "/images/create", query, tar, timeoutMs: 0 }));
    },
    tagImage: async (ref: string, repo: string, tag: string) =>
      void (await text({ method: "POST", path: `/images/${ref}/tag`, query: { repo, tag } })),
    async pullImage(ref: string) {
      failOnStreamedError(
        await text({ method: "POST", path: "/images/create", query: { fromImage: ref }, timeoutMs: 0 }),
      );
    },

    close: () => agent.destroy(),
  };
}

/** Compares `1.41`-like versions by number. */
export function olderVersion(a: string, b: string): string {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA < majorB || (majorA === majorB && minorA <= minorB) ? a : b;
}

/** Docker's attach format: 8 bytes (stream, 0, 0, 0, big-endian length) before each piece of output. */
export function demultiplex(bytes: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    pieces.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(pieces).toString("utf8");
}

async function readBytes(stream: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of stream) {
    if (total < maxBytes) chunks.push(chunk);
    total += chunk.length;
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

function failOnStreamedError(text: string): void {
  for (const line of text.split("\n")) {
    if (!line.includes('"error"')) continue;
    throw new DockerError(500, `Docker: ${(JSON.parse(line) as { error?: string }).error ?? line.slice(0, 500)}`);
  }
}
