import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import {
  anyone,
  apiApp,
  byId,
  jsonBody,
  nextView,
  okJson,
  operatorOnly,
  pageOf,
  pageQuery,
  refusals,
  sessionOnly as session,
} from "../api/index.ts";
import { jsonOnly } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { Accounts, Caller } from "./index.ts";
import { newKeyBody } from "./keys.ts";
import type { PersonChange } from "./store.ts";
import { scope } from "./types.ts";

type Vars = { Variables: { caller: Caller } };

const meView = z
  .object({ id: z.string(), email: z.string(), name: z.string(), role: z.enum(["person", "operator"]) })
  .openapi("Me");
const sessionView = z
  .object({
    id: z.string(),
    createdAt: z.string(),
    expiresAt: z.string(),
    address: z.string().nullable(),
    browser: z.string().nullable(),
    current: z.boolean(),
  })
  .openapi("Session");
const keyView = z
  .object({
    id: z.string(),
    name: z.string(),
    hint: z.string(),
    scopes: z.array(scope),
    createdAt: z.string(),
    expiresAt: z.string(),
  })
  .openapi("ApiKey");
const tokenView = z.object({ token: z.string(), expiresAt: z.string() }).openapi("Token");

/** `/api/v1/me`, `/sessions`, `/keys` and `/token`: the signed-in person's own account. */
export function accountApi(accounts: Accounts) {
  const app = apiApp<Vars>();
  const signedIn = (only: "session" | "any") => async (c: Context<Vars>, next: () => Promise<void>) => {
    const found = await accounts.caller(c.req.raw.headers, (cookie) =>
      c.header("set-cookie", cookie, { append: true }),
    );
    if (!found) return problemResponse(problem("unauthenticated"));
    // A key opens neither more keys nor the list of those who are in: whoever stole one must not dig in.
    if (only === "session" && found.scopes !== null) return problemResponse(problem("insufficient_scope"));
    c.set("caller", found);
    await next();
  };
  for (const path of ["/sessions", "/sessions/*", "/keys", "/keys/*"]) app.use(path, jsonOnly, signedIn("session"));
  for (const path of ["/me", "/token"]) app.use(path, jsonOnly, signedIn("any"));

  const me = createRoute({
    method: "get",
    path: "/me",
    security: anyone,
    responses: { 200: okJson(meView, "Who this is"), ...refusals },
  });
  app.openapi(me, (c) => {
    const { id, email, name, role } = c.var.caller.person;
    return c.json({ id, email, name, role }, 200);
  });

  const token = createRoute({
    method: "post",
    path: "/token",
    security: anyone,
    responses: {
      201: okJson(tokenView, "A JWT (Ed25519, see /.well-known/jwks.json) for at most 15 minutes"),
      ...refusals,
    },
  });
  app.openapi(token, async (c) => {
    const issued = await accounts.issueToken(c.var.caller, c.req.header("authorization") ?? null);
    return c.json({ token: issued.token, expiresAt: new Date(issued.expiresAtMs).toISOString() }, 201);
  });

  const sessions = createRoute({
    method: "get",
    path: "/sessions",
    security: session,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ sessions: z.array(sessionView), ...nextView }), "Live sessions, newest first"),
      ...refusals,
    },
  });
  app.openapi(sessions, async (c) => {
    const security = await accounts.security(c.var.caller.person);
    const { page, next } = pageOf(security.sessions, c.req.valid("query"), newest, "falling");
    return c.json({ sessions: page, next }, 200);
  });

  const endSession = createRoute({
    method: "delete",
    path: "/sessions/{id}",
    security: session,
    request: { params: byId },
    responses: { 204: { description: "It has ended, everywhere, within 5 s" }, ...refusals },
  });
  app.openapi(endSession, async (c) => {
    await accounts.endSessions(c.var.caller.person, c.req.valid("param").id);
    return c.body(null, 204);
  });

  const endOthers = createRoute({
    method: "delete",
    path: "/sessions",
    security: session,
    responses: { 204: { description: "All but this one have ended" }, ...refusals },
  });
  app.openapi(endOthers, async (c) => {
    await accounts.endSessions(c.var.caller.person, null);
    return c.body(null, 204);
  });

  const keys = createRoute({
    method: "get",
    path: "/keys",
    security: session,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ keys: z.array(keyView), ...nextView }), "Your API keys, newest first"),
      ...refusals,
    },
  });
  app.openapi(keys, async (c) => {
    const { keys } = await accounts.security(c.var.caller.person);
    const { page, next } = pageOf(keys, c.req.valid("query"), newest, "falling");
    return c.json({ keys: page, next }, 200);
  });

  const createKey = createRoute({
    method: "post",
    path: "/keys",
    security: session,
    request: jsonBody(newKeyBody),
    responses: { 201: okJson(keyView.extend({ key: z.string() }), "The key, shown this once"), ...refusals },
  });
  app.openapi(createKey, async (c) => {
    const made = await accounts.createKey(c.var.caller.person, c.req.valid("json"));
    return made.ok ? c.json(made.value, 201) : (problemResponse(made.problem) as never);
  });

  const dropKey = createRoute({
    method: "delete",
    path: "/keys/{id}",
    security: session,
    request: { params: byId },
    responses: { 204: { description: "It is worth nothing within 5 s, nor are its tokens" }, ...refusals },
  });
  app.openapi(dropKey, async (c) => {
    await accounts.dropKey(c.var.caller.person, c.req.valid("param").id);
    return c.body(null, 204);
  });
  return app;
}

const newest = ({ createdAt, id }: { createdAt: string; id: string }) => `${createdAt} ${id}`;

const CHANGES = ["suspend", "resume", "operator", "person"] as const satisfies PersonChange[];
const operatedView = z
  .object({
    ...meView.shape,
    confirmed: z.boolean(),
    suspendedAt: z.string().nullable(),
    createdAt: z.string(),
  })
  .openapi("Person");

/** `/api/v1/operator/people/…`: for whoever runs the platform, by the operator's token or role. */
export function peopleRoutes({ operator }: Accounts, isOperator: (authorization: string | undefined) => boolean) {
  const app = apiApp();
  app.use("/operator/people/*", async (c, next) =>
    isOperator(c.req.header("authorization")) ? next() : problemResponse(problem("unauthenticated")),
  );

  const find = createRoute({
    method: "get",
    path: "/operator/people",
    security: operatorOnly,
    request: { query: z.object({ email: z.string().max(254) }) },
    responses: { 200: okJson(operatedView, "Whoever has this address"), ...refusals },
  });
  app.openapi(find, async (c) => {
    const found = await operator.find({ email: c.req.valid("query").email });
    return found ? c.json(found, 200) : (problemResponse(problem("not_found")) as never);
  });

  for (const change of CHANGES) {
    const route = createRoute({
      method: "post",
      path: `/operator/people/{id}/${change}`,
      security: operatorOnly,
      request: { params: byId },
      responses: { 200: okJson(operatedView, CHANGE_WORDS[change]), ...refusals },
    });
    app.openapi(route, async (c) => {
      const done = await operator.change(c.req.valid("param").id, change);
      return done.ok ? c.json(done.value, 200) : (problemResponse(done.problem) as never);
    });
  }
  return app;
}

const CHANGE_WORDS: Record<PersonChange, string> = {
  suspend: "Shut out at once, everywhere",
  resume: "Let in again",
  operator: "Given the operator's role; signed out everywhere",
  person: "A person like any other again; signed out everywhere",
};
