import { createRoute, z } from "@hono/zod-openapi";
import { apiApp, okJson, operatorOnly, refusals } from "../api/index.ts";
import { backgroundOf } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { Reaper } from "./reaper.ts";

const sweepView = z
  .object({
    at: z.string(),
    found: z.int(),
    removed: z.int(),
    orphans: z.array(z.object({ what: z.string(), firstSeenAt: z.string() })),
    looked: z.record(z.string(), z.int()),
  })
  .openapi("Sweep");

/** For whoever runs the platform: what the daily sweep found, and one at their own wish. */
export function sweepRoutes(reaper: Reaper, isOperator: (authorization: string | undefined) => boolean) {
  const app = apiApp();
  app.use("/api/v1/operator/sweeps", async (c, next) =>
    isOperator(c.req.header("authorization")) ? next() : problemResponse(problem("unauthenticated")),
  );
  const list = createRoute({
    method: "get",
    path: "/api/v1/operator/sweeps",
    security: operatorOnly,
    responses: { 200: okJson(z.object({ sweeps: z.array(sweepView) }), "The last thirty, newest first"), ...refusals },
  });
  app.openapi(list, async (c) => c.json({ sweeps: await reaper.list() }, 200));
  const now = createRoute({
    method: "post",
    path: "/api/v1/operator/sweeps",
    security: operatorOnly,
    responses: {
      200: okJson(
        sweepView,
        "By what hosts last told; they look anew for the next. Removed is only what was there for a week",
      ),
      ...refusals,
    },
  });
  app.openapi(now, async (c) => {
    backgroundOf(c)(reaper.askHosts());
    return c.json(await reaper.sweep(), 200);
  });
  return app;
}
