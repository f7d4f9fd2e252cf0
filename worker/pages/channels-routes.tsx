import type { Context, Hono } from "hono";
import { z } from "zod";
import { readForm } from "../http.ts";
import type { Result } from "../problem.ts";
import { ChannelsPage, type ChannelsProps } from "./channels.tsx";
import type { PageDeps, Person } from "./deps.ts";
import { problemPage } from "./errors.tsx";
import { page } from "./layout.tsx";
import { onlySignedIn } from "./signed-in.ts";
import { PROBLEM_WORDS } from "./words.ts";

const text = z.string().trim().catch("");

export function channelRoutes(app: Hono, deps: PageDeps): void {
  const { channels } = deps;
  const signedIn = onlySignedIn(deps);
  const idOf = (c: Context) => c.req.param("id") ?? "";

  async function show(c: Context, person: Person, more: Pick<ChannelsProps, "code" | "trouble" | "typed"> = {}) {
    const id = idOf(c);
    const [view, list] = await Promise.all([deps.tenants.read(person, id), channels.list(person, id)]);
    if (!view.ok) return problemPage(c, view.problem, person);
    if (!list.ok) return problemPage(c, list.problem, person);
    const telegram = list.value.find(({ kind }) => kind === "telegram") ?? null;
    const children = <ChannelsPage view={view.value} telegram={telegram} {...more} />;
    return page(c, { title: `Channels of ${view.value.name}`, person, children }, more.trouble ? 422 : 200);
  }

  /** A form that changes something, and leads back to where it stands. */
  const posted = (
    path: string,
    field: "token" | "person" | "page",
    act: (c: Context, person: Person, form: Record<string, unknown>) => Promise<Result<unknown>>,
  ) =>
    app.post(
      `/agents/:id/channels/telegram${path}`,
      signedIn(async (c, person) => {
        const form = await readForm(c);
        const done = await act(c, person, form);
        if (done.ok) return c.redirect(`/agents/${idOf(c)}/channels`, 303);
        const { problem } = done;
        if (problem.code === "not_found") return problemPage(c, problem, person);
        const at =
          problem.field === field ? field : field === "token" && problem.code !== "tenant_deleting" ? field : "page";
        const message = problem.detail ?? `${PROBLEM_WORDS[problem.code].title}. ${PROBLEM_WORDS[problem.code].advice}`;
        const typed = field === "person" ? text.parse(form.person) : undefined;
        return show(c, person, { trouble: { field: at, message }, typed });
      }),
    );

  app.get(
    "/agents/:id/channels",
    signedIn((c, person) => show(c, person)),
  );
  posted("", "token", (c, person, form) =>
    channels.connect(person, idOf(c), "telegram", { token: text.parse(form.token) }, deps.background(c)),
  );
  posted("/remove", "page", (c, person) => channels.disconnect(person, idOf(c), "telegram", deps.background(c)));
  posted("/people", "person", (c, person, form) =>
    channels.allow(person, idOf(c), "telegram", text.parse(form.person), deps.background(c)),
  );
  posted("/people/remove", "page", (c, person, form) =>
    channels.disallow(person, idOf(c), "telegram", text.parse(form.person), deps.background(c)),
  );
  posted("/resume", "page", (c, person, form) =>
    channels.resume(person, idOf(c), "telegram", text.parse(form.conversation)),
  );
  // The code stands in this one answer and nowhere else: no address, no row, no log.
  app.post(
    "/agents/:id/channels/telegram/pairing",
    signedIn(async (c, person) => {
      const opened = await channels.openPairing(person, idOf(c), "telegram");
      return opened.ok ? show(c, person, { code: opened.value }) : problemPage(c, opened.problem, person);
    }),
  );
}
