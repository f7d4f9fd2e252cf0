import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { type Accounts, allows, type Caller } from "../accounts/index.ts";
import { apiApp, byId, inPath, jsonBody, okJson, refusals, anyone as security } from "../api/index.ts";
import { backgroundOf, jsonOnly, utf8Only } from "../http.ts";
import { problem, problemResponse, type Result } from "../problem.ts";
import { type ChannelsService, channelView } from "./types.ts";

const byKind = byId.extend({ kind: inPath("kind") });
const byPerson = byKind.extend({ person: inPath("person") });
const typed = z.strictObject({
  token: z.string().max(500),
  secret: z
    .string()
    .max(200)
    .optional()
    .openapi({ description: "Slack's signing secret; the secret of the app for WhatsApp." }),
  account: z.string().max(40).optional().openapi({ description: "WhatsApp: the id of the phone number." }),
});
const BASE = "/tenants/{id}/channels";

/** `/api/v1/tenants/{id}/channels`: what an owner does with them. */
export function channelRoutes({ service, accounts }: { service: ChannelsService; accounts: Pick<Accounts, "caller"> }) {
  const app = apiApp<{ Variables: { caller: Caller } }>();
  for (const path of ["/tenants/:id/channels", "/tenants/:id/channels/*"]) {
    app.use(path, jsonOnly, utf8Only, async (c, next) => {
      const caller = await accounts.caller(c.req.raw.headers);
      if (!caller) return problemResponse(problem("unauthenticated"));
      if (!allows(caller, c.req.method)) return problemResponse(problem("insufficient_scope"));
      c.set("caller", caller);
      await next();
    });
  }
  const done = (c: Context, result: Result<null>) =>
    (result.ok ? c.body(null, 202) : problemResponse(result.problem)) as never;
  const accepted = (description: string) => ({ 202: { description }, ...refusals });

  const list = createRoute({
    method: "get",
    path: BASE,
    security,
    request: { params: byId },
    responses: { 200: okJson(z.object({ channels: z.array(channelView) }), "At most one of each kind"), ...refusals },
  });
  app.openapi(list, async (c) => {
    const found = await service.list(c.var.caller.person, c.req.valid("param").id);
    return (found.ok ? c.json({ channels: found.value }, 200) : problemResponse(found.problem)) as never;
  });

  const connect = createRoute({
    method: "put",
    path: `${BASE}/{kind}`,
    security,
    request: { params: byKind, ...jsonBody(typed) },
    responses: {
      200: okJson(channelView, "Its provider knows the token; an agent that speaks for itself starts again with it"),
      ...refusals,
    },
  });
  app.openapi(connect, async (c) => {
    const { id, kind } = c.req.valid("param");
    const connected = await service.connect(c.var.caller.person, id, kind, c.req.valid("json"), backgroundOf(c));
    return (connected.ok ? c.json(connected.value, 200) : problemResponse(connected.problem)) as never;
  });

  const disconnect = createRoute({
    method: "delete",
    path: `${BASE}/{kind}`,
    security,
    request: { params: byKind },
    responses: accepted("Gone, with its token and with what still waited"),
  });
  app.openapi(disconnect, async (c) => {
    const { id, kind } = c.req.valid("param");
    return done(c, await service.disconnect(c.var.caller.person, id, kind, backgroundOf(c)));
  });

  const pairing = createRoute({
    method: "post",
    path: `${BASE}/{kind}/pairing`,
    security,
    request: { params: byKind },
    responses: {
      200: okJson(
        z.object({ code: z.string(), until: z.iso.datetime() }),
        "Whoever sends it to the bot is heard; once",
      ),
      ...refusals,
    },
  });
  app.openapi(pairing, async (c) => {
    const { id, kind } = c.req.valid("param");
    const opened = await service.openPairing(c.var.caller.person, id, kind);
    return (opened.ok ? c.json(opened.value, 200) : problemResponse(opened.problem)) as never;
  });

  for (const [method, act, description] of [
    ["put", "allow", "Is heard from now on"],
    ["delete", "disallow", "Is not heard any more"],
  ] as const) {
    const route = createRoute({
      method,
      path: `${BASE}/{kind}/people/{person}`,
      security,
      request: { params: byPerson },
      responses: accepted(description),
    });
    app.openapi(route, async (c) => {
      const { id, kind, person } = c.req.valid("param");
      return done(c, await service[act](c.var.caller.person, id, kind, person, backgroundOf(c)));
    });
  }

  const resume = createRoute({
    method: "post",
    path: `${BASE}/{kind}/resume`,
    security,
    request: { params: byKind, ...jsonBody(z.strictObject({ conversation: z.string().max(64) })) },
    responses: accepted("The conversation goes on"),
  });
  app.openapi(resume, async (c) => {
    const { id, kind } = c.req.valid("param");
    return done(c, await service.resume(c.var.caller.person, id, kind, c.req.valid("json").conversation));
  });

  return app;
}
