import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { type Accounts, allows, type Person } from "../accounts/index.ts";
import {
  apiApp,
  byId,
  inPath,
  jsonBody,
  nextView,
  okJson,
  pageOf,
  pageQuery,
  refusals,
  anyone as security,
} from "../api/index.ts";
import { backgroundOf, jsonOnly, utf8Only } from "../http.ts";
import { type Problem, problem, problemResponse, type Result } from "../problem.ts";
import type { News } from "./news.ts";
import { createTenantBody, problemOfIssues } from "./rules.ts";
import type { FullTenantService } from "./service.ts";
import { streamTenant } from "./stream.ts";
import {
  commandsView,
  postureView,
  sampleView,
  secretView,
  TENANT_ACTIONS,
  type TenantView,
  tenantView,
} from "./types.ts";

/** `ownId`: of what is created under an idempotency key, so that a second call finds it. */
type Vars = { Variables: { person: Person; ownId?: string } };

const bySecret = byId.extend({ name: inPath("name") });

/** `/api/v1/tenants`: parse → act → render, nothing else. */
export function tenantRoutes({
  service,
  accounts,
  news,
}: {
  service: FullTenantService;
  news: News;
  accounts: Pick<Accounts, "caller">;
}) {
  const app = apiApp<Vars>(problemOfIssues);

  app.use("*", jsonOnly, utf8Only, async (c, next) => {
    const keep = (cookie: string) => c.header("set-cookie", cookie, { append: true });
    const caller = await accounts.caller(c.req.raw.headers, keep);
    if (!caller) return problemResponse(problem("unauthenticated"));
    if (!allows(caller, c.req.method)) return problemResponse(problem("insufficient_scope"));
    c.set("person", caller.person);
    await next();
  });

  const list = createRoute({
    method: "get",
    path: "/",
    security,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ tenants: z.array(tenantView), ...nextView }), "Your agents, newest first"),
      ...refusals,
    },
  });
  app.openapi(list, async (c) => {
    const newest = ({ createdAt, id }: TenantView) => `${createdAt} ${id}`;
    const { page, next } = pageOf(await service.list(c.var.person), c.req.valid("query"), newest, "falling");
    return c.json({ tenants: page, next }, 200);
  });

  const create = createRoute({
    method: "post",
    path: "/",
    security,
    request: jsonBody(createTenantBody),
    responses: { 201: okJson(tenantView, "Accepted; its host is at work"), ...refusals },
  });
  app.openapi(create, async (c) => {
    const created = await service.create(c.var.person, c.req.valid("json"), backgroundOf(c), c.var.ownId);
    if (!created.ok) return problemResponse(created.problem) as never;
    return c.json(created.value, 201, { location: `/api/v1/tenants/${created.value.id}` });
  });

  const read = createRoute({
    method: "get",
    path: "/{id}",
    security,
    request: { params: byId },
    responses: { 200: okJson(tenantView, "The agent"), ...refusals },
  });
  app.openapi(read, async (c) => answer(c, await service.read(c.var.person, c.req.valid("param").id)) as never);

  for (const action of TENANT_ACTIONS) {
    const isDelete = action === "delete";
    const route = createRoute({
      method: isDelete ? "delete" : "post",
      path: isDelete ? "/{id}" : `/{id}/${action}`,
      security,
      request: { params: byId },
      responses: { 202: okJson(tenantView, "Accepted; follow the events"), ...refusals },
    });
    app.openapi(route, async (c) => {
      const acted = await service.act(c.var.person, c.req.valid("param").id, action, backgroundOf(c));
      return answer(c, acted, 202) as never;
    });
  }

  const upgrade = createRoute({
    method: "post",
    path: "/{id}/upgrade",
    security,
    request: { params: byId, ...jsonBody(z.strictObject({ image: z.string().max(300).nullish() })) },
    responses: {
      202: okJson(tenantView, "Accepted: a snapshot, then the other image, and the one before it where that fails"),
      ...refusals,
    },
  });
  app.openapi(upgrade, async (c) => {
    const { image } = c.req.valid("json");
    const upgraded = await service.upgrade(c.var.person, c.req.valid("param").id, image, backgroundOf(c));
    return answer(c, upgraded, 202) as never;
  });

  const events = createRoute({
    method: "get",
    path: "/{id}/events",
    security,
    request: {
      params: byId,
      headers: z.object({ "last-event-id": z.string().optional() }),
    },
    responses: {
      200: {
        description: "Events `step` (id, data: Event) and `state` (data: Tenant); resumes after Last-Event-ID",
        content: { "text/event-stream": { schema: z.string() } },
      },
      ...refusals,
    },
  });
  app.openapi(events, async (c) => {
    const { person } = c.var;
    const stillSignedIn = async () => (await accounts.caller(c.req.raw.headers))?.person.sessionId === person.sessionId;
    return (await streamTenant(c, { service, person, id: c.req.valid("param").id, stillSignedIn, news })) as never;
  });

  const secrets = createRoute({
    method: "get",
    path: "/{id}/secrets",
    security,
    request: { params: byId, query: pageQuery },
    responses: {
      200: okJson(z.object({ secrets: z.array(secretView), ...nextView }), "Names and versions, never values"),
      ...refusals,
    },
  });
  app.openapi(secrets, async (c) => {
    const found = await service.secrets(c.var.person, c.req.valid("param").id);
    if (!found.ok) return problemResponse(found.problem) as never;
    const { page, next } = pageOf(found.value, c.req.valid("query"), ({ name }) => name);
    return c.json({ secrets: page, next }, 200);
  });

  const commands = createRoute({
    method: "get",
    path: "/{id}/commands",
    security,
    request: { params: byId },
    responses: { 200: okJson(commandsView, "What its server has accepted about it, oldest first"), ...refusals },
  });
  app.openapi(commands, async (c) => answer(c, await service.commands(c.var.person, c.req.valid("param").id)) as never);

  const secret = createRoute({
    method: "get",
    path: "/{id}/secrets/{name}",
    security,
    request: { params: bySecret },
    responses: { 200: okJson(secretView, "What may be told of it"), ...refusals },
  });
  app.openapi(secret, async (c) => {
    const { id, name } = c.req.valid("param");
    return answer(c, await service.secret(c.var.person, id, name)) as never;
  });

  const removeSecret = createRoute({
    method: "delete",
    path: "/{id}/secrets/{name}",
    security,
    request: { params: bySecret },
    responses: { 204: { description: "It is gone; the agent starts again without it" }, ...refusals },
  });
  app.openapi(removeSecret, async (c) => {
    const { id, name } = c.req.valid("param");
    const removed = await service.removeSecret(c.var.person, id, name, backgroundOf(c));
    return (removed.ok ? c.body(null, 204) : problemResponse(removed.problem)) as never;
  });

  const samples = createRoute({
    method: "get",
    path: "/{id}/samples",
    security,
    request: { params: byId },
    responses: {
      200: okJson(z.object({ samples: z.array(sampleView) }), "How it was during its last day, oldest first"),
      ...refusals,
    },
  });
  app.openapi(samples, async (c) => {
    const found = await service.samples(c.var.person, c.req.valid("param").id);
    return (found.ok ? c.json({ samples: found.value }, 200) : problemResponse(found.problem)) as never;
  });

  const posture = createRoute({
    method: "get",
    path: "/{id}/posture",
    security,
    request: { params: byId },
    responses: {
      200: okJson(
        z.object({ posture: postureView.nullable() }),
        "What the agent's server last found when it attacked its own walls; null before the first time",
      ),
      ...refusals,
    },
  });
  app.openapi(posture, async (c) => {
    const found = await service.posture(c.var.person, c.req.valid("param").id);
    return (found.ok ? c.json({ posture: found.value }, 200) : problemResponse(found.problem)) as never;
  });

  const putSecret = createRoute({
    method: "put",
    path: "/{id}/secrets/{name}",
    security,
    request: {
      params: bySecret,
      ...jsonBody(z.strictObject({ value: z.string().max(8_192) })),
    },
    responses: { 200: okJson(secretView, "Sealed; on its way to the agent"), ...refusals },
  });
  app.openapi(putSecret, async (c) => {
    const { id, name } = c.req.valid("param");
    const { value } = c.req.valid("json");
    return answer(c, await service.putSecret(c.var.person, id, name, value, backgroundOf(c))) as never;
  });

  return app;
}

function answer<T extends object>(c: Context, result: Result<T>, status: 200 | 202 = 200): Response {
  return result.ok ? c.json(result.value, status) : problemResponse(result.problem satisfies Problem);
}
