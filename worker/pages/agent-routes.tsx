import type { Context, Hono } from "hono";
import { z } from "zod";
import { readForm } from "../http.ts";
import { DataPage, type DataProps } from "./data.tsx";
import type { PageDeps, Person } from "./deps.ts";
import { problemPage } from "./errors.tsx";
import { page } from "./layout.tsx";
import { PosturePage } from "./posture.tsx";
import { SecurityPage } from "./security.tsx";
import { onlySignedIn } from "./signed-in.ts";

const asked = z.object({ asked: z.enum(["backup", "restore"]).optional().catch(undefined) });
const restorePost = z.object({ from: z.string().trim().max(40).catch("") });

/** What lies behind one agent's page: what protects it, and what it has stored. */
export function agentPartRoutes(app: Hono, deps: PageDeps): void {
  const { tenants, data } = deps;
  const signedIn = onlySignedIn(deps);
  const idOf = (c: Context) => c.req.param("id") ?? "";

  app.get(
    "/agents/:id/security",
    signedIn(async (c, person) => {
      const id = idOf(c);
      const [view, posture, commands] = await Promise.all([
        tenants.read(person, id),
        tenants.posture(person, id),
        tenants.commands(person, id),
      ]);
      if (!view.ok) return problemPage(c, view.problem, person);
      const ledger = commands.ok ? commands.value : { commands: [], intact: true, brokenAt: null };
      const children = <SecurityPage view={view.value} posture={posture.ok ? posture.value : null} ledger={ledger} />;
      return page(c, { title: `What protects ${view.value.name}`, person, ledger: true, children });
    }),
  );

  app.get(
    "/agents/:id/walls",
    signedIn(async (c, person) => {
      const [view, posture] = await Promise.all([tenants.read(person, idOf(c)), tenants.posture(person, idOf(c))]);
      if (!view.ok) return problemPage(c, view.problem, person);
      const children = <PosturePage view={view.value} posture={posture.ok ? posture.value : null} />;
      return page(c, { title: `The walls of ${view.value.name}`, person, children });
    }),
  );

  const showData = async (c: Context, person: Person, more: Pick<DataProps, "problem"> = {}) => {
    const [view, storage] = await Promise.all([tenants.read(person, idOf(c)), data.storage(person, idOf(c))]);
    if (!view.ok) return problemPage(c, view.problem, person);
    const seen = { storage: storage.ok ? storage.value : null, ...asked.parse(c.req.query()), ...more };
    const children = <DataPage view={view.value} {...seen} />;
    return page(c, { title: `Data of ${view.value.name}`, person, children }, more.problem?.status ?? 200);
  };
  app.get("/agents/:id/data", signedIn(showData));
  app.post(
    "/agents/:id/data/backup",
    signedIn(async (c, person) => {
      const made = await data.backup(person, idOf(c), deps.background(c));
      return made.ok ? c.redirect(`/agents/${idOf(c)}/data?asked=backup`, 303) : showData(c, person, made);
    }),
  );
  app.post(
    "/agents/:id/data/restore",
    signedIn(async (c, person) => {
      const { from } = restorePost.parse(await readForm(c));
      const made = await data.restore(person, idOf(c), from, deps.background(c));
      return made.ok ? c.redirect(`/agents/${idOf(c)}/data?asked=restore`, 303) : showData(c, person, made);
    }),
  );
}
