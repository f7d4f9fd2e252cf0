import type { Context, MiddlewareHandler } from "hono";
import type { World } from "../clock.ts";
import { problem, problemResponse } from "../problem.ts";
import { type PolicyName, Turns, turnHeaders } from "./rules.ts";

const SESSION = /chelar\.session_token=[^;]+/;

/** Whom a call counts for, and how often they may; null: it is not counted. */
type Counting = (c: Context) => { caller: string; policy: PolicyName } | null;

/** Says to every program how many calls are left to it, and refuses those beyond. */
export function turns(world: World, countingOf: Counting): MiddlewareHandler {
  const counted = new Turns();
  return async (c, next) => {
    const counting = countingOf(c);
    if (counting === null) return next();
    const turn = counted.take(counting.caller, counting.policy, world.now());
    if (turn.isOver) c.res = problemResponse(problem("rate_limited", { retryAfterSeconds: turn.resetSeconds }));
    else await next();
    for (const [name, value] of Object.entries(turnHeaders(turn))) c.res.headers.set(name, value);
  };
}

/** Each credential for itself. Whoever shows nothing is not counted, nor whoever runs the platform and sweeps a vault. */
export const byCredential =
  (isUnbounded: (authorization: string) => boolean): Counting =>
  (c) => {
    const caller = c.req.header("authorization") ?? SESSION.exec(c.req.header("cookie") ?? "")?.[0];
    if (caller === undefined || isUnbounded(caller)) return null;
    return { caller, policy: c.req.method === "GET" || c.req.method === "HEAD" ? "reads" : "writes" };
  };
