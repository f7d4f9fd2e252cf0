import type { Context, Hono } from "hono";
import { z } from "zod";
import { readForm } from "../http.ts";
import type { Verdict } from "../vault/rules.ts";
import type { PageDeps, Person, Problem } from "./deps.ts";
import { page } from "./layout.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { fieldOf } from "./rules.ts";
import { onlySignedIn } from "./signed-in.ts";
import { type Draft, MODEL_PROVIDERS, nextQuestion, type Question, Wizard, type WizardProps } from "./wizard.tsx";

/** A file or a missing part reads as empty. How long a value may be is the business of whoever judges it. */
const field = z.string().trim().catch("");
const draftOf = z.object({ name: field, runtime: field, region: field, provider: field });
const lastPost = draftOf.extend({ key: field, insist: field, later: field });
const asked = z.object({ at: z.enum(["name", "runtime", "model"]).optional().catch(undefined) });

const QUESTION_OF: Record<NonNullable<ReturnType<typeof fieldOf>>, Question> = {
  name: "name",
  runtime: "runtime",
  region: "runtime",
  key: "model",
};
/** With these the agent could not think: worth a question, though the provider may be wrong. */
const BAD_NEWS: readonly Verdict[] = ["wrong_key", "no_credit", "not_allowed"];

/**
 * `/agents/new`: one question after the other. Answers travel in the address, so that Back, Reload and a bookmark do
 * what they should; the one that is secret is asked last and goes straight into the creation.
 */
export function wizardRoutes(app: Hono, deps: PageDeps): void {
  const { tenants } = deps;
  const signedIn = onlySignedIn(deps);

  const show = async (
    c: Context,
    person: Person,
    props: Omit<WizardProps, "domain" | "regions">,
    status: 200 | Problem["status"] = 200,
  ) => {
    const regions = await tenants.regions();
    const children = <Wizard {...props} domain={deps.tenantDomain} regions={regions} />;
    return page(c, { title: "New agent", person, children }, status);
  };
  const refused = (c: Context, person: Person, draft: Draft, problem: Problem, keyWasGiven = false) => {
    const field = fieldOf(problem);
    const words = PROBLEM_WORDS[problem.code];
    const error = { field, title: words.title, message: problem.detail ?? words.advice };
    const question = field ? QUESTION_OF[field] : "model";
    return show(c, person, { question, draft, error, keyWasGiven }, problem.status);
  };

  app.get(
    "/agents/new",
    signedIn(async (c, person) => {
      const draft = draftOf.parse(c.req.query());
      const question = asked.parse(c.req.query()).at ?? nextQuestion(draft);
      if (question !== "name") {
        const free = await tenants.nameFor(person, draft.name);
        if (!free.ok) return refused(c, person, draft, free.problem);
      }
      return show(c, person, { question, draft });
    }),
  );

  app.post(
    "/agents/new",
    signedIn(async (c, person) => {
      const { key, insist, later, ...draft } = lastPost.parse(await readForm(c));
      const stay = (field: "key" | "provider", message: string, mayInsist = false) =>
        show(
          c,
          person,
          { question: "model", draft, error: { field, message }, mayInsist, keyWasGiven: key !== "" },
          422,
        );
      const { name, runtime, region, provider } = draft;
      let said: Verdict | null = null;
      let secrets = {};
      if (!later) {
        const secret = MODEL_PROVIDERS.find(({ id }) => id === provider)?.env;
        if (!secret) return stay("provider", "Whose key is it? Choose its provider, or add a key later.");
        if (!key) return stay("key", "There is no key. Paste it, or add one later.");
        const checked = await deps.keys.checks.check(person, secret, key);
        if (!checked.ok && checked.problem.code === "invalid_secret")
          return refused(c, person, draft, checked.problem, true);
        // Whoever is not told goes on: the creation decides.
        said = checked.ok ? checked.value.verdict : "unclear";
        if (checked.ok && BAD_NEWS.includes(said) && insist !== "yes") {
          return stay("key", `${checked.value.words} Please paste it again, or another: we did not keep it.`, true);
        }
        secrets = { secrets: { [secret]: key } };
      }
      const input = { name, runtime, ...(region ? { region } : {}), ...secrets };
      const created = await tenants.create(person, input, deps.background(c));
      if (!created.ok) return refused(c, person, draft, created.problem, key !== "");
      const query = said ? `?${new URLSearchParams({ provider, said })}` : "";
      return c.redirect(`/agents/${created.value.id}/setup${query}`, 303);
    }),
  );
}
