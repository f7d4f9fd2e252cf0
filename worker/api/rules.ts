import { createHash } from "node:crypto";
import { BoundedMap } from "../bounded-map.ts";

/** An opaque key of the caller's: printable ASCII, as a header may carry it. */
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/**
 * How often one caller may call, in a window. What changes something is worth more to whoever stole a credential. A host
 * sends many reports with one call, the longest by fifty: 10,000 that have waited for an outage's end take 200 turns.
 */
const POLICIES = {
  reads: { max: 600, windowSeconds: 60 },
  writes: { max: 120, windowSeconds: 60 },
  reports: { max: 1_200, windowSeconds: 60 },
  enrolments: { max: 30, windowSeconds: 60 },
} as const;
export type PolicyName = keyof typeof POLICIES;

export interface Turn {
  policy: PolicyName;
  max: number;
  windowSeconds: number;
  /** Calls that are left in this window; 0 with `isOver` at the first that is refused. */
  left: number;
  resetSeconds: number;
  isOver: boolean;
}

/**
 * Counts in this isolate's memory alone: exact counts would cost every call a write. So the platform as a whole lets
 * through as many times this as it has isolates at work; what must be exact (sign-in, creation) is counted in the database.
 */
export class Turns {
  readonly #windows = new BoundedMap<string, { from: number; count: number }>(20_000);

  take(caller: string, policy: PolicyName, nowMs: number): Turn {
    const { max, windowSeconds } = POLICIES[policy];
    // A digest: a credential is not kept where a dump of memory would show it.
    const key = `${policy} ${createHash("sha256").update(caller).digest("base64url")}`;
    const known = this.#windows.get(key);
    const isOpen = known !== undefined && nowMs < known.from + windowSeconds * 1000;
    const window = isOpen ? { from: known.from, count: known.count + 1 } : { from: nowMs, count: 1 };
    this.#windows.set(key, window);
    return {
      ...{ policy, max, windowSeconds },
      left: Math.max(0, max - window.count),
      resetSeconds: Math.max(1, Math.ceil((window.from + windowSeconds * 1000 - nowMs) / 1000)),
      isOver: window.count > max,
    };
  }
}

/** draft-ietf-httpapi-ratelimit-headers-10: structured fields, the policy's name as a string. */
export const turnHeaders = ({ policy, max, windowSeconds, left, resetSeconds }: Turn) => ({
  "ratelimit-policy": `"${policy}";q=${max};w=${windowSeconds}`,
  ratelimit: `"${policy}";r=${left};t=${resetSeconds}`,
});

/** How long whoever took a key on has before another may take it over. Its own transaction fails from then on. */
export const LEASE_MS = 60_000;
export const KEPT_MS = 24 * 3_600_000;

export interface Kept {
  request: string;
  claimedAt: number;
  doneAt: number | null;
  answer: string | null;
}

export type Again = "replay" | "other_request" | "in_progress" | "answer_lost";

/** What a call finds whose key somebody else has taken on. */
export function decideAgain(kept: Kept | undefined, request: string, nowMs: number): Again {
  if (!kept) return "in_progress"; // given back a moment ago: the next try takes it on
  if (kept.request !== request) return "other_request";
  if (kept.answer !== null) return "replay";
  // Done, and its answer may still be on its way into the row.
  if (kept.doneAt !== null && nowMs >= kept.claimedAt + LEASE_MS) return "answer_lost";
  return "in_progress";
}

/** Where to look for what was done under a key whose answer was lost: the state of it now, with the status of then. */
export function lookFor(path: string, ownId: string): { path: string; status: 201 | 202 } | null {
  if (path === "/api/v1/tenants") return { path: `/api/v1/tenants/${ownId}`, status: 201 };
  const action = /^(\/api\/v1\/tenants\/[a-z0-9_]+)\/(?:start|stop|restart)$/.exec(path);
  return action ? { path: action[1] as string, status: 202 } : null;
}
