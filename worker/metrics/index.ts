import { Hono } from "hono";
import { METRICS_CONTENT_TYPE } from "../../schema/protocol/metrics.ts";
import type { World } from "../clock.ts";
import type { Overview } from "../operator/types.ts";
import { problem, problemResponse } from "../problem.ts";
import { Counts, edgeMetrics, type Part } from "./rules.ts";

export { partOf } from "./rules.ts";

export const METRICS_PATH = "/metrics";

export interface MetricsOptions {
  world: World;
  overview(): Promise<Overview>;
  /** Whether an Authorization header shows what a scraper was given; null where nobody was given anything. */
  mayRead: ((authorization: string | undefined) => boolean) | null;
}

/** `GET /metrics` for a Prometheus that holds METRICS_TOKEN. Without that binding there is nothing at this address. */
export function createMetrics({ world, overview, mayRead }: MetricsOptions) {
  const counts = new Counts();
  let isolate: { isolate: string; startedAtMs: number } | undefined;
  return {
    /** Counts an answer and hands it on; one that is there already stays without a promise. */
    counted(answer: Response | Promise<Response>, part: Part): Response | Promise<Response> {
      if (!(answer instanceof Response)) return answer.then((response) => this.counted(response, part));
      counts.add(part, answer.status);
      return answer;
    },
    routes: new Hono().get(METRICS_PATH, async (c) => {
      if (mayRead === null) return problemResponse(problem("not_found"));
      if (!mayRead(c.req.header("authorization"))) return problemResponse(problem("unauthenticated"));
      // Randomness and time are there within a request only.
      isolate ??= { isolate: hex(world.random(4)), startedAtMs: world.now() };
      return c.body(edgeMetrics(await overview(), { ...isolate, counts }), 200, {
        "content-type": METRICS_CONTENT_TYPE,
      });
    }),
  };
}

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
