import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { type Context, Hono } from "hono";
import { jsonOnly } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { Accounts, Caller } from "./index.ts";
import { newKeyBody } from "./keys.ts";
import type { PersonChange } from "./store.ts";
import { scope } from "./types.ts";

type Vars = { Variables: { caller: Caller } };

const problemDocument = z
  .object({ type: z.string(), title: z.string(), status: z.int(), code: z.string(), detail: z.string().optional() })
  .openapi("Problem");
const refusals = {
  default: { description: "A problem", content: { "application/problem+json": { schema: problemDocument } } },
} as const;
const okJson = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const session = [{ session: [] }];
const anyone: Record<string, string[]>[] = [{ session: [] }, { bearer: [] }];
const byId = z.object({
  id: z
    .string()
    .max(64)
    .openapi({ param: { name: "id", in: "path" } }),
});

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
  const app = new OpenAPIHono<Vars>({
    defaultHook: (result) => {
      if (result.success) return;
      return problemResponse(problem("invalid_body", { field: result.error.issues[0]?.path.join(".") || undefined }));
    },
  });
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
    responses: {
      200: okJson(z.object({ sessions: z.array(sessionView) }), "Live sessions, last used first"),
      ...refusals,
    },
  });
  app.openapi(sessions, async (c) => {
    const security = await accounts.security(c.var.caller.person);
    return c.json({ sessions: security.sessions }, 200);
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
    responses: { 200: okJson(z.object({ keys: z.array(keyView) }), "Your API keys, newest first"), ...refusals },
  });
  app.openapi(keys, async (c) => c.json({ keys: (await accounts.security(c.var.caller.person)).keys }, 200));

  const createKey = createRoute({
    method: "post",
    path: "/keys",
    security: session,
    request: { body: { required: true, content: { "application/json": { schema: newKeyBody } } } },
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

/** `/api/v1/operator/people/…`: for whoever runs the platform, by the operator's token or role. */
export function peopleRoutes({ operator }: Accounts, isOperator: (authorization: string | undefined) => boolean) {
  const operatorOnly = async (c: Context, next: () => Promise<void>) =>
    isOperator(c.req.header("authorization")) ? next() : problemResponse(problem("unauthenticated"));
  return new Hono()
    .get("/operator/people", operatorOnly, async (c) => {
      const found = await operator.find({ email: c.req.query("email") ?? "" });
      return found ? c.json(found) : problemResponse(problem("not_found"));
    })
    .post("/operator/people/:id/:change{suspend|resume|operator|person}", operatorOnly, async (c) => {
      const done = await operator.change(c.req.param("id") ?? "", c.req.param("change") as PersonChange);
      return done.ok ? c.json(done.value) : problemResponse(done.problem);
    });
}
