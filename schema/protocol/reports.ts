import { z } from "zod";
import { generation, imageReference, leftover, runtimeName, snapshotName, tenantId } from "./commands.ts";
import { ledgerEntry } from "./ledger.ts";
import { MAX_RECEIPT_BYTES } from "./receipts.ts";

/** What a host tells the edge. `seq` rises by one per host, so that the edge can drop what it has seen. */
const seq = z.int().min(1);
/** Milliseconds since the epoch, by the host's clock. Beyond the limit no Date exists (ECMA-262 21.4.1.1). */
const at = z.int().min(0).max(8_640_000_000_000_000);

/** The steps of apply, stop and purge, in the words that the owner's page translates. */
export const STEPS = [
  "accept",
  "image",
  "uid",
  "volume",
  "network",
  "firewall",
  "config",
  "container",
  "health",
  "route",
  "unroute",
  "stop",
  "remove_container",
  "remove_network",
  "remove_volume",
  "remove_copies",
  "forget",
] as const;
export const stepName = z.enum(STEPS);
export type StepName = z.infer<typeof stepName>;

/** `asleep`: wanted running, and put to rest by its host while nobody needs it; `suspended` is its owner's own word. */
export const observedState = z.enum(["creating", "running", "asleep", "suspended", "stopped", "failed", "purged"]);
export type ObservedState = z.infer<typeof observedState>;

/** A sentence for the owner. Never holds a secret, a path of the host or output of the container. */
const publicDetail = z.string().max(500);

export const tenantProgress = z.strictObject({
  type: z.literal("tenant.progress"),
  seq,
  at,
  tenantId,
  generation,
  step: stepName,
  status: z.enum(["started", "progress", "done", "failed"]),
  detail: publicDetail.optional(),
  /** 0 to 1, where the step can tell. */
  fraction: z.number().min(0).max(1).optional(),
  /** How long the step took, in milliseconds, when it is done. A larger number could be stored and never read again. */
  tookMs: z.number().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
});

/** A command about this tenant is in the host's journal, and in its ledger under this number. */
export const tenantCommand = z.strictObject({
  type: z.literal("tenant.command"),
  seq,
  at,
  tenantId,
  entry: ledgerEntry,
});

export const tenantState = z.strictObject({
  type: z.literal("tenant.state"),
  seq,
  at,
  tenantId,
  generation,
  state: observedState,
  detail: publicDetail.optional(),
});

export const imageState = z.strictObject({
  runtime: runtimeName,
  state: z.enum(["absent", "building", "ready", "failed"]),
  detail: publicDetail.optional(),
  fraction: z.number().min(0).max(1).optional(),
});
export type ImageState = z.infer<typeof imageState>;

export const hostInventory = z.strictObject({
  type: z.literal("host.inventory"),
  seq,
  at,
  tenants: z.array(z.strictObject({ tenantId, generation, state: observedState })).max(2_000),
  images: z.array(imageState).max(16),
  versions: z.record(z.string().max(32), z.string().max(120)),
  capacity: z.strictObject({
    memoryMiB: z.int().min(0),
    diskMiB: z.int().min(0),
    tenants: z.int().min(0),
  }),
  /** Of the disk that agents' data is on: below the reserve no new volume is made. */
  disk: z.strictObject({ freeMiB: z.int().min(0), reserveMiB: z.int().min(0) }).optional(),
  /** Away: no container can be started, ended or seen. */
  engine: z.enum(["answers", "away"]).optional(),
  /** How often each wall was found changed by somebody else, since the agent began; put back every time. */
  drift: z.record(z.string().max(32), z.int().min(0)).optional(),
});
export type HostInventory = z.infer<typeof hostInventory>;

export const postureOutcome = z.enum(["held", "breached", "unproven", "not_managed"]);
const shortText = (limit: number) => z.string().max(limit);

/** A full run of the attacks on the host's own walls; `evidence` is what was really seen. */
export const hostPosture = z.strictObject({
  type: z.literal("host.posture"),
  seq,
  at,
  tookMs: z.number().min(0),
  attacks: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/),
        layer: z.int().min(1).max(5),
        from: z.enum(["inside", "namespace", "escaped", "outside", "host"]),
        source: shortText(80),
        tries: shortText(120),
        outcome: postureOutcome,
        evidence: shortText(160),
      }),
    )
    .max(150),
  /** Versions that a production host must have; one that has not is told, not refused. */
  gates: z
    .array(z.strictObject({ name: shortText(32), have: shortText(120), need: shortText(120), ok: z.boolean() }))
    .max(16),
});

/** What a tenant has stored, told when it has changed by more than a little. */
export const tenantStorage = z.strictObject({
  type: z.literal("tenant.storage"),
  seq,
  at,
  tenantId,
  /** Of ciphertext, against the hard quota. */
  usedBytes: z.int().min(0),
  limitBytes: z.int().min(1),
  /** Files with another owner than the tenant, or open to others, at the last sweep. */
  strays: z.int().min(0),
  /** Newest last. */
  snapshots: z.array(snapshotName).max(64),
  /** The newest copy in object storage, and when all of it was last read back. */
  backup: z
    .strictObject({
      snapshot: snapshotName,
      at,
      bytes: z.int().min(0),
      verifiedAt: at.nullable(),
      /** The last one that was asked for besides the plan's is in it. */
      number: z.int().min(0),
    })
    .optional(),
  /** The last restore that was asked for: what came of it, and how long the agent was not there. */
  restored: z
    .strictObject({ number: z.int().min(1), from: z.string().max(32), at, tookMs: z.number().min(0), ok: z.boolean() })
    .optional(),
});
export type TenantStorage = z.infer<typeof tenantStorage>;

/** What may be known of an agent: that it is well and when it is busy. Never a chat, a key, a file or a prompt. */
export const runtimeStatus = z.strictObject({
  healthy: z.boolean(),
  /** Its own scheduled jobs, by nothing but their times. */
  jobs: z.array(z.strictObject({ enabled: z.boolean(), nextRunAt: at.nullable() })).max(50),
  /** Channels that are set up, and whether each is connected. */
  channels: z
    .array(z.strictObject({ name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/), connected: z.boolean() }))
    .max(32),
});
export type RuntimeStatus = z.infer<typeof runtimeStatus>;

export const CELL_NAMESPACES = ["net", "mnt", "pid", "ipc", "uts", "cgroup"] as const;

/** What the kernel itself says about an agent's container, by its first process (proc(5)). */
export const cellFacts = z.strictObject({
  uid: z.int().min(0),
  /** How many are in the bounding set: 0, and no program inside can ever gain one. */
  capabilities: z.int().min(0).max(64),
  noNewPrivileges: z.boolean(),
  seccomp: z.enum(["off", "strict", "filter"]),
  readOnlyRoot: z.boolean(),
  /** Where it may write, besides the kernel's own file systems. */
  writable: z.array(z.string().max(200)).max(16),
  /** Which of its namespaces are not the host's. */
  namespaces: z.array(z.enum(CELL_NAMESPACES)).max(CELL_NAMESPACES.length),
});
export type CellFacts = z.infer<typeof cellFacts>;

/** How an agent is that is awake, told when it has changed by more than a little. */
export const tenantStatus = z.strictObject({
  type: z.literal("tenant.status"),
  seq,
  at,
  tenantId,
  memoryMiB: z.int().min(0),
  /** Of one core, since the last look. */
  cpuPercent: z.int().min(0).max(100_000),
  /** Processes and threads together. */
  pids: z.int().min(0),
  /** Requests that were let in since the last status that was told. */
  requests: z.int().min(0).optional(),
  cell: cellFacts.optional(),
  /** That has left it today (UTC). */
  egressMiB: z.int().min(0).optional(),
  /** Null where the runtime did not answer as it should. */
  runtime: runtimeStatus.nullable(),
});
export type TenantStatus = z.infer<typeof tenantStatus>;

/** What a tenant runs from, told when that has changed, or when another image was refused. */
export const tenantImage = z.strictObject({
  type: z.literal("tenant.image"),
  seq,
  at,
  tenantId,
  generation,
  /** Null: made by the host itself. */
  image: imageReference.nullable(),
  /** It did not become ready, so the one above runs again. */
  refused: imageReference.nullable(),
});
export type TenantImage = z.infer<typeof tenantImage>;

/** Nothing is left of a tenant on this host: the host's signed part of the receipt. */
export const tenantReceipt = z.strictObject({
  type: z.literal("tenant.receipt"),
  seq,
  at,
  tenantId,
  generation,
  statement: z.string().max(MAX_RECEIPT_BYTES),
});
export type TenantReceipt = z.infer<typeof tenantReceipt>;

/** An agent that was asked has answered, and nobody waits for it on the line: the edge fetches it. Says nothing of what. */
export const tenantAnswered = z.strictObject({ type: z.literal("tenant.answered"), seq, at, tenantId });

/** What the host's journal knows nothing of, looked for once a day; an empty list is the news that it has looked. */
export const hostLeftovers = z.strictObject({
  type: z.literal("host.leftovers"),
  seq,
  at,
  items: z.array(leftover).max(1_000),
});

export const report = z.discriminatedUnion("type", [
  tenantProgress,
  tenantState,
  hostInventory,
  hostPosture,
  tenantCommand,
  tenantStorage,
  tenantReceipt,
  tenantStatus,
  hostLeftovers,
  tenantImage,
  tenantAnswered,
]);
export type Report = z.infer<typeof report>;
/** A report before the host's journal has numbered it. */
export type UnnumberedReport = Report extends infer R ? (R extends Report ? Omit<R, "seq"> : never) : never;

/** base64url SHA-256 of a compact JWS. */
export const messageHash = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** The signed answer to one command. Reasons are the host's state, never its secrets. */
export const commandResult = z.strictObject({
  type: z.literal("command.result"),
  /** Of the compact JWS that this answers. */
  commandHash: messageHash,
  outcome: z.discriminatedUnion("status", [
    z.strictObject({ status: z.literal("accepted") }),
    z.strictObject({ status: z.literal("already_applied") }),
    z.strictObject({
      status: z.literal("refused"),
      reason: z.enum([
        "generation_stale",
        "generation_conflict",
        "keyset_stale",
        "tenant_purged",
        "jti_reused",
        "journal_unavailable",
      ]),
      have: z.int().optional(),
    }),
  ]),
});
export type CommandResult = z.infer<typeof commandResult>;
export type CommandOutcome = CommandResult["outcome"];
