import type { Context, Hono } from "hono";
import { z } from "zod";
import { HAND_OVER } from "../../schema/protocol/index.ts";
import { readForm } from "../http.ts";
import { VERDICTS, verdictWords } from "../vault/rules.ts";
import type { PageDeps, Person } from "./deps.ts";
import { problemPage } from "./errors.tsx";
import { page } from "./layout.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { Setup } from "./setup.tsx";
import { onlySignedIn } from "./signed-in.ts";
import { Telegram, type TelegramProps } from "./telegram.tsx";
import { MODEL_PROVIDERS } from "./wizard.tsx";

const verdictQuery = z.object({ provider: z.string().catch(""), said: z.enum(VERDICTS).optional().catch(undefined) });
const tokenPost = z.object({ token: z.string().trim().catch("") });

/** `/agents/:id/setup`: the walls go up, and meanwhile Telegram is connected. */
export function setupRoutes(app: Hono, deps: PageDeps): void {
  const { tenants, channels } = deps;
  const signedIn = onlySignedIn(deps);
  const idOf = (c: Context) => c.req.param("id") ?? "";

  const show = async (c: Context, person: Person, more: Pick<TelegramProps, "pairing" | "error"> = {}) => {
    const id = idOf(c);
    const [view, events, list] = await Promise.all([
      tenants.read(person, id),
      tenants.recent(person, id),
      channels.list(person, id),
    ]);
    if (!view.ok) return problemPage(c, view.problem, person);
    const { provider, said } = verdictQuery.parse(c.req.query());
    const label = MODEL_PROVIDERS.find((one) => one.id === provider)?.label;
    const channel = (list.ok ? list.value : []).find(({ kind }) => kind === "telegram") ?? null;
    const telegram = HAND_OVER[view.value.runtime].telegram ? (
      <Telegram agent={view.value} channel={channel} {...more} />
    ) : null;
    const children = (
      <Setup
        view={view.value}
        events={events.ok ? events.value : []}
        verdict={label && said ? verdictWords(said, label) : null}
        telegram={telegram}
        settled={Boolean(channel?.people.length)}
      />
    );
    const title = `Setting up ${view.value.name}`;
    return page(c, { title, person, live: true, children }, more.error ? 422 : 200);
  };

  app.get(
    "/agents/:id/setup",
    signedIn((c, person) => show(c, person)),
  );

  /** The code is on this very page and nowhere else: not in an address, which stays in the browser's history. */
  const showCode = async (c: Context, person: Person) => {
    const opened = await channels.openPairing(person, idOf(c), "telegram");
    return opened.ok ? show(c, person, { pairing: opened.value }) : problemPage(c, opened.problem, person);
  };
  app.post("/agents/:id/setup/telegram/code", signedIn(showCode));
  app.post(
    "/agents/:id/setup/telegram",
    signedIn(async (c, person) => {
      const { token } = tokenPost.parse(await readForm(c));
      const connected = await channels.connect(person, idOf(c), "telegram", { token }, deps.background(c));
      if (connected.ok) return connected.value.people.length > 0 ? show(c, person) : showCode(c, person);
      const { code, detail } = connected.problem;
      if (code === "not_found") return problemPage(c, connected.problem, person);
      return show(c, person, { error: detail ?? PROBLEM_WORDS[code].advice });
    }),
  );
}
