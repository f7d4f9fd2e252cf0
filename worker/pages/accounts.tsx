import type { FC } from "hono/jsx";
import { Alert, Field } from "./forms.tsx";

export interface CredentialForm {
  /** Where to go afterwards: a path of this site, or null. */
  next: string | null;
  name?: string;
  email?: string;
  error?: { field?: "email" | "password" | "name"; message: string };
}

const at = (form: CredentialForm, field: "email" | "password" | "name") =>
  form.error?.field === field ? form.error.message : undefined;

const withNext = (path: string, next: string | null) => (next ? `${path}?next=${encodeURIComponent(next)}` : path);

const Next: FC<{ next: string | null }> = ({ next }) =>
  next ? <input type="hidden" name="next" value={next} /> : null;

export const SignUp: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Start your trial</h1>
    <p class="lead">14 days with everything of Pro. No card.</p>
    {form.error && !form.error.field ? <Alert title={form.error.message} /> : null}
    <form method="post" action="/sign-up" class="sheet">
      <Next next={form.next} />
      <Field
        name="name"
        label="Your name"
        value={form.name}
        error={at(form, "name")}
        input={{ required: true, autocomplete: "name", maxlength: 100 }}
      />
      <Field
        name="email"
        label="E-mail"
        type="email"
        value={form.email}
        error={at(form, "email")}
        input={{ required: true, autocomplete: "email", maxlength: 254 }}
      />
      <Field
        name="password"
        label="Password"
        type="password"
        hint="At least 10 characters. A few words in a row are both strong and easy to remember."
        error={at(form, "password")}
        input={{ required: true, autocomplete: "new-password", minlength: 10, maxlength: 128 }}
      />
      <button type="submit">Create account</button>
    </form>
    <p>
      Here before? <a href={withNext("/sign-in", form.next)}>Sign in</a>
    </p>
  </section>
);

export const SignIn: FC<CredentialForm> = (form) => (
  <section class="narrow">
    <h1>Sign in</h1>
    <p class="lead">The door opens only for you.</p>
    {form.error && !form.error.field ? <Alert title={form.error.message} /> : null}
    <form method="post" action="/sign-in" class="sheet">
      <Next next={form.next} />
      <Field
        name="email"
        label="E-mail"
        type="email"
        value={form.email}
        error={at(form, "email")}
        input={{ required: true, autocomplete: "username", maxlength: 254 }}
      />
      <Field
        name="password"
        label="Password"
        type="password"
        error={at(form, "password")}
        input={{ required: true, autocomplete: "current-password", maxlength: 128 }}
      />
      <button type="submit">Sign in</button>
    </form>
    <p>
      New here? <a href={withNext("/sign-up", form.next)}>Start a free trial</a>
    </p>
  </section>
);
