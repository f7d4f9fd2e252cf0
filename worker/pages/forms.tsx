import type { FC, PropsWithChildren } from "hono/jsx";

interface FieldProps {
  name: string;
  label: string;
  type?: "text" | "email" | "password";
  value?: string;
  hint?: string;
  error?: string | undefined;
  /** Any further attribute of the input: `required`, `autocomplete`, `minlength` … */
  input?: Record<string, string | number | boolean>;
}

/** A labelled input whose hint and error are read out with it. The value of a password is never rendered. */
export const Field: FC<FieldProps> = ({ name, label, type = "text", value, hint, error, input = {} }) => (
  <div class="field">
    <label for={name}>{label}</label>
    <input
      id={name}
      name={name}
      type={type}
      value={type === "password" ? undefined : value}
      aria-describedby={described(name, hint, error)}
      aria-invalid={error ? "true" : undefined}
      {...input}
      autofocus={Boolean(error) || undefined}
    />
    <Notes name={name} hint={hint} error={error} />
  </div>
);

/** What belongs below an input: its error first, since that is what the person is looking for. */
export const Notes: FC<{ name: string; hint?: string | undefined; error?: string | undefined }> = (props) => (
  <>
    {props.error ? (
      <p class="error" id={`${props.name}-error`}>
        {props.error}
      </p>
    ) : null}
    {props.hint ? (
      <p class="hint" id={`${props.name}-hint`}>
        {props.hint}
      </p>
    ) : null}
  </>
);

export const described = (name: string, hint?: string, error?: string): string | undefined =>
  [error && `${name}-error`, hint && `${name}-hint`].filter(Boolean).join(" ") || undefined;

/** A message about the whole form, or about the page. */
export const Alert: FC<PropsWithChildren<{ title: string }>> = ({ title, children }) => (
  <div class="alert" role="alert">
    <strong>{title}</strong>
    {children}
  </div>
);
