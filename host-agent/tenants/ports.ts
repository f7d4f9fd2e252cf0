import type {
  AgentQuestion,
  ChannelName,
  ImageState,
  RuntimeName,
  RuntimeStatus,
} from "../../schema/protocol/index.ts";
import type { Snapshots } from "../storage/index.ts";
import type { Tenant, TenantLayout } from "./layout.ts";

/**
 * What the lifecycle needs from this host. Every operation converges: doing it again, after a crash at any point, is
 * success, and deleting what is gone is success. Errors are thrown as {@link StepError}.
 */

/** `public` may be shown to the owner; `message` is for the operator's log. Neither ever holds a secret. */
export class StepError extends Error {
  readonly public: string;
  /** Whether doing the very same thing again later may succeed. */
  readonly retryable: boolean;
  constructor(publicText: string, { retryable, cause, log }: { retryable: boolean; cause?: unknown; log?: string }) {
    super(log ?? publicText, { cause });
    this.name = "StepError";
    this.public = publicText;
    this.retryable = retryable;
  }
}

/** Nobody answers, or the answer broke off: it says nothing about what was asked for. */
export class EngineAwayError extends StepError {
  constructor(log: string, cause?: unknown) {
    super("The container engine is not answering.", { retryable: true, log, cause });
    this.name = "EngineAwayError";
  }
}

/** Something holds the addresses or the bridge of this slot and cannot be removed: only another slot helps. */
export class SlotBlockedError extends StepError {
  constructor(log: string) {
    super("The agent's network could not be made yet.", { retryable: true, log });
    this.name = "SlotBlockedError";
  }
}

export interface Volumes {
  /** Where the volume will be open: a container can be made before it is, and not be started. */
  ensureMountPoint(layout: TenantLayout): Promise<void>;
  /** Creates where missing, opens, sets owner, mode 0700, nosuid and nodev. `key`: 256 bits in base64url, or nothing opens. */
  open(layout: TenantLayout, options: { diskMiB: number; key: string | null }): Promise<void>;
  /** Whether what the process with this PID has as /data is the volume as it is open now, and not a dead mount of before. */
  isOpenIn(layout: TenantLayout, pid: number): Promise<boolean>;
  close(layout: TenantLayout): Promise<void>;
  /** Closes, and removes every trace; proves it by looking, and says what it has looked at. */
  destroy(layout: TenantLayout): Promise<string>;
  /** In bytes of ciphertext, by tenant. */
  usage(): Promise<ReadonlyMap<string, VolumeUsage>>;
  /** Whether what volumes hold was not counted any more, so that no limit held; it is counted anew from now on. */
  recount(): Promise<boolean>;
  /**
   * Slows down whose next write may be refused, and lets go who has room again: a volume at its limit that is written to
   * without end would be felt by all others. Cheap; to be called several times in a second.
   */
  restrain(): Promise<void>;
  /** Null before a volume was opened: nothing is mounted yet. */
  disk(): Promise<DiskRoom | null>;
  /** Of ciphertext, so without its key. */
  snapshots: Snapshots;
  /** Read-only above the limit, writable below it: for a backing that keeps no limits itself. */
  freeze(layout: TenantLayout, usage: VolumeUsage): Promise<void>;
}

/** What of a tenant lies outside of this host. */
export interface Copies {
  isThere: boolean;
  /** Sends the ciphertext in a directory, and reads all of it back. In bytes. */
  send(tenantId: string, key: string, directory: string): Promise<{ bytes: number }>;
  /** Puts the newest copy into an empty directory; rejects for whatever is not exactly what was sent. */
  fetch(tenantId: string, key: string, directory: string): Promise<void>;
  /** Whose copies are there: of every host that uses the same object storage. */
  list(): Promise<string[]>;
  /** Removes all of it; proves it by looking, and says what it has looked at. */
  destroy(tenantId: string): Promise<string>;
}

/** Of the disk that volumes are on. Below the reserve no new one is made. */
export interface DiskRoom {
  freeMiB: number;
  reserveMiB: number;
}

export interface VolumeUsage {
  usedBytes: number;
  limitBytes: number;
}

export interface Firewall {
  /** Brings the kernel to the policy, atomically. Safe at any time. */
  apply(): Promise<void>;
  /** Reads the kernel back; lists what differs from the policy (empty: it stands). No tenant starts unless empty. */
  verify(): Promise<string[]>;
}

export interface ContainerFacts {
  tenantId: string;
  containerId: string;
  running: boolean;
  exitCode: number | null;
  oomKilled: boolean;
  startedAt: string;
  /** Hash of the plan it was made from: another hash means that it must be made again. */
  planHash: string;
  restarts: number;
  /** Frozen: it runs as far as the engine is concerned, and does nothing. */
  paused?: boolean;
}

/** What the engine and the kernel say of a running container, without asking the tenant. */
export interface Vitals {
  /** Of its first process, as the host sees it. */
  pid: number;
  /** Nanoseconds of CPU since it was started. */
  cpuNs: number;
  memoryBytes: number;
  /** Processes and threads together. */
  pids: number;
}

export type NetworkLayout = Pick<TenantLayout, "network" | "subnet" | "gateway">;

export interface Containers {
  /** Throws {@link SlotBlockedError} where this slot can have no network. */
  ensureNetwork(layout: NetworkLayout): Promise<void>;
  removeNetwork(layout: Pick<NetworkLayout, "network">): Promise<void>;
  /** Asked of the engine and of the kernel. */
  hasNetwork(layout: Pick<NetworkLayout, "network">): Promise<boolean>;
  /** Null when there is none. */
  find(tenantId: string): Promise<ContainerFacts | null>;
  /** All containers that carry this host's label, wanted or not. */
  list(): Promise<ContainerFacts[]>;
  /** Creates without starting; a container of another plan is removed first. At most one per tenant, by its name. */
  ensureCreated(tenant: Tenant, restarts: number): Promise<ContainerFacts>;
  /** Null when it was started now; the PID of its first process when it ran already. */
  start(tenant: Tenant): Promise<number | null>;
  stop(tenantId: string, timeoutSeconds: number): Promise<void>;
  pause(tenantId: string): Promise<void>;
  unpause(tenantId: string): Promise<void>;
  /** Null when it does not run. */
  vitals(tenantId: string): Promise<Vitals | null>;
  remove(tenantId: string): Promise<void>;
  /** Resolves when Docker answers. */
  ping(): Promise<void>;
  /** The engine's own words: versions for the inventory. */
  versions(): Promise<Record<string, string>>;
  /** Calls back with what the engine tells by itself; returns how to stop listening. */
  watch(listener: EngineListener): () => void;
}

export interface EngineListener {
  /** A container of ours has ended. Heard at least once, also when it ended while nobody listened: look for yourself. */
  died(tenantId: string): void;
  /** The engine hangs, or has ended. */
  away?(): void;
  /** The engine answers again: what failed while it was away says nothing about now. */
  back(): void;
}

export interface Runtimes {
  /** Writes the platform's configuration (0644, root) into the read-only mount. */
  writeConfig(tenant: Tenant): Promise<void>;
  /** Whether what lies there is what would be written: the same files, and no other. */
  hasConfig(tenant: Tenant): Promise<boolean>;
  /** Puts the environment file where the entrypoint reads it: memory-backed, 0400, owned by the tenant's UID. */
  writeEnv(tenant: Tenant, env: Readonly<Record<string, string>>): Promise<void>;
  clearEnv(layout: TenantLayout): Promise<void>;
  removeConfig(layout: TenantLayout): Promise<void>;
  /** Resolves when the runtime answers that it is ready; rejects when the container died or time is up. */
  untilReady(tenant: Tenant, signal: AbortSignal): Promise<void>;
  /** Where a request goes: `address:port`. */
  upstream(tenant: Tenant): string;
  /** Where each of its channels' messages are handed over. */
  channels(tenant: Tenant): Route["channels"];
  /** Paths that are for this host and the edge's deliveries alone. */
  closed(runtime: RuntimeName): readonly string[] | undefined;
  /** Where it listens inside its container. */
  port(runtime: RuntimeName): number;
  /** Asks the agent, and waits for as long as its turn takes; null: it says nothing. */
  answer(tenant: Tenant, question: AgentQuestion, key: string): Promise<string | null>;
  /** What the runtime itself says that it is doing; null: nothing; undefined: it cannot tell. */
  busy(tenant: Tenant): Promise<string | null | undefined>;
  /** Null where the runtime has no way to say. Rejects when it does not answer as it should. */
  status(tenant: Tenant): Promise<RuntimeStatus | null>;
  /** When the agent's own next job is due (milliseconds since the epoch); null: it has none. */
  nextRunMs(tenant: Tenant): Promise<number | null>;
  /** How long a graceful stop of this runtime may take. */
  stopTimeoutSeconds(runtime: RuntimeName): number;
}

export interface Images {
  state(runtime: RuntimeName): ImageState;
  /** Resolves when the image is there, building it where it is missing (one build at a time for all callers). */
  ensure(
    runtime: RuntimeName,
    onProgress: (progress: { fraction: number; detail: string }) => void,
    /** By digest, and taken from its registry; absent: made here. */
    image?: string,
  ): Promise<void>;
}

/** The routes that the gate serves: host name → upstream. In memory; rebuilt from the journal at start. */
export interface Routes {
  /** Opens the door; whoever was held goes in. */
  set(hostname: string, route: Route): void;
  /** Nobody lives here: whoever was held is told so. */
  remove(hostname: string): void;
  /** No door for now, and why: a sentence for its owner. */
  fail(hostname: string, detail: string): void;
  /** Nobody is let in until the next `set`; who comes waits, and `knock` is called. Never called before a visitor comes. */
  hold(hostname: string, held: Held): void;
  isHeld(hostname: string): boolean;
  /** What those who wait may know of the way to an open door. */
  tell(hostname: string, news: { step?: string; trouble?: string }): void;
  waiting(hostname: string): number;
  /** Milliseconds since the last request was let in, or since the door was opened. */
  idleMs(hostname: string): number;
  /** Something is going on behind this door that is no request. */
  stir(hostname: string): void;
}
export interface Bounds {
  tenantId: string;
  requestsPerMinute: number;
  /** Requests and WebSockets together; absent: as many as come. */
  openConnections?: number;
}
export interface Held extends Bounds {
  knock: () => void;
}
/** `upstream` null: this host asks the agent itself. */
export interface Way {
  upstream: string | null;
  path: string;
}
export interface Route extends Bounds {
  upstream: string;
  /** Paths below which no visitor may come: what the runtime offers its host, or the edge's deliveries, alone. */
  closed?: readonly string[];
  /** Where a delivery of a channel goes, by POST to exactly this path; visitors never. */
  channels?: Readonly<Partial<Record<ChannelName, Way>>>;
}
