import { z } from "@hono/zod-openapi";
import { cellFacts, postureOutcome, RUNTIMES } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/types.ts";
import type { Result } from "../problem.ts";

/** What the owner may see of the image that the agent's host is still making ready. */
export const imageView = z.object({
  state: z.enum(["absent", "building", "ready", "failed"]),
  fraction: z.number().min(0).max(1).nullable(),
  detail: z.string().nullable(),
});

/** How the agent is, by its server's last look. Nothing of what it says, hears, reads or knows. */
export const statusView = z.object({
  at: z.iso.datetime(),
  healthy: z.boolean().nullable().openapi({ description: "Null where the runtime did not say." }),
  memoryMiB: z.int(),
  cpuPercent: z.int().openapi({ description: "Of one core." }),
  pids: z.int().openapi({ description: "Processes and threads." }),
  egressMiB: z.int().nullable().openapi({ description: "What has left it today (UTC); null: not told." }),
  jobs: z.int().openapi({ description: "Jobs of its own that are switched on." }),
  nextJobAt: z.iso.datetime().nullable(),
  channels: z.array(z.object({ name: z.string(), connected: z.boolean() })),
  cell: cellFacts.nullable().openapi({ description: "Its container, as the kernel of its server says." }),
});

/** How the agent was at one minute of its last day. */
export const sampleView = z
  .object({
    at: z.iso.datetime(),
    memoryMiB: z.int(),
    cpuPercent: z.int().openapi({ description: "Of one core." }),
    diskMiB: z.int().nullable(),
    requests: z.int().nullable().openapi({ description: "Let in since the sample before." }),
  })
  .openapi("Sample");
export type Sample = z.infer<typeof sampleView>;

/** One agent, as its owner sees it, over the API and on the pages. Times are ISO 8601 in UTC. */
export const tenantView = z
  .object({
    id: z.string(),
    name: z.string(),
    runtime: z.enum(RUNTIMES),
    plan: z.string(),
    hostname: z.string().openapi({ description: "Full host name, without a port." }),
    url: z.url().openapi({ description: "Where the owner opens the agent." }),
    desired: z.enum(["running", "suspended", "stopped", "deleted"]),
    held: z.boolean().openapi({ description: "Stopped because the account does not cover it; its data is kept." }),
    state: z
      .enum([
        "pending",
        "creating",
        "running",
        "asleep",
        "suspended",
        "stopped",
        "failed",
        "stopping",
        "deleting",
        "deleted",
      ])
      .openapi({ description: "What the owner should be told, from what is wanted and what the host last said." }),
    generation: z.int(),
    observedGeneration: z.int(),
    failure: z.string().nullable().openapi({ description: "A sentence for the owner when state is failed." }),
    limits: z.object({
      memoryMiB: z.int(),
      cpuMillis: z.int(),
      pids: z.int(),
      diskMiB: z.int(),
      requestsPerMinute: z.int(),
      openConnections: z.int().openapi({ description: "Requests and WebSockets open at the same time." }),
      egressMiBPerDay: z
        .int()
        .openapi({ description: "All that leaves it in a day (UTC), answers to visitors included." }),
    }),
    storage: z
      .object({
        usedMiB: z.int(),
        limitMiB: z.int(),
        warning: z.enum(["nearly_full", "almost_full", "full"]).nullable(),
      })
      .nullable()
      .openapi({ description: "Against the hard quota, from 80 % on with a warning; null before it is known." }),
    undoUntil: z.iso.datetime().nullable().openapi({
      description: "Deleted, and stopped at once, but until then POST …/undelete brings it back; null otherwise.",
    }),
    runs: z
      .object({
        image: z.string().nullable().openapi({ description: "Wanted; null: what its server makes of the runtime." }),
        running: z.string().nullable(),
        refused: z.string().nullable().openapi({ description: "Did not become ready; the one before runs again." }),
      })
      .nullable()
      .openapi({ description: "The image that it runs from, by its digest; null: what its server makes." }),
    image: imageView.nullable().openapi({ description: "Of this runtime on its host, while pending or creating." }),
    status: statusView.nullable().openapi({ description: "Of an agent that runs or sleeps, once it was looked at." }),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .openapi("Tenant");
export type TenantView = z.infer<typeof tenantView>;

/** One line of the agent's story: a step of its host (`step` as in the protocol's STEPS) or the owner's own action. */
export interface TenantEvent {
  id: number;
  generation: number;
  at: string;
  /** A name of STEPS, or `owner.create`, `owner.start`, `owner.stop`, `owner.restart`, `owner.delete`, `owner.undelete`, `owner.secret`. */
  step: string;
  status: "started" | "progress" | "done" | "failed";
  detail: string | null;
  fraction: number | null;
  tookMs: number | null;
}

/** What may be told about a secret: everything but the secret. */
export const secretView = z
  .object({
    name: z.string(),
    version: z.int(),
    lastFour: z.string(),
    changedAt: z.iso.datetime(),
    changedBy: z.string(),
    deliveredAt: z.iso
      .datetime()
      .nullable()
      .openapi({ description: "When the agent's server last had this version; null before." }),
  })
  .openapi("Secret");
export type SecretView = z.infer<typeof secretView>;

/** The last signed verdict of the agent's server on its own walls: every attack that was tried, and what was seen. */
export const postureView = z
  .object({
    at: z.iso.datetime(),
    tookMs: z.number(),
    held: z.int(),
    breached: z.int(),
    unproven: z.int(),
    notManaged: z.int(),
    attacks: z.array(
      z.object({
        id: z.string(),
        layer: z.int(),
        from: z.string(),
        source: z.string(),
        tries: z.string(),
        held: z.boolean().nullable().openapi({ description: "Null where this server does not keep that wall itself." }),
        outcome: postureOutcome,
        evidence: z.string(),
      }),
    ),
    gates: z.array(z.object({ name: z.string(), have: z.string(), need: z.string(), ok: z.boolean() })),
    drift: z.record(z.string(), z.int()).nullable().openapi({
      description: "How often each wall was found changed and was put back, since the server's agent began.",
    }),
  })
  .openapi("Posture");
export type PostureView = z.infer<typeof postureView>;

/** The commands that the agent's server has accepted, as the hash chain that it keeps of them. */
export const commandsView = z
  .object({
    commands: z.array(
      z.object({
        epoch: z.int(),
        number: z.int(),
        at: z.iso.datetime(),
        type: z.string(),
        generation: z.int(),
        jti: z.string(),
        commandHash: z.string().openapi({ description: "base64url SHA-256 of the signed command as it was received." }),
        previous: z.string(),
        hash: z.string().openapi({ description: "base64url SHA-256 over this entry and the hash of the one before." }),
      }),
    ),
    intact: z.boolean(),
    brokenAt: z.int().nullable().openapi({ description: "The first entry that does not fit." }),
  })
  .openapi("Commands");
export type CommandsView = z.infer<typeof commandsView>;

export const TENANT_ACTIONS = ["start", "stop", "restart", "delete", "undelete"] as const;
export type TenantAction = (typeof TENANT_ACTIONS)[number];

/** `waitUntil` of the request, so that delivery to the host goes on after the answer. */
export type Background = (work: Promise<unknown>) => void;

export interface TenantService {
  /** Where an agent may live. A choice only where there are two. */
  regions(): Promise<string[]>;
  /** Whether this person could give a new agent that name. The creation decides: another may be faster. */
  nameFor(person: Person, name: string): Promise<Result<null>>;
  /** The person's agents, newest first; purged ones are not listed. */
  list(person: Person): Promise<TenantView[]>;
  read(person: Person, id: string): Promise<Result<TenantView>>;
  /** `input`: `{ name, runtime, secrets?: { ANTHROPIC_API_KEY: "…" } }`, not parsed yet. */
  create(person: Person, input: unknown, background: Background, id?: string): Promise<Result<TenantView>>;
  act(person: Person, id: string, action: TenantAction, background: Background): Promise<Result<TenantView>>;
  /** Events with an id above `after`, oldest first, at most 500. */
  events(person: Person, id: string, after: number): Promise<Result<TenantEvent[]>>;
  /** The last 500 of them, oldest first. */
  recent(person: Person, id: string): Promise<Result<TenantEvent[]>>;
  /** How it was during its last day, oldest first; nothing while it sleeps. */
  samples(person: Person, id: string): Promise<Result<Sample[]>>;
  /** What its server has accepted about it. */
  commands(person: Person, id: string): Promise<Result<CommandsView>>;
  /** What its server last found when it attacked its own walls; null before the first time. */
  posture(person: Person, id: string): Promise<Result<PostureView | null>>;
}
