import type { Context, Hono } from "hono";
import { z } from "zod";
import { readForm } from "../http.ts";
import { type CredentialForm, SignIn, SignUp } from "./accounts.tsx";
import type { CredentialAnswer, PageDeps } from "./deps.ts";
import { page } from "./layout.tsx";
import { safeNext } from "./rules.ts";

const HOME = "/agents";

/** A file or a missing part reads as empty. A password is taken as it is, spaces and all. */
const text = z.string().catch("");
const credentials = z.object({
  name: text.transform((name) => name.trim()),
  email: text.transform((email) => email.trim()),
  password: text,
  next: text.transform(safeNext),
});

export function accountRoutes(app: Hono, deps: PageDeps): void {
  const show = (c: Context, kind: "up" | "in", form: CredentialForm) =>
    page(
      c,
      {
        title: kind === "up" ? "Start your trial" : "Sign in",
        person: null,
        children: kind === "up" ? <SignUp {...form} /> : <SignIn {...form} />,
      },
      form.error ? 422 : 200,
    );

  const enter = (c: Context, answer: CredentialAnswer & { ok: true }, next: string | null) => {
    for (const cookie of answer.headers.getSetCookie()) c.header("set-cookie", cookie, { append: true });
    return c.redirect(next ?? HOME, 303);
  };

  for (const kind of ["up", "in"] as const) {
    app.get(`/sign-${kind}`, async (c) => {
      const next = safeNext(c.req.query("next"));
      return (await deps.person(c)) ? c.redirect(next ?? HOME, 303) : show(c, kind, { next });
    });

    app.post(`/sign-${kind}`, async (c) => {
      const { name, email, password, next } = credentials.parse(await readForm(c));
      const kept = { name, email, next };
      const error = missing(kind, { name, email, password });
      if (error) return show(c, kind, { ...kept, error });
      const { accounts } = deps;
      const answer = await (kind === "up"
        ? accounts.signUp(c, { name, email, password })
        : accounts.signIn(c, { email, password }));
      return answer.ok ? enter(c, answer, next) : show(c, kind, { ...kept, error: answer });
    });
  }

  app.post("/sign-out", async (c) => {
    const headers = await deps.accounts.signOut(c);
    for (const cookie of headers.getSetCookie()) c.header("set-cookie", cookie, { append: true });
    return c.redirect("/", 303);
  });
}

function missing(kind: "up" | "in", given: { name: string; email: string; password: string }): CredentialForm["error"] {
  if (kind === "up" && !given.name) return { field: "name", message: "Please tell us your name." };
  if (!given.email) return { field: "email", message: "Please enter your e-mail address." };
  if (!given.password) return { field: "password", message: "Please enter a password." };
  return undefined;
}
