import type { MiddlewareHandler } from "hono";
import type { World } from "../clock.ts";
import { problem, problemResponse } from "../problem.ts";
import { Turns, turnHeaders } from "./rules.ts";

const SESSION = /chelar\.session_token=[^;]+/;

/** Says to every program how many calls are left to it, and refuses those beyond. Whoever shows nothing is not counted. */
export function turns(world: World, isUnbounded: (authorization: string) => boolean): MiddlewareHandler {
  const counted = new Turns();
  return async (c, next) => {
    const credential = c.req.header("authorization") ?? SESSION.exec(c.req.header("cookie") ?? "")?.[0];
    // Whoever runs the platform sweeps a vault in a thousand calls.
    if (credential === undefined || isUnbounded(credential)) return next();
    const turn = counted.take(credential, c.req.method, world.now());
    if (turn.isOver) c.res = problemResponse(problem("rate_limited", { retryAfterSeconds: turn.resetSeconds }));
    else await next();
    for (const [name, value] of Object.entries(turnHeaders(turn))) c.res.headers.set(name, value);
  };
}
