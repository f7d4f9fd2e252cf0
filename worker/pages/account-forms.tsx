import type { FC } from "hono/jsx";
import type { Scope } from "./deps.ts";
import { Alert, described, Field, Notes } from "./forms.tsx";
import { qrPath } from "./qr.ts";
import { SCOPE_WORDS } from "./words.ts";

export interface AccountForm {
  error?: { field?: string; message: string };
}
const at = (form: AccountForm, field: string) => (form.error?.field === field ? form.error.message : undefined);

const Back: FC = () => (
  <p class="crumb">
    <a href="/account">Your account</a>
  </p>
);
const Problem: FC<{ form: AccountForm }> = ({ form }) =>
  form.error && !form.error.field ? <Alert title={form.error.message} /> : null;

const CurrentPassword: FC<{ form: AccountForm }> = ({ form }) => (
  <Field
    name="password"
    label="Your present password"
    type="password"
    error={at(form, "password")}
    input={{ autocomplete: "current-password", maxlength: 128 }}
  />
);

export const ChangePassword: FC<AccountForm> = (form) => (
  <section class="narrow">
    <Back />
    <h1>Change your password</h1>
    <Problem form={form} />
    <form method="post" action="/account/password" class="sheet">
      <CurrentPassword form={form} />
      <Field
        name="newPassword"
        label="New password"
        type="password"
        hint="At least 10 characters. All your other sessions end."
        error={at(form, "newPassword")}
        input={{ required: true, autocomplete: "new-password", minlength: 10, maxlength: 128 }}
      />
      <button type="submit">Change password</button>
    </form>
  </section>
);

export const TwoFactor: FC<AccountForm & { isOn: boolean; hasPassword: boolean }> = (form) => (
  <section class="narrow">
    <Back />
    <h1>Code from an app</h1>
    <p class="lead">
      {form.isOn
        ? "It is on. Your password alone opens nothing."
        : "After your password, we ask for six digits that only your phone knows."}
    </p>
    <Problem form={form} />
    <form method="post" action="/account/two-factor" class="sheet">
      {form.hasPassword ? <CurrentPassword form={form} /> : null}
      <div class="row">
        {form.isOn ? (
          <>
            <button name="do" value="codes" type="submit">
              New recovery codes
            </button>
            <button class="bad" name="do" value="off" type="submit">
              Turn off
            </button>
          </>
        ) : (
          <button name="do" value="on" type="submit">
            Turn on
          </button>
        )}
      </div>
    </form>
  </section>
);

export const RecoveryCodes: FC<{ codes: readonly string[] }> = ({ codes }) => (
  <>
    <h2>Recovery codes</h2>
    <p>Each opens your account once, in the place of a code from the app. Keep them where your phone is not.</p>
    <ul class="codes">
      {codes.map((code) => (
        <li>
          <code>{code}</code>
        </li>
      ))}
    </ul>
  </>
);

export const NewCodes: FC<{ codes: readonly string[] }> = ({ codes }) => (
  <section class="narrow">
    <Back />
    <h1>New recovery codes</h1>
    <div class="sheet">
      <RecoveryCodes codes={codes} />
    </div>
    <p>The old ones are worth nothing from now on, and these are shown only now.</p>
  </section>
);

/** The secret stands on the page as a drawing and as text: for a camera, and for whoever reads this on the phone. */
export const TwoFactorSetup: FC<AccountForm & { uri: string; codes: readonly string[] }> = (form) => {
  const qr = qrPath(form.uri);
  const secret = new URL(form.uri).searchParams.get("secret") ?? "";
  return (
    <section class="narrow">
      <Back />
      <h1>Connect your app</h1>
      <Problem form={form} />
      <form method="post" action="/account/two-factor/confirm" class="sheet">
        <p>Scan this with an authenticator app, or enter the key by hand.</p>
        {qr ? (
          <svg class="qr" viewBox={`-4 -4 ${qr.size + 8} ${qr.size + 8}`} role="img" aria-label="The key as a QR code">
            <rect x="-4" y="-4" width={qr.size + 8} height={qr.size + 8} />
            <path d={qr.path} />
          </svg>
        ) : null}
        <p>
          <a href={form.uri}>Open in an app on this device</a>, or enter: <code class="secret">{secret}</code>
        </p>
        <input type="hidden" name="uri" value={form.uri} />
        <input type="hidden" name="codes" value={form.codes.join(" ")} />
        <RecoveryCodes codes={form.codes} />
        <Field
          name="code"
          label="Code that the app shows now"
          error={at(form, "code")}
          input={{ required: true, inputmode: "numeric", autocomplete: "one-time-code", maxlength: 10 }}
        />
        <button type="submit">Turn on</button>
      </form>
    </section>
  );
};

export const KEY_DAYS = [7, 30, 90, 365] as const;
export interface KeyForm extends AccountForm {
  name: string;
  scopes: readonly string[];
  days: number;
}

export const NewKey: FC<KeyForm> = (form) => (
  <section class="narrow">
    <Back />
    <h1>New API key</h1>
    <Problem form={form} />
    <form method="post" action="/account/keys/new" class="sheet">
      <Field
        name="name"
        label="What is it for?"
        value={form.name}
        error={at(form, "name")}
        input={{ required: true, maxlength: 60, autocomplete: "off" }}
      />
      <fieldset class="field" aria-describedby={described("scopes", undefined, at(form, "scopes"))}>
        <legend>It may</legend>
        {(Object.entries(SCOPE_WORDS) as [Scope, { short: string; about: string }][]).map(
          ([scope, { short, about }]) => (
            <label class="choice">
              <input type="checkbox" name="scopes" value={scope} checked={form.scopes.includes(scope)} />
              <span>
                <strong>{short}</strong>
                <span class="hint">{about}</span>
              </span>
            </label>
          ),
        )}
        <Notes name="scopes" error={at(form, "scopes")} />
      </fieldset>
      <div class="field">
        <label for="days">It ends after</label>
        <select id="days" name="days">
          {KEY_DAYS.map((days) => (
            <option value={String(days)} selected={form.days === days}>
              {`${days} days`}
            </option>
          ))}
        </select>
      </div>
      <button type="submit">Make the key</button>
    </form>
  </section>
);

export const MadeKey: FC<{ name: string; apiKey: string }> = ({ name, apiKey }) => (
  <section class="narrow">
    <Back />
    <h1>Your new key</h1>
    <p class="lead">{`“${name}” is shown only now. Copy it to where it is needed.`}</p>
    <p class="sheet">
      <code class="secret">{apiKey}</code>
    </p>
    <p>
      Send it as <code>Authorization: Bearer …</code>, to our API and, where you allowed it, to your agents.
    </p>
  </section>
);

export const Leave: FC<AccountForm & { email: string; typed: string; agents: number; hasPassword: boolean }> = (
  form,
) => (
  <section class="narrow">
    <Back />
    <h1>Delete your account</h1>
    <p class="lead">
      {form.agents > 0
        ? `Your ${form.agents === 1 ? "agent is" : `${form.agents} agents are`} destroyed with everything in them, one proof for each.`
        : "Nothing of it is left but the proof."}
    </p>
    <p>
      You are signed out at once, on every device. What you subscribe to ends. When nothing is left, a signed receipt
      comes to your address. This cannot be taken back.
    </p>
    <Problem form={form} />
    <form method="post" action="/account/delete" class="sheet">
      <Field
        name="confirm"
        label={`Type your address, ${form.email}, to confirm`}
        value={form.typed}
        error={at(form, "confirm")}
        input={{ required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }}
      />
      {form.hasPassword ? <CurrentPassword form={form} /> : null}
      <button type="submit" class="bad">
        Delete for good
      </button>
    </form>
  </section>
);

export const Left: FC = () => (
  <section class="narrow">
    <h1>You are out</h1>
    <p class="lead">Your agents are being destroyed, and then the account. A signed receipt comes to your address.</p>
  </section>
);
