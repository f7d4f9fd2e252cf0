import type { Context, Hono } from "hono";
import { z } from "zod";
import { type ChannelName, channelName } from "../../schema/protocol/index.ts";
import { readForm } from "../http.ts";
import { problem, type Result } from "../problem.ts";
import { ChannelsPage, type ChannelsProps, channelPage } from "./channels.tsx";
import type { PageDeps, Person } from "./deps.ts";
import { problemPage } from "./errors.tsx";
import { page } from "./layout.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { onlySignedIn } from "./signed-in.ts";

const text = z.string().trim().catch("");
type Field = NonNullable<ChannelsProps["trouble"]>["field"];
type Form = Record<string, unknown>;

/** One page for each channel of an agent; the first of them stands for all. */
export function channelRoutes(app: Hono, deps: PageDeps): void {
  const { channels } = deps;
  const signedIn = onlySignedIn(deps);
  const idOf = (c: Context) => c.req.param("id") ?? "";

  /** For one who is signed in, about a channel that there is. */
  const about = (act: (c: Context, person: Person, kind: ChannelName) => Response | Promise<Response>) =>
    signedIn(async (c, person) => {
      const kind = channelName.safeParse(c.req.param("kind") ?? "telegram").data;
      return kind ? act(c, person, kind) : problemPage(c, problem("not_found"), person);
    });

  async function show(
    c: Context,
    person: Person,
    kind: ChannelName,
    more: Pick<ChannelsProps, "code" | "trouble" | "typed"> = {},
  ) {
    const id = idOf(c);
    const [view, list] = await Promise.all([deps.tenants.read(person, id), channels.list(person, id)]);
    if (!view.ok) return problemPage(c, view.problem, person);
    if (!list.ok) return problemPage(c, list.problem, person);
    const children = <ChannelsPage view={view.value} kind={kind} all={list.value} {...more} />;
    return page(c, { title: `Channels of ${view.value.name}`, person, children }, more.trouble ? 422 : 200);
  }

  /** A form that changes something, and leads back to where it stands. `fields`: at which of them a refusal may be shown. */
  const posted = (
    path: string,
    fields: readonly Field[],
    act: (c: Context, person: Person, kind: ChannelName, form: Form) => Promise<Result<unknown>>,
  ) =>
    app.post(
      `/agents/:id/channels/:kind${path}`,
      about(async (c, person, kind) => {
        const form = await readForm(c);
        const done = await act(c, person, kind, form);
        if (done.ok) return c.redirect(channelPage(idOf(c), kind), 303);
        const { code, field, detail } = done.problem;
        if (code === "not_found") return problemPage(c, done.problem, person);
        // A bot's refusal belongs to its token, whatever was the matter.
        const first = fields[0] === "token" && code !== "tenant_deleting" ? "token" : "page";
        const message = detail ?? `${PROBLEM_WORDS[code].title}. ${PROBLEM_WORDS[code].advice}`;
        const trouble = { field: fields.find((one) => one === field) ?? first, message };
        return show(c, person, kind, { trouble, typed: fields[0] === "person" ? text.parse(form.person) : undefined });
      }),
    );

  app.get("/agents/:id/channels", about(show));
  app.get("/agents/:id/channels/:kind", about(show));
  posted("", ["token", "secret", "account"], (c, person, kind, { token, secret, account }) => {
    const typed = { token: text.parse(token), secret: text.parse(secret), account: text.parse(account) };
    return channels.connect(person, idOf(c), kind, typed, deps.background(c));
  });
  posted("/remove", [], (c, person, kind) => channels.disconnect(person, idOf(c), kind, deps.background(c)));
  posted("/people", ["person"], (c, person, kind, form) =>
    channels.allow(person, idOf(c), kind, text.parse(form.person), deps.background(c)),
  );
  posted("/people/remove", [], (c, person, kind, form) =>
    channels.disallow(person, idOf(c), kind, text.parse(form.person), deps.background(c)),
  );
  posted("/resume", [], (c, person, kind, form) =>
    channels.resume(person, idOf(c), kind, text.parse(form.conversation)),
  );
  // The code stands in this one answer and nowhere else: no address, no row, no log.
  app.post(
    "/agents/:id/channels/:kind/pairing",
    about(async (c, person, kind) => {
      const opened = await channels.openPairing(person, idOf(c), kind);
      return opened.ok ? show(c, person, kind, { code: opened.value }) : problemPage(c, opened.problem, person);
    }),
  );
}
