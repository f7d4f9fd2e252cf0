import type { Context, Hono } from "hono";
import { z } from "zod";
import { readForm } from "../http.ts";
import { Agent, type AgentProps } from "./agent.tsx";
import { Agents } from "./agents.tsx";
import type { PageDeps, Person } from "./deps.ts";
import { problemPage } from "./errors.tsx";
import { page } from "./layout.tsx";
import { onlySignedIn } from "./signed-in.ts";

/** A file or a missing part reads as empty. How long a value may be is the business of whoever judges it. */
const field = z.string().trim().catch("");
const deletePost = z.object({ confirm: field });

export function agentRoutes(app: Hono, deps: PageDeps): void {
  const { tenants } = deps;

  const signedIn = onlySignedIn(deps);

  const showAgent = async (
    c: Context,
    person: Person,
    id: string,
    more: Pick<AgentProps, "problem" | "confirm"> = {},
  ): Promise<Response> => {
    const [view, events, posture, samples] = await Promise.all([
      tenants.read(person, id),
      tenants.recent(person, id),
      tenants.posture(person, id),
      tenants.samples(person, id),
    ]);
    if (!view.ok) return problemPage(c, view.problem, person);
    const seen = posture.ok ? posture.value : null;
    const figures = { samples: samples.ok ? samples.value : [], nowMs: Date.now() };
    const children = (
      <Agent view={view.value} events={events.ok ? events.value : []} posture={seen} {...figures} {...more} />
    );
    const status = more.problem?.status ?? (more.confirm === undefined ? 200 : 422);
    return page(c, { title: view.value.name, person, live: true, children }, status);
  };

  app.get(
    "/agents",
    signedIn(async (c, person) => {
      const [agents, receipts] = await Promise.all([tenants.list(person), deps.receipts(person)]);
      const children = <Agents agents={agents} receipts={receipts} />;
      return page(c, { title: "Your agents", person, live: true, children });
    }),
  );

  app.get(
    "/agents/:id",
    signedIn((c, person) => showAgent(c, person, c.req.param("id") ?? "")),
  );

  for (const action of ["start", "stop", "restart", "undelete"] as const) {
    app.post(
      `/agents/:id/${action}`,
      signedIn(async (c, person) => {
        const id = c.req.param("id") ?? "";
        const done = await tenants.act(person, id, action, deps.background(c));
        return done.ok ? c.redirect(`/agents/${id}`, 303) : showAgent(c, person, id, { problem: done.problem });
      }),
    );
  }

  app.post(
    "/agents/:id/upgrade",
    signedIn(async (c, person) => {
      const id = c.req.param("id") ?? "";
      const done = await tenants.upgrade(person, id, undefined, deps.background(c));
      return done.ok ? c.redirect(`/agents/${id}`, 303) : showAgent(c, person, id, { problem: done.problem });
    }),
  );

  app.post(
    "/agents/:id/delete",
    signedIn(async (c, person) => {
      const id = c.req.param("id") ?? "";
      const { confirm } = deletePost.parse(await readForm(c));
      const view = await tenants.read(person, id);
      if (!view.ok) return problemPage(c, view.problem, person);
      if (confirm !== view.value.name) return showAgent(c, person, id, { confirm });
      const done = await tenants.act(person, id, "delete", deps.background(c));
      return done.ok ? c.redirect(`/agents/${id}`, 303) : showAgent(c, person, id, { problem: done.problem });
    }),
  );
}
