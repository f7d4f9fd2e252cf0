import { type Context, Hono } from "hono";
import { z } from "zod";
import type { Accounts, Person } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import { readForm } from "../http.ts";
import { admit, EXPORT_FORMATS, exportHeaders, type OperatorService } from "../operator/index.ts";
import { auditSearch } from "../operator/rules.ts";
import type { Overview } from "../operator/types.ts";
import { type Problem, problem } from "../problem.ts";
import type { Background } from "../tenants/types.ts";
import { problemPage } from "./errors.tsx";
import { page } from "./layout.tsx";
import { Glance } from "./operator.tsx";
import { Audit, Sweeps } from "./operator-audit.tsx";
import { HostPage } from "./operator-hosts.tsx";

const HOME = "/operator";
const ENTRIES = 50;
const id = z.string().max(64).catch("");
/** The id of the last entry that was seen, in the address of the next page. */
const olderThan = z.coerce.number().int().min(1).nullable().catch(null);

export interface OperatorPageDeps {
  accounts: Pick<Accounts, "person" | "security">;
  world: Pick<World, "now">;
  operator: OperatorService;
  background(c: Context): Background;
}

/** `/operator` and below: for people with the role. For everybody else there is nothing at these addresses. */
export function operatorPages({ accounts, world, operator, background }: OperatorPageDeps): Hono {
  const app = new Hono();

  type Act = (c: Context, person: Person, passwordOnly: boolean) => Promise<Response>;
  const operatorsTo = (purpose: "read" | "act", act: Act, beside?: (c: Context) => void) => async (c: Context) => {
    const admitted = await admit(c, { accounts, world }, purpose, () => beside?.(c));
    if (admitted.ok) return act(c, admitted.person, admitted.passwordOnly);
    if (admitted.reason === "stranger") return problemPage(c, problem("not_found"), admitted.person);
    const back = c.req.method === "GET" ? new URL(c.req.url).pathname : HOME;
    return c.redirect(`/sign-in?again&next=${encodeURIComponent(back)}`, 303);
  };

  type Show<T> = (c: Context, seen: T, person: Person, passwordOnly: boolean) => Promise<Response>;
  /** A page. What it shows is asked for in the same round trip as how fresh the sign-in is, and dropped where that is stale. */
  const shown =
    <T,>(read: (c: Context) => Promise<T>, show: Show<T>) =>
    async (c: Context) => {
      let seen: Promise<T> | undefined;
      const ask = () => {
        seen = read(c);
        seen.catch(() => {});
      };
      const act: Act = async (c, person, passwordOnly) => show(c, await (seen ?? read(c)), person, passwordOnly);
      return operatorsTo("read", act, ask)(c);
    };

  const glance = async (c: Context, view: Overview, person: Person, passwordOnly: boolean, refused?: Problem) => {
    const children = <Glance view={view} passwordOnly={passwordOnly} problem={refused} />;
    return page(c, { title: "Operator", person, live: true, children }, refused?.status ?? 200);
  };
  const refusedAt = async (c: Context, person: Person, passwordOnly: boolean, refused: Problem) =>
    glance(c, await operator.overview(), person, passwordOnly, refused);

  app.get(HOME, shown(operator.overview, glance));
  app.get(
    "/operator/hosts/:id",
    shown(
      (c) => operator.host(c.req.param("id") ?? ""),
      async (c, host, person) => {
        if (!host.ok) return problemPage(c, host.problem, person);
        const children = <HostPage host={host.value} now={world.now()} />;
        return page(c, { title: host.value.name, person, children });
      },
    ),
  );
  app.get(
    "/operator/audit",
    shown(
      async (c) => {
        const search = auditSearch.parse(c.req.query());
        return { search, entries: await operator.audit(search, olderThan.parse(c.req.query("below")), ENTRIES) };
      },
      async (c, { search, entries }, person) => {
        const next = entries.length < ENTRIES ? null : (entries.at(-1)?.id ?? null);
        return page(c, { title: "Audit", person, children: <Audit search={search} entries={entries} next={next} /> });
      },
    ),
  );
  // Everything at once leaves the house: as fresh a sign-in as for a change.
  app.get(
    "/operator/audit/export",
    operatorsTo("act", async (c, person) => {
      const format = z.enum(EXPORT_FORMATS).catch("csv").parse(c.req.query("format"));
      const stream = await operator.exportAudit(auditSearch.parse(c.req.query()), format, person.id);
      return c.body(stream, 200, exportHeaders(format));
    }),
  );
  app.get(
    "/operator/sweeps",
    shown(operator.sweeps, async (c, sweeps, person) =>
      page(c, { title: "Sweeps", person, children: <Sweeps sweeps={sweeps} /> }),
    ),
  );

  app.post(
    "/operator/agents/:id/retry",
    operatorsTo("act", async (c, person, passwordOnly) => {
      const retried = await operator.retryAgent(c.req.param("id") ?? "", person.id, background(c));
      return retried.ok ? c.redirect(HOME, 303) : refusedAt(c, person, passwordOnly, retried.problem);
    }),
  );
  app.post(
    "/operator/outbox/:host/retry",
    operatorsTo("act", async (c, person, passwordOnly) => {
      const { agent } = z.object({ agent: id }).parse(await readForm(c));
      const about = { hostId: c.req.param("host") ?? "", tenantId: agent || null };
      const done = await operator.retryDelivery(about, person.id);
      if (!done.ok) return refusedAt(c, person, passwordOnly, done.problem);
      return done.value.delivered ? c.redirect(HOME, 303) : refusedAt(c, person, passwordOnly, problem("host_away"));
    }),
  );
  for (const action of ["drain", "reopen"] as const) {
    app.post(
      `/operator/hosts/:id/${action}`,
      operatorsTo("act", async (c, person) => {
        const host = c.req.param("id") ?? "";
        const changed = await operator.changeHost(host, action, person.id);
        return changed.ok ? c.redirect(`/operator/hosts/${host}`, 303) : problemPage(c, changed.problem, person);
      }),
    );
  }
  return app;
}
