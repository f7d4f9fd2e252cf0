/**
 * Errors over HTTP are problem documents (RFC 9457) with a stable `code`. One closed table says what each code means
 * on the wire; nothing else in the edge chooses a status.
 */
const TABLE = {
  invalid_body: [400, "The request is not what this route accepts."],
  body_too_large: [413, "The request body is too large: at most 64 KiB are accepted."],
  unsupported_media_type: [415, "The request body must be application/json."],
  invalid_name: [422, "This name cannot be used."],
  name_reserved: [422, "This name is reserved."],
  name_taken: [409, "This name is taken."],
  unknown_runtime: [422, "There is no such runtime."],
  image_not_allowed: [422, "Nothing may run from this image."],
  unknown_region: [422, "There is no server in this region."],
  invalid_secret: [422, "This secret cannot be used."],
  unauthenticated: [401, "Sign in first."],
  payment_required: [402, "The account does not cover this agent."],
  payment_declined: [402, "The payment was declined."],
  payments_unavailable: [503, "The payment provider does not answer right now."],
  already_subscribed: [409, "There is a subscription already."],
  not_subscribed: [409, "There is no subscription."],
  sign_in_again: [403, "Sign in again first: this needs a fresh session."],
  insufficient_scope: [403, "This key may not do that."],
  not_owner: [403, "This agent is not yours."],
  csrf_refused: [403, "The request did not come from this site."],
  host_refused: [403, "The message was refused."],
  enrolment_refused: [403, "The enrolment was refused."],
  idempotency_key_reused: [422, "This idempotency key was used for another request."],
  idempotency_in_progress: [409, "The same request is being carried out right now."],
  already_done: [409, "This was done, but its answer was lost: look at what there is now."],
  not_found: [404, "There is no such thing here."],
  method_not_allowed: [405, "This route does not answer that method."],
  not_a_stranger: [409, "The agent has an owner here: it is the owner's to delete."],
  host_away: [503, "The host did not take the command. Nothing was done; say it again."],
  host_not_empty: [409, "The host still holds agents."],
  tenant_moving: [409, "The agent is on its way to another server."],
  no_such_copy: [409, "There is no such snapshot or copy of this agent."],
  tenant_deleting: [409, "The agent is being deleted."],
  not_failed: [409, "Nothing has failed here."],
  too_many_tenants: [409, "The plan does not allow another agent."],
  too_many_keys: [409, "There is no room for another key."],
  rate_limited: [429, "Too many attempts. Wait a moment."],
  no_capacity: [503, "No server has room for another agent right now."],
  channel_unavailable: [503, "The channel's provider does not answer right now."],
  door_unavailable: [503, "Nobody can be let in right now."],
  internal: [500, "Something went wrong on our side."],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemCode = keyof typeof TABLE;
export const PROBLEM_CODES = Object.keys(TABLE) as ProblemCode[];

export interface Problem {
  type: string;
  title: string;
  status: (typeof TABLE)[ProblemCode][0];
  code: ProblemCode;
  /** A sentence for the caller. Never holds a value that was sent as a secret. */
  detail?: string;
  /** Which part of the body is wrong: `name`, `secrets.ANTHROPIC_API_KEY`. */
  field?: string;
  retryAfterSeconds?: number;
}

export function problem(
  code: ProblemCode,
  more: Pick<Problem, "detail" | "field" | "retryAfterSeconds"> = {},
): Problem {
  const [status, title] = TABLE[code];
  return { type: `urn:chelar:problem:${code}`, title, status, code, ...more };
}

/** What an operation of a room answers: the value, or what the caller may know about why not. */
export type Result<T> = { ok: true; value: T } | { ok: false; problem: Problem };

export const good = <T>(value: T): Result<T> => ({ ok: true, value });
export const refuse = (
  code: ProblemCode,
  more?: Pick<Problem, "detail" | "field" | "retryAfterSeconds">,
): { ok: false; problem: Problem } => ({ ok: false, problem: problem(code, more) });

export function problemResponse(it: Problem): Response {
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (it.retryAfterSeconds) headers.set("retry-after", String(it.retryAfterSeconds));
  return new Response(JSON.stringify(it), { status: it.status, headers });
}
