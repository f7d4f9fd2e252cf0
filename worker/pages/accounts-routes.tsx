import type { Context, Hono } from "hono";
import type { FC } from "hono/jsx";
import { z } from "zod";
import { readForm } from "../http.ts";
import { Code, Confirm, type CredentialForm, Forgot, Posted, Reset, SignIn, SignUp, withNext } from "./accounts.tsx";
import type { Acted, PageDeps } from "./deps.ts";
import { page } from "./layout.tsx";
import { safeNext } from "./rules.ts";

const HOME = "/agents";

/** A file or a missing part reads as empty. A password is taken as it is, spaces and all. */
const text = z.string().catch("");
const trimmed = text.transform((value) => value.trim());
const posted = z.object({
  name: trimmed,
  email: trimmed,
  password: text,
  token: trimmed,
  code: trimmed,
  next: text.transform(safeNext),
});
type Given = z.infer<typeof posted>;

const FORMS = {
  "/sign-up": { title: "Start your trial", View: SignUp, needs: ["name", "email", "password"] },
  "/sign-in": { title: "Sign in", View: SignIn, needs: ["email", "password"] },
  "/sign-in/code": { title: "One more step", View: Code, needs: ["code"] },
  "/verify": { title: "Confirm your address", View: Confirm, needs: ["password"] },
  "/forgot": { title: "Choose a new password", View: Forgot, needs: ["email"] },
  "/reset": { title: "Your new password", View: Reset, needs: ["password"] },
} as const satisfies Record<string, { title: string; View: FC<CredentialForm>; needs: readonly (keyof Given)[] }>;
type FormPath = keyof typeof FORMS;

const MISSING: Readonly<Record<string, string>> = {
  name: "Please tell us your name.",
  email: "Please enter your e-mail address.",
  password: "Please enter a password.",
  code: "Please enter the code.",
};

const NOT_BY_OTHER_SITE =
  "The other site did not sign you in here. If you have a password with us, use it, or choose a new one.";

/** Everything that leads to a session and out of it again. */
export function accountRoutes(app: Hono, deps: PageDeps): void {
  const { accounts, social } = deps;

  const show = (c: Context, path: FormPath, form: CredentialForm) => {
    const { title, View } = FORMS[path];
    const passkeys = path === "/sign-in";
    const children = <View {...form} social={social} />;
    return page(c, { title, person: null, passkeys, children }, form.error ? 422 : 200);
  };
  const lookIntoMail = (c: Context, about: "sign-up" | "reset", email: string) => {
    const children = <Posted about={about} email={email} mailbox={deps.mailbox !== null} />;
    return page(c, { title: "Look into your mail", person: null, children });
  };
  const keepCookies = (c: Context, { headers }: Acted) => {
    for (const cookie of headers.getSetCookie()) c.header("set-cookie", cookie, { append: true });
  };

  /** A form at its own address: shown with what the link brought, read, checked for what is missing, acted upon. */
  const form = (path: FormPath, act: (c: Context, given: Given) => Promise<Response>) => {
    app.get(path, async (c) => {
      const next = safeNext(c.req.query("next"));
      const isEntry = path === "/sign-in" || path === "/sign-up";
      // `again`: somebody who is in already shows anew who they are.
      if (isEntry && c.req.query("again") === undefined && (await deps.person(c))) return c.redirect(next ?? HOME, 303);
      // Another site sends back here when it, or we, did not let somebody in.
      const error = isEntry && c.req.query("error") ? { message: NOT_BY_OTHER_SITE } : undefined;
      return show(c, path, { next, token: c.req.query("token"), error });
    });
    app.post(path, async (c) => {
      const given = posted.parse(await readForm(c));
      const field = FORMS[path].needs.find((name) => !given[name]);
      if (!field) return act(c, given);
      return show(c, path, { ...kept(given), error: { field, message: MISSING[field] as string } });
    });
  };
  const refuse = (c: Context, path: FormPath, given: Given, acted: Acted & { ok: false }) => {
    keepCookies(c, acted);
    const { field, message } = acted.refusal;
    const own = field && (FORMS[path].needs as readonly string[]).includes(field) ? { field } : {};
    return show(c, path, { ...kept(given), error: { ...own, message } });
  };
  const enter = (c: Context, acted: Acted, next: string | null) => {
    keepCookies(c, acted);
    return c.redirect(next ?? HOME, 303);
  };

  form("/sign-up", async (c, given) => {
    const { name, email, password } = given;
    const acted = await accounts.act(c, "/sign-up/email", { name, email, password });
    return acted.ok ? lookIntoMail(c, "sign-up", email) : refuse(c, "/sign-up", given, acted);
  });

  form("/sign-in", async (c, given) => {
    const { email, password, next } = given;
    const acted = await accounts.act(c, "/sign-in/email", { email, password });
    if (!acted.ok) {
      // Only who knows the password is told that it waits for its confirmation.
      return acted.refusal.code === "EMAIL_NOT_VERIFIED"
        ? lookIntoMail(c, "sign-up", email)
        : refuse(c, "/sign-in", given, acted);
    }
    const needsCode = z.object({ twoFactorRedirect: z.literal(true) }).safeParse(acted.body).success;
    return enter(c, acted, needsCode ? withNext("/sign-in/code", next) : next);
  });

  form("/sign-in/code", async (c, given) => {
    const code = given.code.replace(/\s/g, "");
    const path = /^\d+$/.test(code) ? "/two-factor/verify-totp" : "/two-factor/verify-backup-code";
    const acted = await accounts.act(c, path, { code });
    return acted.ok ? enter(c, acted, given.next) : refuse(c, "/sign-in/code", given, acted);
  });

  form("/verify", async (c, given) => {
    const { token, password } = given;
    const acted = await accounts.act(c, "/confirm-email", { token, password });
    return acted.ok ? enter(c, acted, null) : refuse(c, "/verify", given, acted);
  });
  app.post("/verify/again", async (c) => {
    const given = posted.parse(await readForm(c));
    const acted = await accounts.act(c, "/send-verification-email", { email: given.email });
    return acted.ok ? lookIntoMail(c, "sign-up", given.email) : refuse(c, "/sign-in", given, acted);
  });

  form("/forgot", async (c, given) => {
    const acted = await accounts.act(c, "/request-password-reset", { email: given.email });
    return acted.ok ? lookIntoMail(c, "reset", given.email) : refuse(c, "/forgot", given, acted);
  });
  form("/reset", async (c, given) => {
    const acted = await accounts.act(c, "/reset-password", { token: given.token, newPassword: given.password });
    return acted.ok ? c.redirect("/sign-in", 303) : refuse(c, "/reset", given, acted);
  });

  for (const site of social) {
    app.post(`/sign-in/${site}`, async (c) => {
      const given = posted.parse(await readForm(c));
      const callbackURL = given.next ?? HOME;
      const acted = await accounts.act(c, "/sign-in/social", {
        provider: site,
        callbackURL,
        errorCallbackURL: "/sign-in",
        disableRedirect: true,
      });
      if (!acted.ok) return refuse(c, "/sign-in", given, acted);
      keepCookies(c, acted);
      return c.redirect(z.object({ url: z.url() }).parse(acted.body).url, 303);
    });
  }

  app.post("/sign-out", async (c) => {
    keepCookies(c, await accounts.act(c, "/sign-out", {}));
    return c.redirect("/", 303);
  });
}

/** What was typed, but never a password or a code. */
const kept = ({ name, email, token, next }: Given): CredentialForm => ({ name, email, token, next });
