import { Hono } from "hono";
import { z } from "zod";
import { jsonOnly } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import { sweep, type VaultContext, vaultStatus, verify } from "./sweep.ts";

const MOST_ROWS = 1_000;
const passBody = z.strictObject({
  after: z.tuple([z.string().max(64), z.string().max(64)]).nullable(),
  limit: z.int().min(1).max(MOST_ROWS),
});

/** `/api/v1/operator/vault`: what `npm run vault` drives. Bounded work per call, since a Worker's time is. */
export function vaultRoutes(context: VaultContext, isOperator: (authorization: string | undefined) => boolean) {
  const app = new Hono().basePath("/operator/vault");
  app.use("*", jsonOnly, async (c, next) => {
    if (!isOperator(c.req.header("authorization"))) return problemResponse(problem("unauthenticated"));
    await next();
  });
  app.get("/", async (c) => c.json(await vaultStatus(context)));
  for (const [path, pass] of Object.entries({ sweep, verify })) {
    app.post(`/${path}`, async (c) => {
      const body = passBody.safeParse(await c.req.json().catch(() => null));
      return body.success ? c.json(await pass(context, body.data)) : problemResponse(problem("invalid_body"));
    });
  }
  return app;
}
