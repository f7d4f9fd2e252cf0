import type { Context, Hono } from "hono";
import { z } from "zod";
import { readForm } from "../http.ts";
import { Billing, type BillingProps } from "./billing.tsx";
import type { PageDeps, Person, Result } from "./deps.ts";
import { page } from "./layout.tsx";

const HOME = "/billing";
const field = z.string().trim().catch("");
const planPost = z.object({ plan: field });
const taxPost = z.object({ type: field, value: field });

/** Everything works without a script: each button is a form, and the provider's own pages are plain links away. */
export function billingRoutes(app: Hono, deps: Pick<PageDeps, "person" | "billing" | "background">): void {
  const { billing } = deps;

  const signedIn = (act: (c: Context, person: Person) => Promise<Response>) => async (c: Context) => {
    const person = await deps.person(c);
    return person ? act(c, person) : c.redirect(`/sign-in?next=${encodeURIComponent(HOME)}`, 303);
  };

  async function show(c: Context, person: Person, more: Pick<BillingProps, "problem" | "taxId"> = {}) {
    const [view, papers] = await Promise.all([billing.read(person), billing.papers(person)]);
    const children = <Billing view={view} papers={papers.ok ? papers.value : null} {...more} />;
    const status = more.problem?.status ?? (more.taxId ? 422 : 200);
    return page(c, { title: "Billing", person, children }, status);
  }

  const landed = (c: Context, person: Person, result: Result<unknown>) =>
    result.ok ? c.redirect(HOME, 303) : show(c, person, { problem: result.problem });
  const leave = (c: Context, person: Person, result: Result<{ url: string }>) =>
    result.ok ? c.redirect(result.value.url, 303) : show(c, person, { problem: result.problem });

  app.get(
    HOME,
    signedIn(async (c, person) => {
      if (c.req.query("done") === undefined) return show(c, person);
      // Back from the provider, perhaps before its event: ask instead of making the person wait and wonder.
      return landed(c, person, await billing.refresh(person, deps.background(c)));
    }),
  );

  app.post(
    `${HOME}/checkout`,
    signedIn(async (c, person) => {
      const input = planPost.parse(await readForm(c));
      return leave(c, person, await billing.checkout(person, input, deps.background(c)));
    }),
  );
  app.post(
    `${HOME}/change`,
    signedIn(async (c, person) => {
      const input = planPost.parse(await readForm(c));
      return landed(c, person, await billing.changePlan(person, input, deps.background(c)));
    }),
  );
  app.post(
    `${HOME}/portal`,
    signedIn(async (c, person) => leave(c, person, await billing.portal(person))),
  );
  for (const action of ["cancel", "resume"] as const) {
    app.post(
      `${HOME}/${action}`,
      signedIn(async (c, person) =>
        landed(c, person, await billing.cancel(person, action === "cancel", deps.background(c))),
      ),
    );
  }
  app.post(
    `${HOME}/tax-id`,
    signedIn(async (c, person) => {
      const taxId = taxPost.parse(await readForm(c));
      const added = await billing.addTaxId(person, taxId);
      if (added.ok) return c.redirect(HOME, 303);
      const { problem } = added;
      if (problem.field !== "value") return show(c, person, { problem });
      return show(c, person, { taxId: { ...taxId, error: problem.detail ?? problem.title } });
    }),
  );
}
