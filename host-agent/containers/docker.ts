import type { Readable } from "node:stream";
import type { Patience } from "./pulse.ts";
import { connectEngine, DockerError, readBytes } from "./socket.ts";
import type { ContainerSpec, NetworkSpec } from "./spec.ts";

export { DockerError } from "./socket.ts";

/**
 * The calls of the Docker Engine API that we use: each function is one of them. With `socket.ts`, which carries them, the
 * only place that talks to Docker. What converges on which status is said where it is decided, in `index.ts`.
 */

export interface ContainerState {
  Id: string;
  Config: { Labels: Record<string, string> | null };
  State: {
    Status: string;
    Running: boolean;
    Paused: boolean;
    OOMKilled: boolean;
    ExitCode: number;
    StartedAt: string;
    Pid: number;
  };
}
export interface NetworkState {
  Id: string;
  Driver: string;
  EnableIPv6: boolean;
  IPAM: { Config: { Subnet: string; Gateway: string }[] };
  Options: Record<string, string>;
  Containers: Record<string, unknown> | null;
}
/** What a list of many says of one. */
export interface ContainerSummary {
  Id: string;
  /** `exited`, `running`, `paused`, `created` … */
  State: string;
  /** For people: `Exited (0) 3 minutes ago`. */
  Status: string;
  Labels: Record<string, string> | null;
  ImageID: string;
}
export interface ImageSummary {
  Id: string;
  /** `repo:tag`. */
  RepoTags: string[] | null;
  /** `repo@sha256:…`. */
  RepoDigests: string[] | null;
  /** Seconds since the epoch. */
  Created: number;
}
/** Of one moment; `memory_stats` as the kernel counts, page cache included. */
export interface ContainerStats {
  cpu_stats: { cpu_usage: { total_usage: number } };
  memory_stats: { usage?: number; stats?: Record<string, number> };
  pids_stats: { current?: number };
}
/** What an image says of itself. */
export interface ImageFacts {
  Config: {
    Entrypoint: string[] | null;
    Cmd: string[] | null;
    WorkingDir: string;
    Volumes: Record<string, object> | null;
  };
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

export type Docker = ReturnType<typeof connectDocker>;

export function connectDocker(where: { socketPath: string; patience?: Patience }) {
  const { open, text, json, close } = connectEngine(where);
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
    /** Without a label: everybody's. */
    listContainers: (label?: string) =>
      json<ContainerSummary[]>({
        method: "GET",
        path: "/containers/json",
        query: { all: "1", ...(label && filters({ label: [label] })) },
      }),
    startContainer: (name: string) => text({ method: "POST", path: `/containers/${segment(name)}/start` }),
    stopContainer: (name: string, timeoutSeconds: number) =>
      text({
        method: "POST",
        path: `/containers/${segment(name)}/stop`,
        query: { t: String(timeoutSeconds) },
        timeoutMs: (60 + timeoutSeconds) * 1000,
      }),
    pauseContainer: (name: string) => text({ method: "POST", path: `/containers/${segment(name)}/pause` }),
    unpauseContainer: (name: string) => text({ method: "POST", path: `/containers/${segment(name)}/unpause` }),
    stats: (name: string) =>
      json<ContainerStats>({
        method: "GET",
        path: `/containers/${segment(name)}/stats`,
        // Without `one-shot` the engine takes a second to measure a rate that we compute ourselves.
        query: { stream: "false", "one-shot": "true" },
      }),
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
      const stream = await open({ method: "GET", path: "/events", query, timeoutMs: 0, signal, lasts: true });
      onOpen();
      let rest = "";
      for await (const chunk of stream.setEncoding("utf8")) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line.trim()) onEvent(JSON.parse(line) as EngineEvent);
      }
    },

    inspectImage: (ref: string) =>
      json<ImageFacts>({ method: "GET", path: `/images/${ref.split("/").map(segment).join("/")}/json` }),
    listImages: () => json<ImageSummary[]>({ method: "GET", path: "/images/json" }),
    /** One of its names; with the last of them the image goes. The engine refuses that while a container is made from it. */
    removeImage: (ref: string) => text({ method: "DELETE", path: `/images/${ref.split("/").map(segment).join("/")}` }),
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

    close,
  };
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

function failOnStreamedError(text: string): void {
  for (const line of text.split("\n")) {
    if (!line.includes('"error"')) continue;
    throw new DockerError(500, `Docker: ${(JSON.parse(line) as { error?: string }).error ?? line.slice(0, 500)}`);
  }
}
