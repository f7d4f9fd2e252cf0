import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import type { OperatorApi } from "../host-agent/bootstrap/index.ts";
import { COMMAND_PATH, ENVELOPE_CONTENT_TYPE } from "../schema/protocol/index.ts";
import { type KeyStatus, keyStatus } from "./rotation.ts";
import { findRunning } from "./running.ts";
import { Refusal } from "./system.ts";
import { type VaultPass, type VaultStatus, vaultPass, vaultStatus } from "./vault-rotation.ts";

/** A host's own words, on their way to a terminal: one that was broken into must not steer it (OSC 52, CSI, bidi). */
const hostText = z.string().transform((text) => text.replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd"));

const host = z.object({
  id: z.string(),
  name: z.string(),
  region: z.string(),
  endpoint: z.string(),
  state: z.string(),
  epoch: z.number(),
  capacity: z.object({ memoryMiB: z.number(), diskMiB: z.number(), tenants: z.number() }),
  lastReportAt: z.string().nullable(),
  images: z.array(z.object({ runtime: z.string(), state: z.string() })),
  inventory: z
    .object({
      at: z.string(),
      tenants: z.array(z.object({ tenantId: z.string(), generation: z.number(), state: z.string() })),
      versions: z.record(hostText, hostText),
    })
    .nullable(),
});
export type ListedHost = z.infer<typeof host>;
const listed = z.object({ hosts: z.array(host), tenantOrigin: z.string() });
const changed = z.object({ id: z.string(), state: z.string(), tenants: z.number() });
const alert = z.object({
  kind: z.string(),
  subject: hostText,
  detail: hostText,
  times: z.number(),
  firstAt: z.string(),
  lastAt: z.string(),
});
export type Alert = z.infer<typeof alert>;
const agentName = z.object({ hostname: z.string().regex(/^[a-z0-9.-]+$/), endpoint: z.url() });
/** What people call themselves is theirs to choose: as little to be trusted on a terminal as a host's words. */
const person = z.object({
  id: z.string(),
  email: hostText,
  role: z.enum(["person", "operator"]),
  confirmed: z.boolean(),
  suspendedAt: z.string().nullable(),
  createdAt: z.string(),
});
type ListedPerson = z.infer<typeof person>;
export const PERSON_CHANGES = ["suspend", "resume", "operator", "person"] as const;
export type PersonChange = (typeof PERSON_CHANGES)[number];
const imageList = z.object({
  images: z.array(z.object({ runtime: z.string(), image: z.string(), allowedAt: z.string() })),
  rollouts: z.array(
    z.object({
      runtime: z.string(),
      image: z.string().nullable(),
      batch: z.number(),
      state: z.string(),
      detail: hostText.nullable(),
    }),
  ),
});
type ImageList = z.infer<typeof imageList>;
const problem = z.object({ title: z.string(), code: z.string(), detail: z.string().optional() });

const TIMEOUT_MS = 15_000;

/** The edge, as its operator asks it. Every answer is checked; every refusal is one sentence. */
export interface Operator extends OperatorApi {
  edge: string;
  list(): Promise<{ hosts: ListedHost[]; tenantOrigin: string }>;
  keys(): Promise<KeyStatus>;
  /** The edge tells its hosts about new keys now, and not when its clock next ticks. */
  distribute(): Promise<void>;
  alerts(): Promise<Alert[]>;
  /** Every agent's host name, with the endpoint of the host that it lives on. */
  names(): Promise<z.infer<typeof agentName>[]>;
  vault: {
    status(): Promise<VaultStatus>;
    /** One bounded call each; `next` is the next call's `after`. */
    sweep(from: { after: VaultPass["next"]; limit: number }): Promise<VaultPass>;
    verify(from: { after: VaultPass["next"]; limit: number }): Promise<VaultPass>;
  };
  people: {
    find(email: string): Promise<ListedPerson>;
    change(id: string, change: PersonChange): Promise<ListedPerson>;
  };
  images: {
    list(): Promise<ImageList>;
    allow(image: { runtime: string; image: string }, allowed: boolean): Promise<void>;
    rollOut(rollout: { runtime: string; image: string | null; batch: number }): Promise<void>;
  };
  /** Destroys an agent that the edge has never heard of. */
  purgeStranger(hostId: string, tenantId: string): Promise<void>;
  change(id: string, action: "drain" | "reopen" | "remove" | "abandon"): Promise<z.infer<typeof changed>>;
}

/** `edge` null: the one that `npm run up` keeps running. The token: CHELAR_OPERATOR_TOKEN, else the stack's own. */
export function openOperator(options: { dir: string; edge: string | null }): Operator {
  const edge = (options.edge ?? findRunning(options.dir).dashboard).replace(/\/+$/, "");
  const token = operatorToken(options.dir);
  const ask = async <T>(method: string, path: string, shape: z.ZodType<T>, sent?: object): Promise<T> => {
    const response = await fetch(`${edge}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: "application/json",
        ...(sent && { "content-type": "application/json" }),
      },
      ...(sent && { body: JSON.stringify(sent) }),
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((error: Error) => {
      throw new Refusal(`the edge does not answer at ${edge}: ${causeOf(error)}.`);
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.status === 401) {
      throw new Refusal(
        `${edge} does not accept this operator token (CHELAR_OPERATOR_TOKEN, or .chelar/edge-secrets.json).`,
      );
    }
    if (!response.ok) {
      const { title, code, detail } = problem.safeParse(body).data ?? { title: "no reason given", code: "" };
      throw new Refusal(`the edge refuses (${response.status} ${code}): ${detail ?? title}`);
    }
    const parsed = shape.safeParse(body);
    if (!parsed.success) throw new Refusal(`${edge}${path} gave no answer that an edge would give.`);
    return parsed.data;
  };
  /** Every page of a list. */
  const askAll = async <T>(path: string, name: string, item: z.ZodType<T>): Promise<T[]> => {
    const all: T[] = [];
    for (let cursor = ""; ; ) {
      const page = await ask(
        "GET",
        `${path}${cursor}`,
        z.object({ [name]: z.array(item), next: z.string().nullable().default(null) }),
      );
      all.push(...(page[name] as T[]));
      if (page.next === null) return all;
      cursor = `?cursor=${page.next}`;
    }
  };
  const list = async () => {
    const { tenantOrigin } = await ask("GET", "/api/v1/hosts?limit=1", listed);
    return { hosts: await askAll("/api/v1/hosts", "hosts", host), tenantOrigin };
  };
  return {
    edge,
    list,
    hosts: async () => (await list()).hosts,
    enrolmentToken: async () =>
      (await ask("POST", "/api/v1/operator/hosts/tokens", z.object({ token: z.string() }))).token,
    keys: () => ask("GET", "/api/v1/operator/keys", keyStatus),
    distribute: async () => void (await ask("POST", "/api/v1/operator/keys/distribute", z.null())),
    alerts: () => askAll("/api/v1/operator/alerts", "alerts", alert),
    names: () => askAll("/api/v1/operator/names", "names", agentName),
    async purgeStranger(hostId, tenantId) {
      const path = `/api/v1/operator/hosts/${encodeURIComponent(hostId)}/strangers/${encodeURIComponent(tenantId)}`;
      await ask("DELETE", path, z.object({ tenantId: z.string() }));
    },
    people: {
      find: (email) => ask("GET", `/api/v1/operator/people?email=${encodeURIComponent(email)}`, person),
      change: (id, change) => ask("POST", `/api/v1/operator/people/${encodeURIComponent(id)}/${change}`, person),
    },
    vault: {
      status: () => ask("GET", "/api/v1/operator/vault", vaultStatus),
      sweep: (from) => ask("POST", "/api/v1/operator/vault/sweep", vaultPass, from),
      verify: (from) => ask("POST", "/api/v1/operator/vault/verify", vaultPass, from),
    },
    images: {
      list: () => ask("GET", "/api/v1/operator/images", imageList),
      allow: async (image, allowed) =>
        void (await ask(allowed ? "PUT" : "DELETE", "/api/v1/operator/images", z.null(), image)),
      rollOut: async (rollout) =>
        void (await ask("POST", "/api/v1/operator/rollouts", z.object({ id: z.string() }), rollout)),
    },
    change: (id, action) => ask("POST", `/api/v1/operator/hosts/${encodeURIComponent(id)}/${action}`, changed),
    knock,
  };
}

/** An unsigned command: the host agent behind Caddy refuses it, and nobody else answers in its words. */
async function knock(endpoint: string): Promise<string | null> {
  const response = await fetch(`${endpoint}${COMMAND_PATH}`, {
    method: "POST",
    headers: { "content-type": ENVELOPE_CONTENT_TYPE },
    body: "knock",
    redirect: "error",
    signal: AbortSignal.timeout(5_000),
  }).catch((error: Error) => error);
  if (response instanceof Error) return `does not answer: ${causeOf(response)}`;
  const answer = z.object({ code: z.string() }).safeParse(await response.json().catch(() => null));
  return response.status >= 400 && response.status < 500 && answer.success
    ? null
    : `answers ${response.status}, but not in the host agent's words`;
}

function operatorToken(dir: string): string {
  if (process.env.CHELAR_OPERATOR_TOKEN) return process.env.CHELAR_OPERATOR_TOKEN;
  const file = `${dir}/edge-secrets.json`;
  if (!existsSync(file)) {
    throw new Refusal(`an operator token is needed: set CHELAR_OPERATOR_TOKEN, or run where ${file} is.`);
  }
  return z.object({ OPERATOR_TOKEN: z.string() }).parse(JSON.parse(readFileSync(file, "utf8"))).OPERATOR_TOKEN;
}

const causeOf = (error: Error): string => (error.cause as Error | undefined)?.message ?? error.message;
