import type { FC } from "hono/jsx";
import type { SocialSite } from "./deps.ts";
import { Alert, Field } from "./forms.tsx";

export type CredentialField = "email" | "password" | "name" | "newPassword" | "code";

export interface CredentialForm {
  /** Where to go afterwards: a path of this site, or null. */
  next: string | null;
  name?: string;
  email?: string;
  /** Of the link in a mail. */
  token?: string;
  social?: readonly SocialSite[];
  error?: { field?: CredentialField; message: string };
}

const at = (form: CredentialForm, field: CredentialField) =>
  form.error?.field === field ? form.error.message : undefined;

export const withNext = (path: string, next: string | null) =>
  next ? `${path}?next=${encodeURIComponent(next)}` : path;

const Next: FC<{ next: string | null }> = ({ next }) =>
  next ? <input type="hidden" name="next" value={next} /> : null;

const Problem: FC<{ form: CredentialForm }> = ({ form }) =>
  form.error && !form.error.field ? <Alert title={form.error.message} /> : null;

const Email: FC<{ form: CredentialForm; autocomplete: "email" | "username" }> = ({ form, autocomplete }) => (
  <Field
    name="email"
    label="E-mail"
    type="email"
    value={form.email}
    error={at(form, "email")}
    input={{ required: true, autocomplete, maxlength: 254 }}
  />
);

const PASSWORD_HINT = "At least 10 characters. A few words in a row are both strong and easy to remember.";

const Password: FC<{ form: CredentialForm; isNew?: boolean; name?: "password" | "newPassword"; label?: string }> = ({
  form,
  isNew = false,
  name = "password",
  label = "Password",
}) => (
  <Field
    name={name}
    label={label}
    type="password"
    hint={isNew ? PASSWORD_HINT : undefined}
    error={at(form, name)}
    input={{
      required: true,
      autocomplete: isNew ? "new-password" : "current-password",
      maxlength: 128,
      ...(isNew ? { minlength: 10 } : {}),
    }}
  />
);

const SITES: Record<SocialSite, string> = { google: "Google", github: "GitHub" };

const OtherWays: FC<{ form: CredentialForm }> = ({ form }) => (
  <>
    {form.social?.map((site) => (
      <form method="post" action={`/sign-in/${site}`}>
        <Next next={form.next} />
        <button class="quiet wide" type="submit">{`Continue with ${SITES[site]}`}</button>
      </form>
    ))}
  </>
);

export const SignUp: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Start your trial</h1>
    <p class="lead">14 days with everything of Pro. No card.</p>
    <Problem form={form} />
    <form method="post" action="/sign-up" class="sheet">
      <Next next={form.next} />
      <Field
        name="name"
        label="Your name"
        value={form.name}
        error={at(form, "name")}
        input={{ required: true, autocomplete: "name", maxlength: 100 }}
      />
      <Email form={form} autocomplete="email" />
      <Password form={form} isNew />
      <button type="submit">Create account</button>
    </form>
    <OtherWays form={form} />
    <p>
      Here before? <a href={withNext("/sign-in", form.next)}>Sign in</a>
    </p>
  </section>
);

export const SignIn: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Sign in</h1>
    <p class="lead">The door opens only for you.</p>
    <Problem form={form} />
    <form method="post" action="/sign-in" class="sheet">
      <Next next={form.next} />
      <Email form={form} autocomplete="username" />
      <Password form={form} />
      <div class="row">
        <button type="submit">Sign in</button>
        <a href="/forgot">Forgot the password?</a>
      </div>
    </form>
    <div class="ways">
      <div hidden data-passkey="sign-in" data-next={form.next ?? "/agents"}>
        <button class="quiet wide" type="button">
          Sign in with a passkey
        </button>
        <p class="error" role="alert" hidden>
          The passkey was not accepted. Try again, or sign in with your password.
        </p>
      </div>
      <OtherWays form={form} />
    </div>
    <p>
      New here? <a href={withNext("/sign-up", form.next)}>Start a free trial</a>
    </p>
  </section>
);

/** The same words whoever is meant: nobody learns here who has an account. */
export const Posted: FC<{ about: "sign-up" | "reset"; email: string; mailbox: boolean }> = (props) => (
  <section class="narrow">
    <h1>Look into your mail</h1>
    <p class="lead">
      {props.about === "sign-up"
        ? "We have written to you. Follow the link in the mail, and you are in."
        : "If there is an account with this address, a mail with a link is on its way."}
    </p>
    <p>{`To ${props.email}. It can take a minute; if nothing comes, look among the unwanted mail.`}</p>
    {props.about === "sign-up" ? (
      <form method="post" action="/verify/again">
        <input type="hidden" name="email" value={props.email} />
        <button class="quiet" type="submit">
          Send it again
        </button>
      </form>
    ) : null}
    {props.mailbox ? (
      <p>
        This machine sends no mail: it is in <a href="/dev/mailbox">the mailbox</a>.
      </p>
    ) : null}
  </section>
);

export const Confirm: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Confirm your address</h1>
    <p class="lead">With the password that you have just chosen, so that we know it was you.</p>
    <Problem form={form} />
    <form method="post" action="/verify" class="sheet">
      <input type="hidden" name="token" value={form.token} />
      <Password form={form} />
      <button type="submit">Confirm and sign in</button>
    </form>
    <p>
      Forgot it already? <a href="/forgot">Choose a new one</a>
    </p>
  </section>
);

export const Code: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>One more step</h1>
    <p class="lead">The code from your authenticator app, or one of your recovery codes.</p>
    <Problem form={form} />
    <form method="post" action="/sign-in/code" class="sheet">
      <Next next={form.next} />
      <Field
        name="code"
        label="Code"
        hint="Six digits; a recovery code looks like aB3dE-fG5hI and works once."
        error={at(form, "code")}
        input={{
          required: true,
          autocomplete: "one-time-code",
          maxlength: 20,
          spellcheck: "false",
          autocapitalize: "off",
        }}
      />
      <button type="submit">Sign in</button>
    </form>
    <p>
      <a href={withNext("/sign-in", form.next)}>Start again</a>
    </p>
  </section>
);

export const Forgot: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Choose a new password</h1>
    <p class="lead">We send a link to your address.</p>
    <Problem form={form} />
    <form method="post" action="/forgot" class="sheet">
      <Email form={form} autocomplete="username" />
      <button type="submit">Send the link</button>
    </form>
    <p>
      Remembered? <a href="/sign-in">Sign in</a>
    </p>
  </section>
);

export const Reset: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Your new password</h1>
    <p class="lead">All sessions end when it changes, on every device.</p>
    <Problem form={form} />
    <form method="post" action="/reset" class="sheet">
      <input type="hidden" name="token" value={form.token} />
      <Password form={form} isNew label="New password" />
      <button type="submit">Change password</button>
    </form>
    <p>
      Link too old? <a href="/forgot">Ask for a new one</a>
    </p>
  </section>
);
