import { createRoute, z } from "@hono/zod-openapi";
import { imageReference, runtimeName } from "../../schema/protocol/index.ts";
import { apiApp, jsonBody, okJson, operatorOnly, refusals } from "../api/index.ts";
import { jsonOnly } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { Upgrades } from "./upgrades.ts";

const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString());

const rolloutView = z.object({
  id: z.string(),
  runtime: z.string(),
  image: z.string().nullable().openapi({ description: "Null: what hosts make." }),
  batch: z.int(),
  state: z.enum(["running", "done", "stopped"]),
  detail: z.string().nullable(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
});
const imagesView = z.object({
  images: z.array(z.object({ runtime: z.string(), image: z.string(), allowedAt: z.iso.datetime() })),
  rollouts: z.array(rolloutView),
});
const named = z.strictObject({ runtime: runtimeName, image: imageReference });

/** `/api/v1/operator/images` and `/rollouts`: what agents may run from, and the way of a new image to all of them. */
export function upgradeRoutes(upgrades: Upgrades, isOperator: (authorization: string | undefined) => boolean) {
  const app = apiApp();
  for (const path of ["/operator/images", "/operator/rollouts"]) {
    app.use(path, jsonOnly, async (c, next) =>
      isOperator(c.req.header("authorization")) ? next() : problemResponse(problem("unauthenticated")),
    );
  }
  const security = operatorOnly;

  const list = createRoute({
    method: "get",
    path: "/operator/images",
    security,
    responses: { 200: okJson(imagesView, "Images that are allowed, newest first, and the last rollouts"), ...refusals },
  });
  app.openapi(list, async (c) => {
    const { images, rollouts } = await upgrades.list();
    return c.json(
      {
        images: images.map((row) => ({ ...row, allowedAt: iso(row.allowedAt) ?? "" })),
        rollouts: rollouts.map((row) => ({ ...row, startedAt: iso(row.startedAt) ?? "", endedAt: iso(row.endedAt) })),
      },
      200,
    );
  });

  for (const [method, allowed] of [
    ["put", true],
    ["delete", false],
  ] as const) {
    const one = createRoute({
      method,
      path: "/operator/images",
      security,
      request: jsonBody(named),
      responses: { 204: { description: allowed ? "Agents may run from it" : "No new agent may" }, ...refusals },
    });
    app.openapi(one, async (c) => {
      const { runtime, image } = c.req.valid("json");
      await upgrades.allow(runtime, image, allowed);
      return c.body(null, 204);
    });
  }

  const begin = createRoute({
    method: "post",
    path: "/operator/rollouts",
    security,
    request: jsonBody(
      z.strictObject({ runtime: runtimeName, image: imageReference.nullable(), batch: z.int().min(1).max(50) }),
    ),
    responses: { 202: okJson(z.object({ id: z.string() }), "It begins within a minute"), ...refusals },
  });
  app.openapi(begin, async (c) => {
    const { runtime, image, batch } = c.req.valid("json");
    const begun = await upgrades.rollOut(runtime, image, batch);
    return (begun.ok ? c.json(begun.value, 202) : problemResponse(begun.problem)) as never;
  });
  return app;
}
