import type { AgentQuestion, RuntimeName, RuntimeStatus } from "../../schema/protocol/index.ts";
import type { Tenant } from "../tenants/layout.ts";

/**
 * What the platform must know of a runtime. A new runtime is one file that fills this in, and one row in `table.ts`;
 * nothing else branches on its name.
 */
export interface RuntimeDefinition {
  name: RuntimeName;
  /** Program and arguments inside the image, null: the image's own; run by the static entrypoint, never by a shell string. */
  command: readonly string[] | null;
  /** Null: the image's own. */
  workingDir: string | null;
  /** Not secret: lies in Docker's state. A tenant's own secrets cannot override any of these names. */
  env: Readonly<Record<string, string>>;
  /** What it gets in place of its owner's keys under their own names; `token` is what {@link authorization} shows it. */
  environment?(env: Readonly<Record<string, string>>, token: string): Record<string, string>;
  /** How this host shows itself to a runtime that wants a secret. */
  authorization?(token: string): Record<string, string>;
  /** Where it listens inside the container. */
  port: number;
  /** Paths that only this host may ask; the gate lets nobody else through to them. */
  closed?: readonly string[];
  /** Files of the read-only mount /chelar/config: name → content. Never holds a secret. Pure: its hash is part of the plan. */
  configFiles(tenant: Tenant): Readonly<Record<string, string>>;
  readiness: {
    path: string;
    /** Sent with each question; see the runtime's file for why. */
    headers: Readonly<Record<string, string>>;
    /** Whatever it answers, it listens. */
    anyAnswer?: true;
    /** What must be so of one that answers: a sentence for its owner where it is not, and then it never is ready. */
    proven?(ask: Ask): Promise<string | null>;
  };
  /** Who else than the kernel and the engine knows what is going on inside; each absent where the runtime cannot tell. */
  hooks?: {
    /** What it is doing that must not be interrupted, or null. */
    busy?(ask: Ask): Promise<string | null>;
    /** How it is: the fields of the protocol and nothing else, whatever more the runtime says. */
    status?(ask: Ask): Promise<RuntimeStatus>;
    /** What it says to somebody's words, as text; null: nothing. For channels that it has no place for itself. */
    answer?(ask: Ask, question: AgentQuestion, key: string): Promise<string | null>;
    /** When its next own job is due, in milliseconds since the epoch, or null. */
    nextRunMs?(ask: Ask): Promise<number | null>;
  };
  /** A start that takes longer than this has failed. */
  startTimeoutSeconds: number;
  /** How long a graceful stop may take before SIGKILL. */
  stopTimeoutSeconds: number;
}

/**
 * One question to a runtime by HTTP; JSON both ways. Rejects when there is no answer, when it is not 2xx, and when it is
 * no JSON: what a tenant says is never more than data.
 */
export type Ask = (question: {
  method?: "GET" | "POST";
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: unknown;
  /** Until it is given up; a few seconds where nothing is said. */
  timeoutMs?: number;
}) => Promise<unknown>;

/** How long an agent may think about one message. */
export const TURN_MS = 10 * 60_000;

/** Mount points inside every container. */
export const DATA_PATH = "/data";
export const CONFIG_PATH = "/chelar/config";
export const ENV_PATH = "/chelar/env";
export const BUSYBOX_PATH = "/chelar/busybox";
/** The environment file in {@link ENV_PATH}. */
export const ENV_FILE = "env";

/** Under this name Caddy tells a runtime who is asking; a client's own copy never survives. */
export const USER_HEADER = "x-chelar-user";

/**
 * Any address that is neither loopback nor routable (TEST-NET-1, RFC 5737): who the platform itself is, towards a
 * runtime that wants to know a client's address.
 */
export const PLATFORM_CLIENT = "192.0.2.1";
