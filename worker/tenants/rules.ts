import { z } from "zod";
import type { tenants } from "../../schema/db/index.ts";
import { enrolRequest, RUNTIMES, refuseSlug, type SlugRefusal } from "../../schema/protocol/index.ts";
import { good, type Problem, problem, type Result, refuse } from "../problem.ts";
import { describeRefusal, parseSecret, type Secret } from "../vault/rules.ts";
import type { TenantAction, TenantView } from "./types.ts";
import type { Waiting } from "./undo.ts";

export type TenantRow = typeof tenants.$inferSelect;

export const createTenantBody = z.strictObject({
  name: z.string().max(200),
  runtime: z.enum(RUNTIMES),
  /** By its digest, and one that the operator has allowed; what hosts make of the runtime when it is not given. */
  image: z.string().max(300).optional(),
  /** Where its server stands; anywhere when it is not given. */
  region: enrolRequest.shape.region.optional(),
  secrets: z.record(z.string().max(64), z.string().max(8_192)).optional(),
});

export interface NewTenant {
  slug: string;
  runtime: (typeof RUNTIMES)[number];
  image: string | undefined;
  region: string | null;
  secrets: { name: string; secret: Secret }[];
}

/** Takes the body of a creation apart: the first thing that is wrong, by its most telling code. */
export function parseNewTenant(input: unknown): Result<NewTenant> {
  const parsed = createTenantBody.safeParse(input);
  if (!parsed.success) return { ok: false, problem: problemOfIssues(parsed.error) };
  const { name, runtime, image, region = null, secrets = {} } = parsed.data;
  const wrong = parseName(name);
  if (!wrong.ok) return wrong;
  const values: NewTenant["secrets"] = [];
  for (const [variable, value] of Object.entries(secrets)) {
    const one = parseSecret(variable, value);
    if (!one.ok) return refuse("invalid_secret", { field: "secrets", detail: describeRefusal(one.refusal) });
    values.push(one);
  }
  return good({ slug: name, runtime, image, region, secrets: values });
}

export function parseName(name: string): Result<string> {
  const refusal = refuseSlug(name);
  return refusal ? { ok: false, problem: problemOfSlug(refusal) } : good(name);
}

/** What zod found, in our codes. Paths only: the values may be secret. */
export function problemOfIssues(error: z.core.$ZodError): Problem {
  const issue = error.issues[0];
  const field = issue?.path.map(String).join(".") || undefined;
  if (field === "runtime")
    return problem("unknown_runtime", { field, detail: `Choose one of: ${RUNTIMES.join(", ")}.` });
  if (field === "name") return problem("invalid_name", { field, detail: "A name is text." });
  if (field?.startsWith("secrets") || field === "value") {
    return problem("invalid_secret", {
      field: field === "value" ? field : "secrets",
      detail: "A key is text of at most 8192 characters.",
    });
  }
  return problem("invalid_body", {
    field,
    detail: issue?.code === "unrecognized_keys" ? "There is an unknown field." : undefined,
  });
}

function problemOfSlug(refusal: SlugRefusal): Problem {
  const field = "name";
  switch (refusal.reason) {
    case "reserved":
      return problem("name_reserved", { field, detail: "This name is kept for the platform." });
    case "too_short":
      return problem("invalid_name", { field, detail: `Use at least ${refusal.min} characters.` });
    case "too_long":
      return problem("invalid_name", { field, detail: `Use at most ${refusal.max} characters.` });
    case "characters":
      return problem("invalid_name", {
        field,
        detail: "Use lower-case letters, digits and single hyphens, a letter first and no hyphen last.",
      });
  }
}

type Wanted = Pick<TenantRow, "desired" | "generation" | "restarts">;

/** A deletion that is on its way, and for how long a new one could be undone. */
export interface Undo {
  waiting: Waiting | null;
  nowMs: number;
  windowMs: number;
  isMoving: boolean;
}
const NO_UNDO: Undo = { waiting: null, nowMs: 0, windowMs: 0, isMoving: false };

export type Transition =
  /** `waiting`: a deletion that begins to wait, or null for one that does no more. */
  | { kind: "change"; to: Wanted & Partial<Pick<TenantRow, "heldFrom">>; waiting?: Waiting | null }
  /** It is wanted already: success without a new generation. */
  | { kind: "unchanged" }
  | { kind: "refused"; reason: "tenant_deleting" | "payment_required" };

/** What an owner's wish makes of the desired state. A wish after deletion is refused; deleting again is success. */
export function decideTransition(
  row: Wanted & Pick<TenantRow, "observed" | "heldFrom">,
  wish: TenantAction | "secret_changed",
  { waiting, nowMs, windowMs, isMoving }: Undo = NO_UNDO,
): Transition {
  if (row.desired === "deleted" || (waiting !== null && wish !== "undelete")) {
    return wish === "delete" ? { kind: "unchanged" } : { kind: "refused", reason: "tenant_deleting" };
  }
  // Only paying lifts it: nobody starts what their account does not cover.
  if (row.heldFrom !== null && (wish === "start" || wish === "restart")) {
    return { kind: "refused", reason: "payment_required" };
  }
  const generation = row.generation + 1;
  const running = { kind: "change", to: { desired: "running", generation, restarts: row.restarts } } as const;
  const again = { kind: "change", to: { desired: "running", generation, restarts: row.restarts + 1 } } as const;
  switch (wish) {
    case "start":
      if (row.desired !== "running") return running;
      // Started already: only a failure gives the host a reason to try again.
      return row.observed === "failed" ? again : { kind: "unchanged" };
    case "restart":
      return again;
    case "stop":
      if (row.desired === "stopped") return { kind: "unchanged" };
      return { kind: "change", to: { desired: "stopped", generation, restarts: row.restarts } };
    case "secret_changed":
      // A stopped agent gets the new key when it is started: it must not be woken by it.
      return { kind: "change", to: { desired: row.desired, generation, restarts: row.restarts + 1 } };
    case "delete": {
      const { restarts, heldFrom } = row;
      if (windowMs === 0) return { kind: "change", to: { desired: "deleted", generation, restarts } };
      // A move has stopped it, not its owner.
      const deleteFrom = heldFrom ?? (isMoving ? "running" : row.desired);
      // Paid for meanwhile, it must not be started on its way out.
      const to = { desired: "stopped", generation, restarts, heldFrom: heldFrom && "stopped" } as const;
      return { kind: "change", to, waiting: { deleteAt: nowMs + windowMs, deleteFrom } };
    }
    case "undelete": {
      if (waiting === null) return { kind: "unchanged" };
      const { deleteFrom } = waiting;
      const { restarts, heldFrom } = row;
      // What the account does not cover comes back as what it was: held.
      const to = heldFrom === null ? { desired: deleteFrom } : { desired: row.desired, heldFrom: deleteFrom };
      return { kind: "change", to: { ...to, generation, restarts }, waiting: null };
    }
  }
}

/** One word for the owner, from what is wanted and what the host last said about it. */
export function displayState(
  row: Pick<TenantRow, "desired" | "generation" | "observed" | "observedGeneration" | "purgedAt">,
  waiting: Waiting | null = null,
): TenantView["state"] {
  const upToDate = row.observedGeneration >= row.generation;
  if (waiting !== null && row.desired !== "deleted") return "deleting";
  if (row.desired === "deleted") return row.purgedAt !== null ? "deleted" : "deleting";
  if (row.observed === "failed" && upToDate) return "failed";
  if (row.desired === "running") {
    if ((row.observed === "running" || row.observed === "asleep") && upToDate) return row.observed;
    return row.observed === "pending" ? "pending" : "creating";
  }
  return row.observed === row.desired && upToDate ? row.desired : "stopping";
}
