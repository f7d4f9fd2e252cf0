import { createRoute, z } from "@hono/zod-openapi";
import type { Accounts, Limits, Person } from "../accounts/index.ts";
import { apiApp, jsonBody, refusals, sessionOnly } from "../api/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { backgroundOf, jsonOnly } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { AccountDeletion } from "./account-deletion.ts";
import { accountExport } from "./account-export.ts";

const EXPORTS = { max: 10, windowSeconds: 3_600 };
const RECEIPT = /^[A-Za-z0-9_-]{43}$/;

/** What a person may have of us, and how they leave: both by a session only, since a stolen key must do neither. */
export function accountRoutes({
  db,
  world,
  accounts,
  limits,
  leaving,
}: {
  db: Database;
  world: World;
  accounts: Pick<Accounts, "caller" | "confirmAgain">;
  limits: Pick<Limits, "take"> | null;
  leaving: AccountDeletion;
}) {
  const app = apiApp<{ Variables: { person: Person } }>();
  for (const path of ["/api/v1/account", "/api/v1/account/*"]) {
    app.use(path, jsonOnly, async (c, next) => {
      const caller = await accounts.caller(c.req.raw.headers);
      if (!caller) return problemResponse(problem("unauthenticated"));
      if (caller.scopes !== null) return problemResponse(problem("insufficient_scope"));
      c.set("person", caller.person);
      await next();
    });
  }

  const everything = createRoute({
    method: "get",
    path: "/api/v1/account/export",
    security: sessionOnly,
    responses: {
      200: {
        description: "Every row that is stored about you, by table; of what opens something the name alone",
        content: { "application/json": { schema: z.object({ tables: z.record(z.string(), z.array(z.unknown())) }) } },
      },
      ...refusals,
    },
  });
  app.openapi(everything, async (c) => {
    const { person } = c.var;
    const wait = (await limits?.take([[{ key: `export ${person.id}`, ...EXPORTS }]])) ?? null;
    if (wait !== null) return problemResponse(problem("rate_limited", { retryAfterSeconds: wait })) as never;
    const pieces = accountExport(db, person, world.now());
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { value, done } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(new TextEncoder().encode(value));
      },
    });
    const headers = { "content-type": "application/json", "content-disposition": 'attachment; filename="chelar.json"' };
    return new Response(body, { headers }) as never;
  });

  const leave = createRoute({
    method: "delete",
    path: "/api/v1/account",
    security: sessionOnly,
    request: jsonBody(z.strictObject({ password: z.string().max(500).optional() })),
    responses: {
      202: { description: "You are out; your agents are being destroyed, and a signed receipt comes by mail" },
      ...refusals,
    },
  });
  app.openapi(leave, async (c) => {
    const confirmed = await accounts.confirmAgain(c.var.person, c.req.valid("json").password);
    if (!confirmed.ok) return problemResponse(confirmed.problem) as never;
    await leaving.ask(c.var.person, backgroundOf(c));
    return c.body(null, 202);
  });

  /** By a link from the mail, for somebody who has no account any more: it works once. */
  app.get("/account-receipts/:token", async (c) => {
    const token = c.req.param("token");
    const receipt = RECEIPT.test(token) ? await leaving.takeReceipt(token) : null;
    if (receipt === null) return problemResponse(problem("not_found"));
    const disposition = 'attachment; filename="chelar-receipt.jwt"';
    return c.body(receipt, 200, { "content-type": "application/jose", "content-disposition": disposition });
  });

  return app;
}
