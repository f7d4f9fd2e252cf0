import type { Context, Hono } from "hono";
import type { FC } from "hono/jsx";
import { z } from "zod";
import { readForm } from "../http.ts";
import type { SecretService } from "../tenants/service.ts";
import type { SecretView, TenantView } from "../tenants/types.ts";
import { PROVIDERS, VERDICTS, type Verdict, variableFor, verdictWords } from "../vault/rules.ts";
import type { KeyChecks } from "../vault/service.ts";
import type { PageDeps, Person } from "./deps.ts";
import { problemPage } from "./errors.tsx";
import { Alert, Field } from "./forms.tsx";
import { page } from "./layout.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";

/** What the Keys page needs besides the rest. */
export interface KeysPort {
  service: SecretService;
  checks: KeyChecks;
}

interface Trouble {
  name: string;
  message: string;
  /** Its provider says no: whoever knows better may save it all the same. */
  mayInsist: boolean;
}

interface KeysProps {
  view: TenantView;
  secrets: readonly SecretView[];
  said?: { label: string; verdict: Verdict };
  trouble?: Trouble;
}

const Keys: FC<KeysProps> = ({ view, secrets, said, trouble }) => {
  const rows = PROVIDERS.filter(({ env }) => variableFor(env, view.runtime) !== null);
  return (
    <>
      <Tabs id={view.id} name={view.name} at="keys" />
      <section class="keys">
        <h1>Keys</h1>
        <p class="lead">
          Sealed at once, and opened only for this agent's server. A key can be replaced or removed, but never read
          back. The agent starts again with each change.
        </p>
        {said ? (
          <Alert title="Saved">
            <p>{verdictWords(said.verdict, said.label)}</p>
          </Alert>
        ) : null}
        {rows.map(({ env, label, asks }) => (
          <Key
            action={`/agents/${view.id}/keys/${env}`}
            {...{ name: env, label, asks }}
            secret={secrets.find(({ name }) => name === env)}
            trouble={trouble?.name === env ? trouble : undefined}
          />
        ))}
      </section>
    </>
  );
};

const Key: FC<{
  action: string;
  name: string;
  label: string;
  asks: string;
  secret: SecretView | undefined;
  trouble: Trouble | undefined;
}> = ({ action, name, label, asks, secret, trouble }) => (
  <section class="sheet" aria-label={label}>
    <form method="post" action={action}>
      <Field
        name={name}
        label={label}
        type="password"
        hint={secret ? describe(secret) : `${asks}.`}
        error={trouble?.message}
        input={{ required: true, autocomplete: "off", spellcheck: "false", maxlength: 8192 }}
      />
      {trouble?.mayInsist ? (
        <label class="choice">
          <input type="checkbox" name="insist" value="yes" />
          <span>Save it all the same. Please paste it again: we did not keep it.</span>
        </label>
      ) : null}
      <div class="row">
        <button type="submit">{secret ? "Replace" : "Save"}</button>
        {secret ? (
          <button type="submit" class="quiet" formaction={`${action}/remove`} formnovalidate>
            Remove
          </button>
        ) : null}
      </div>
    </form>
  </section>
);

function describe({ lastFour, version, changedAt, deliveredAt }: SecretView): string {
  const ends = lastFour ? `It ends in ${lastFour}. ` : "";
  const delivered = deliveredAt
    ? `with the agent's server since ${readableTime(deliveredAt)}`
    : "on its way to the agent's server";
  return `${ends}Version ${version}, of ${readableTime(changedAt)}, ${delivered}.`;
}

const text = z.string().catch("");
const savedQuery = z.object({ saved: z.string(), said: z.enum(VERDICTS) });

export function keyRoutes(app: Hono, deps: PageDeps, { service, checks }: KeysPort): void {
  const signedIn = (act: (c: Context, person: Person, id: string) => Promise<Response>) => async (c: Context) => {
    const person = await deps.person(c);
    const id = c.req.param("id") ?? "";
    return person ? act(c, person, id) : c.redirect(`/sign-in?next=${encodeURIComponent(`/agents/${id}/keys`)}`, 303);
  };

  const show = async (c: Context, person: Person, id: string, trouble?: Trouble): Promise<Response> => {
    const [view, secrets] = await Promise.all([deps.tenants.read(person, id), service.secrets(person, id)]);
    if (!view.ok) return problemPage(c, view.problem, person);
    if (!secrets.ok) return problemPage(c, secrets.problem, person);
    const saved = savedQuery.safeParse(c.req.query()).data;
    const label = PROVIDERS.find(({ env }) => env === saved?.saved)?.label;
    const said = saved && label ? { label, verdict: saved.said } : undefined;
    const children = <Keys view={view.value} secrets={secrets.value} said={said} trouble={trouble} />;
    return page(c, { title: `Keys of ${view.value.name}`, person, children }, trouble ? 422 : 200);
  };

  app.get(
    "/agents/:id/keys",
    signedIn((c, person, id) => show(c, person, id)),
  );

  app.post(
    "/agents/:id/keys/:name",
    signedIn(async (c, person, id) => {
      const name = c.req.param("name") ?? "";
      const form = await readForm(c);
      const value = text.parse(form[name]).trim();
      // Somebody else's agent is not found before its owner's key is sent anywhere.
      const view = await deps.tenants.read(person, id);
      if (!view.ok) return problemPage(c, view.problem, person);
      const checked = await checks.check(person, name, value);
      if (!checked.ok && checked.problem.code !== "rate_limited") {
        const message = checked.problem.detail ?? PROBLEM_WORDS[checked.problem.code].advice;
        return show(c, person, id, { name, message, mayInsist: false });
      }
      const verdict = checked.ok ? checked.value.verdict : "unclear";
      if (checked.ok && verdict === "wrong_key" && form.insist !== "yes") {
        return show(c, person, id, { name, message: checked.value.words, mayInsist: true });
      }
      const put = await service.putSecret(person, id, name, value, deps.background(c));
      if (!put.ok) return problemPage(c, put.problem, person);
      return c.redirect(`/agents/${id}/keys?${new URLSearchParams({ saved: name, said: verdict })}`, 303);
    }),
  );

  app.post(
    "/agents/:id/keys/:name/remove",
    signedIn(async (c, person, id) => {
      const removed = await service.removeSecret(person, id, c.req.param("name") ?? "", deps.background(c));
      return removed.ok ? c.redirect(`/agents/${id}/keys`, 303) : problemPage(c, removed.problem, person);
    }),
  );
}
