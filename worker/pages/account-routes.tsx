import type { Context, Hono } from "hono";
import type { FC } from "hono/jsx";
import { z } from "zod";
import { SCOPES } from "../accounts/types.ts";
import { readForm } from "../http.ts";
import { Account } from "./account.tsx";
import {
  type AccountForm,
  ChangePassword,
  KEY_DAYS,
  type KeyForm,
  Leave,
  Left,
  MadeKey,
  NewCodes,
  NewKey,
  TwoFactor,
  TwoFactorSetup,
} from "./account-forms.tsx";
import type { Acted, PageDeps, Person, Scope } from "./deps.ts";
import { page } from "./layout.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";

const text = z.string().catch("");
const trimmed = text.transform((value) => value.trim());
const list = z.union([z.string().transform((one) => [one]), z.array(z.string())]).catch([]);
const passwords = z.object({ password: text, newPassword: text, do: z.enum(["on", "off", "codes"]).catch("on") });
const leaving = z.object({ confirm: trimmed, password: text });
const setup = z.object({
  uri: z.string().startsWith("otpauth://totp/").max(1_000),
  codes: text.transform((codes) =>
    codes
      .split(" ")
      .filter((code) => /^[\w-]{1,40}$/.test(code))
      .slice(0, 20),
  ),
  code: trimmed.transform((code) => code.replace(/\s/g, "")),
});
const newKey = z.object({ name: trimmed, scopes: list, days: z.coerce.number().catch(90) });
const enabled = z.object({ totpURI: z.string(), backupCodes: z.array(z.string()) });
const withCodes = z.object({ backupCodes: z.array(z.string()) });

/** `/account` and below: every way into one's own account. */
export function ownAccountRoutes(app: Hono, deps: PageDeps): void {
  const { accounts } = deps;

  const signedIn = (act: (c: Context, person: Person) => Promise<Response>) => async (c: Context) => {
    const person = await deps.person(c);
    return person ? act(c, person) : c.redirect("/sign-in?next=%2Faccount", 303);
  };
  const keepCookies = (c: Context, { headers }: Acted) => {
    for (const cookie of headers.getSetCookie()) c.header("set-cookie", cookie, { append: true });
  };
  const show = <P extends AccountForm>(c: Context, person: Person, title: string, View: FC<P>, props: P) =>
    page(c, { title, person, children: <View {...props} /> }, props.error ? 422 : 200);
  const account = async (c: Context, person: Person, problem?: string) => {
    const children = <Account person={person} security={await accounts.security(person)} problem={problem} />;
    return page(c, { title: "Your account", person, passkeys: true, children }, problem ? 422 : 200);
  };
  const idIn = async (c: Context) => z.object({ id: trimmed }).parse(await readForm(c)).id;

  app.get(
    "/account",
    signedIn((c, person) => account(c, person)),
  );
  app.post(
    "/account/sessions/end",
    signedIn(async (c, person) => {
      await accounts.endSessions(person, (await idIn(c)) || null);
      return c.redirect("/account", 303);
    }),
  );
  app.post(
    "/account/passkeys/remove",
    signedIn(async (c, person) => {
      const acted = await accounts.act(c, "/passkey/delete-passkey", { id: await idIn(c) });
      return acted.ok || acted.refusal.code === "PASSKEY_NOT_FOUND"
        ? c.redirect("/account", 303)
        : account(c, person, acted.refusal.message);
    }),
  );

  const showPassword = (c: Context, person: Person, form: AccountForm) =>
    show(c, person, "Change your password", ChangePassword, form);
  app.get(
    "/account/password",
    signedIn((c, person) => showPassword(c, person, {})),
  );
  app.post(
    "/account/password",
    signedIn(async (c, person) => {
      const { password, newPassword } = passwords.parse(await readForm(c));
      const acted = await accounts.act(c, "/change-password", { currentPassword: password, newPassword });
      if (acted.ok) {
        keepCookies(c, acted);
        return c.redirect("/account", 303);
      }
      const { code, message } = acted.refusal;
      const field = {
        INVALID_PASSWORD: "password",
        PASSWORD_TOO_SHORT: "newPassword",
        PASSWORD_TOO_LONG: "newPassword",
      }[code];
      return showPassword(c, person, { error: { field, message } });
    }),
  );

  const showTwoFactor = async (c: Context, person: Person, form: AccountForm) => {
    const { twoFactor, hasPassword } = await accounts.security(person);
    return show(c, person, "Code from an app", TwoFactor, { ...form, isOn: twoFactor, hasPassword });
  };
  app.get(
    "/account/two-factor",
    signedIn((c, person) => showTwoFactor(c, person, {})),
  );
  app.post(
    "/account/two-factor",
    signedIn(async (c, person) => {
      const given = passwords.parse(await readForm(c));
      const path = { on: "enable", off: "disable", codes: "generate-backup-codes" }[given.do];
      const acted = await accounts.act(c, `/two-factor/${path}`, given.password ? { password: given.password } : {});
      if (!acted.ok) return showTwoFactor(c, person, { error: acted.refusal });
      keepCookies(c, acted);
      if (given.do === "off") return c.redirect("/account", 303);
      if (given.do === "codes") {
        const { backupCodes } = withCodes.parse(acted.body);
        return page(c, { title: "New recovery codes", person, children: <NewCodes codes={backupCodes} /> });
      }
      const { totpURI, backupCodes } = enabled.parse(acted.body);
      return show(c, person, "Connect your app", TwoFactorSetup, { uri: totpURI, codes: backupCodes });
    }),
  );
  app.post(
    "/account/two-factor/confirm",
    signedIn(async (c, person) => {
      const given = setup.safeParse(await readForm(c));
      if (!given.success) return showTwoFactor(c, person, { error: { message: "Please begin again." } });
      const { uri, codes, code } = given.data;
      const acted = await accounts.act(c, "/two-factor/verify-totp", { code });
      if (!acted.ok) return show(c, person, "Connect your app", TwoFactorSetup, { uri, codes, error: acted.refusal });
      keepCookies(c, acted);
      return c.redirect("/account", 303);
    }),
  );

  const showKey = (c: Context, person: Person, form: KeyForm) => show(c, person, "New API key", NewKey, form);
  app.get(
    "/account/keys/new",
    signedIn((c, person) => showKey(c, person, { name: "", scopes: ["tenants:read"], days: 90 })),
  );
  app.post(
    "/account/keys/new",
    signedIn(async (c, person) => {
      const { name, scopes, days } = newKey.parse(await readForm(c, { all: true }));
      const form = { name, scopes, days };
      const known = scopes.filter((scope): scope is Scope => (SCOPES as readonly string[]).includes(scope));
      if (!name || name.length > 60) {
        return showKey(c, person, {
          ...form,
          error: { field: "name", message: "Give it a name of up to 60 characters." },
        });
      }
      if (known.length === 0) {
        return showKey(c, person, {
          ...form,
          error: { field: "scopes", message: "A key has to be good for something." },
        });
      }
      const expiresInDays = (KEY_DAYS as readonly number[]).includes(days) ? days : 90;
      const made = await accounts.createKey(person, { name, scopes: known, expiresInDays });
      if (made.ok) {
        return page(c, { title: "Your new key", person, children: <MadeKey name={name} apiKey={made.value.key} /> });
      }
      if (made.problem.code === "sign_in_again") return c.redirect("/sign-in?again&next=%2Faccount%2Fkeys%2Fnew", 303);
      const message = made.problem.detail ?? PROBLEM_WORDS[made.problem.code].advice;
      return showKey(c, person, { ...form, error: { message } });
    }),
  );
  app.post(
    "/account/keys/remove",
    signedIn(async (c, person) => {
      await accounts.dropKey(person, await idIn(c));
      return c.redirect("/account", 303);
    }),
  );

  const showLeave = async (c: Context, person: Person, typed: string, error?: AccountForm["error"]) => {
    const [{ hasPassword }, agents] = await Promise.all([accounts.security(person), deps.tenants.list(person)]);
    const about = { email: person.email, typed, agents: agents.length, hasPassword };
    return show(c, person, "Delete your account", Leave, { ...about, error });
  };
  app.get(
    "/account/delete",
    signedIn((c, person) => showLeave(c, person, "")),
  );
  app.post(
    "/account/delete",
    signedIn(async (c, person) => {
      const { confirm, password } = leaving.parse(await readForm(c));
      if (confirm.toLowerCase() !== person.email.toLowerCase()) {
        return showLeave(c, person, confirm, { field: "confirm", message: "This is not the address of this account." });
      }
      const confirmed = await accounts.confirmAgain(person, password || undefined);
      if (!confirmed.ok) {
        const { code, field, detail } = confirmed.problem;
        if (code === "sign_in_again" && !field) return c.redirect("/sign-in?again&next=%2Faccount%2Fdelete", 303);
        return showLeave(c, person, confirm, { field: "password", message: detail ?? PROBLEM_WORDS[code].advice });
      }
      await deps.leave(person, deps.background(c));
      return page(c, { title: "You are out", person: null, children: <Left /> });
    }),
  );
}
