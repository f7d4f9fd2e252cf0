import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Accounts } from "../accounts/index.ts";
import { apiApp, byId, inPath, okJson, operatorOnly, refusals } from "../api/index.ts";
import type { World } from "../clock.ts";
import { backgroundOf, jsonOnly } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import { EXPORT_FORMATS, exportHeaders } from "./export.ts";
import { admit } from "./guard.ts";
import type { OperatorService } from "./index.ts";
import { auditSearch } from "./rules.ts";
import { auditEntry, hostView, overview } from "./types.ts";

type Vars = { Variables: { actor: string } };
const TOKEN_HOLDER = "operator";
const MOST_ENTRIES = 200;

const auditQuery = z.object({
  who: z.string().max(120).optional().openapi({ description: "Who did it: an id, an address, `operator`, `system`." }),
  what: z.string().max(120).optional().openapi({ description: "How the action begins, such as `tenant`." }),
  about: z.string().max(120).optional().openapi({ description: "Whom or what it was done to: an id or an address." }),
  since: z.iso.date().optional(),
  until: z.iso.date().optional().openapi({ description: "The last day, in UTC." }),
});
const below = z.coerce.number().int().min(1).optional();

/** `/api/v1/operator/…`: all that the operator's pages show, by the operator's token or by an operator's own session. */
export function operatorApi(
  service: OperatorService,
  {
    accounts,
    world,
    isOperator,
  }: {
    accounts: Pick<Accounts, "person" | "security">;
    world: Pick<World, "now">;
    isOperator: (authorization: string | undefined) => boolean;
  },
) {
  const app = apiApp<Vars>();
  const operators = async (c: Context<Vars>, next: () => Promise<void>) => {
    const authorization = c.req.header("authorization");
    if (authorization !== undefined) {
      if (!isOperator(authorization)) return problemResponse(problem("unauthenticated"));
      c.set("actor", TOKEN_HOLDER);
      return next();
    }
    const admitted = await admit(c, { accounts, world }, c.req.method === "GET" ? "read" : "act");
    if (admitted.ok) {
      c.set("actor", admitted.person.id);
      return next();
    }
    if (admitted.reason === "stale") return problemResponse(problem("sign_in_again"));
    return problemResponse(problem(admitted.person ? "not_found" : "unauthenticated"));
  };
  const OWN = ["overview", "hosts/:id", "agents/:id/retry", "outbox/:host/retry", "audit", "audit/export"];
  for (const path of OWN) app.use(`/operator/${path}`, jsonOnly, operators);

  const security = operatorOnly;
  const read = createRoute({
    method: "get",
    path: "/operator/overview",
    security,
    responses: { 200: okJson(overview, "Everything at a glance; `findings` is what is wrong"), ...refusals },
  });
  app.openapi(read, async (c) => c.json(await service.overview(), 200));

  const oneHost = createRoute({
    method: "get",
    path: "/operator/hosts/{id}",
    security,
    request: { params: byId },
    responses: { 200: okJson(hostView, "One host"), ...refusals },
  });
  app.openapi(oneHost, async (c) => {
    const host = await service.host(c.req.valid("param").id);
    return host.ok ? c.json(host.value, 200) : (problemResponse(host.problem) as never);
  });

  const retry = createRoute({
    method: "post",
    path: "/operator/agents/{id}/retry",
    security,
    request: { params: byId },
    responses: {
      202: okJson(z.object({ id: z.string(), generation: z.int() }), "Its host has been told to try again"),
      ...refusals,
    },
  });
  app.openapi(retry, async (c) => {
    const done = await service.retryAgent(c.req.valid("param").id, c.var.actor, backgroundOf(c));
    return done.ok ? c.json(done.value, 202) : (problemResponse(done.problem) as never);
  });

  const deliver = createRoute({
    method: "post",
    path: "/operator/outbox/{host}/retry",
    security,
    request: {
      params: z.object({ host: inPath("host") }),
      query: z.object({
        agent: z.string().max(64).optional().openapi({ description: "Absent: about the host itself." }),
      }),
    },
    responses: { 200: okJson(z.object({ delivered: z.boolean() }), "It was said again, now"), ...refusals },
  });
  app.openapi(deliver, async (c) => {
    const about = { hostId: c.req.valid("param").host, tenantId: c.req.valid("query").agent ?? null };
    const done = await service.retryDelivery(about, c.var.actor);
    return done.ok ? c.json(done.value, 200) : (problemResponse(done.problem) as never);
  });

  const audit = createRoute({
    method: "get",
    path: "/operator/audit",
    security,
    request: {
      query: auditQuery.extend({
        below: below.openapi({ description: "`next` of the page before." }),
        limit: z.coerce.number().int().min(1).max(MOST_ENTRIES).default(50),
      }),
    },
    responses: {
      200: okJson(z.object({ entries: z.array(auditEntry), next: z.int().nullable() }), "Newest first"),
      ...refusals,
    },
  });
  app.openapi(audit, async (c) => {
    const query = c.req.valid("query");
    const entries = await service.audit(auditSearch.parse(query), query.below ?? null, query.limit);
    return c.json({ entries, next: entries.length < query.limit ? null : (entries.at(-1)?.id ?? null) }, 200);
  });

  const exported = createRoute({
    method: "get",
    path: "/operator/audit/export",
    security,
    request: { query: auditQuery.extend({ format: z.enum(EXPORT_FORMATS).default("csv") }) },
    responses: {
      200: { description: "All that matches, as CSV or JSON, streamed; the export itself is in the audit" },
      ...refusals,
    },
  });
  app.openapi(exported, async (c) => {
    const query = c.req.valid("query");
    const stream = await service.exportAudit(auditSearch.parse(query), query.format, c.var.actor);
    return c.body(stream, 200, exportHeaders(query.format)) as never;
  });
  return app;
}
