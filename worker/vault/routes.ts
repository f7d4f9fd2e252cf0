import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { Hono } from "hono";
import { type Accounts, allows } from "../accounts/index.ts";
import { jsonOnly, utf8Only } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { KeyChecks } from "./checks.ts";
import { VERDICTS } from "./live.ts";
import { PROVIDERS } from "./providers.ts";
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

const problems = { default: { description: "A problem (RFC 9457)" } } as const;
const security: Record<string, string[]>[] = [{ session: [] }, { bearer: [] }];
const providerView = z
  .object({
    name: z.string().openapi({ description: "What the key is called in the API." }),
    provider: z.string(),
    kind: z.enum(["model", "channel"]),
    asks: z.string(),
    hint: z.string(),
  })
  .openapi("Provider");
const checkView = z.object({ verdict: z.enum(VERDICTS), words: z.string() }).openapi("KeyCheck");

/** `/api/v1/providers`: which keys there are, and what their provider thinks of one before it is saved. */
export function providerRoutes({ checks, accounts }: { checks: KeyChecks; accounts: Pick<Accounts, "caller"> }) {
  const app = new OpenAPIHono<{ Variables: { caller: NonNullable<Awaited<ReturnType<Accounts["caller"]>>> } }>({
    defaultHook: (result) => (result.success ? undefined : problemResponse(problem("invalid_body"))),
  });
  app.use("/providers/*", jsonOnly, utf8Only, async (c, next) => {
    const keep = (cookie: string) => c.header("set-cookie", cookie, { append: true });
    const caller = await accounts.caller(c.req.raw.headers, keep);
    if (!caller) return problemResponse(problem("unauthenticated"));
    if (!allows(caller, c.req.method)) return problemResponse(problem("insufficient_scope"));
    c.set("caller", caller);
    await next();
  });
  const list = createRoute({
    method: "get",
    path: "/providers",
    security,
    responses: {
      200: {
        description: "The table",
        content: { "application/json": { schema: z.object({ providers: z.array(providerView) }) } },
      },
      ...problems,
    },
  });
  app.openapi(list, (c) => {
    const providers = PROVIDERS.map(({ env, label, kind, asks, hint }) => ({
      name: env,
      provider: label,
      kind,
      asks,
      hint,
    }));
    return c.json({ providers }, 200);
  });
  const check = createRoute({
    method: "post",
    path: "/providers/check",
    security,
    request: {
      body: {
        required: true,
        content: {
          "application/json": { schema: z.strictObject({ name: z.string().max(64), value: z.string().max(8_192) }) },
        },
      },
    },
    responses: {
      200: {
        description: "Its provider's word; nothing is stored",
        content: { "application/json": { schema: checkView } },
      },
      ...problems,
    },
  });
  app.openapi(check, async (c) => {
    const { name, value } = c.req.valid("json");
    const checked = await checks.check(c.var.caller.person, name, value);
    return (checked.ok ? c.json(checked.value, 200) : problemResponse(checked.problem)) as never;
  });
  return app;
}
