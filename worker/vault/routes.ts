import { createRoute, z } from "@hono/zod-openapi";
import { type Accounts, allows, type Caller } from "../accounts/index.ts";
import {
  apiApp,
  jsonBody,
  nextView,
  okJson,
  operatorOnly,
  pageOf,
  pageQuery,
  refusals,
  anyone as security,
} from "../api/index.ts";
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

const cursorView = z.tuple([z.string(), z.string()]);
const passView = z
  .object({
    done: z.int().openapi({ description: "Rows that were done, each checked on the way." }),
    unreadable: z.array(cursorView),
    next: cursorView.nullable().openapi({ description: "`after` of the next call; null when nothing is left." }),
  })
  .openapi("VaultPass");
const statusView = z
  .object({
    current: z.int(),
    floor: z.int(),
    keys: z.array(
      z.object({
        version: z.int(),
        fingerprint: z.string().nullable(),
        secrets: z.int(),
        wraps: z.int(),
        erased: z.int(),
      }),
    ),
    stale: z.int().openapi({ description: "Secrets that the sweep has still to make anew." }),
    warnings: z.array(z.string()),
  })
  .openapi("VaultStatus");
const PASSES = {
  sweep: [sweep, "The next rows that are not under the ring's current key are"],
  verify: [verify, "The next rows open, whatever key they are under"],
} as const;

/** `/api/v1/operator/vault`: what `npm run vault` drives. Bounded work per call, since a Worker's time is. */
export function vaultRoutes(context: VaultContext, isOperator: (authorization: string | undefined) => boolean) {
  const app = apiApp();
  app.use("/operator/vault/*", jsonOnly, async (c, next) =>
    isOperator(c.req.header("authorization")) ? next() : problemResponse(problem("unauthenticated")),
  );
  const status = createRoute({
    method: "get",
    path: "/operator/vault",
    security: operatorOnly,
    responses: { 200: okJson(statusView, "Which secrets are under which key of the ring"), ...refusals },
  });
  app.openapi(status, async (c) => c.json(await vaultStatus(context), 200));
  for (const [name, [pass, words]] of Object.entries(PASSES)) {
    const route = createRoute({
      method: "post",
      path: `/operator/vault/${name}`,
      security: operatorOnly,
      request: jsonBody(passBody),
      responses: { 200: okJson(passView, words), ...refusals },
    });
    app.openapi(route, async (c) => c.json((await pass(context, c.req.valid("json"))) as never, 200));
  }
  return app;
}

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
  const app = apiApp<{ Variables: { caller: Caller } }>();
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
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ providers: z.array(providerView), ...nextView }), "The keys that an agent can have"),
      ...refusals,
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
    const { page, next } = pageOf(providers, c.req.valid("query"), ({ name }) => name);
    return c.json({ providers: page, next }, 200);
  });
  const check = createRoute({
    method: "post",
    path: "/providers/check",
    security,
    request: jsonBody(z.strictObject({ name: z.string().max(64), value: z.string().max(8_192) })),
    responses: { 200: okJson(checkView, "Its provider's word; nothing is stored"), ...refusals },
  });
  app.openapi(check, async (c) => {
    const { name, value } = c.req.valid("json");
    const checked = await checks.check(c.var.caller.person, name, value);
    return (checked.ok ? c.json(checked.value, 200) : problemResponse(checked.problem)) as never;
  });
  return app;
}
