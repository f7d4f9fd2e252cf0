import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Accounts, Person } from "../accounts/index.ts";
import { apiApp, jsonBody, okJson as ok, refusals, sessionOnly as security } from "../api/index.ts";
import { backgroundOf, jsonOnly } from "../http.ts";
import { problem, problemResponse, type Result } from "../problem.ts";
import { planBody } from "./rules.ts";
import { type BillingService, billingView, papersView, taxIdView } from "./types.ts";

type Vars = { Variables: { person: Person } };

const okJson = <S extends z.ZodType>(schema: S, description: string) => ({ 200: ok(schema, description), ...refusals });
const link = z.object({ url: z.url() });

/** `/api/v1/billing`, for the session of its owner only: a key that leaked must not be able to spend or to cancel. */
export function billingApi(service: BillingService, accounts: Pick<Accounts, "person">) {
  const app = apiApp<Vars>();
  app.use("*", jsonOnly, async (c, next) => {
    const person = await accounts.person(c);
    if (!person) return problemResponse(problem("unauthenticated"));
    c.set("person", person);
    await next();
  });

  const read = createRoute({ method: "get", path: "/", security, responses: okJson(billingView, "How you stand") });
  app.openapi(read, async (c) => c.json(await service.read(c.var.person), 200));

  const papers = createRoute({
    method: "get",
    path: "/papers",
    security,
    responses: okJson(papersView, "Your last 24 bills, newest first, and your tax ids"),
  });
  app.openapi(papers, async (c) => answer(c, await service.papers(c.var.person)) as never);

  const checkout = createRoute({
    method: "post",
    path: "/checkout",
    security,
    request: jsonBody(planBody),
    responses: okJson(link, "Where to pay; the same until it is paid, left or runs out after an hour"),
  });
  app.openapi(
    checkout,
    async (c) => answer(c, await service.checkout(c.var.person, c.req.valid("json"), backgroundOf(c))) as never,
  );

  const change = createRoute({
    method: "put",
    path: "/plan",
    security,
    request: jsonBody(planBody),
    responses: okJson(billingView, "Changed: an upgrade is billed at once, a downgrade is credited"),
  });
  app.openapi(
    change,
    async (c) => answer(c, await service.changePlan(c.var.person, c.req.valid("json"), backgroundOf(c))) as never,
  );

  for (const action of ["cancel", "resume"] as const) {
    const route = createRoute({
      method: "post",
      path: `/${action}`,
      security,
      responses: okJson(billingView, action === "cancel" ? "It ends with the period that is paid" : "It goes on"),
    });
    app.openapi(
      route,
      async (c) => answer(c, await service.cancel(c.var.person, action === "cancel", backgroundOf(c))) as never,
    );
  }

  const portal = createRoute({
    method: "post",
    path: "/portal",
    security,
    responses: okJson(link, "The provider's page for cards, addresses and bills"),
  });
  app.openapi(portal, async (c) => answer(c, await service.portal(c.var.person)) as never);

  const taxId = createRoute({
    method: "post",
    path: "/tax-ids",
    security,
    request: jsonBody(taxIdView),
    responses: okJson(papersView, "It stands on your bills from now on"),
  });
  app.openapi(taxId, async (c) => answer(c, await service.addTaxId(c.var.person, c.req.valid("json"))) as never);

  return app;
}

const answer = <T extends object>(c: Context, result: Result<T>): Response =>
  result.ok ? c.json(result.value, 200) : problemResponse(result.problem);
