import type { FC, PropsWithChildren } from "hono/jsx";
import { browserName } from "./browsers.ts";
import type { ApiKeyView, Person, Scope, Security } from "./deps.ts";
import { Alert } from "./forms.tsx";
import { readableDay } from "./time.ts";
import { SCOPE_WORDS } from "./words.ts";

const day = (iso: string) => <time datetime={iso}>{readableDay(iso)}</time>;

/** One button that does one thing, as a form of its own. */
const Do: FC<PropsWithChildren<{ action: string; id?: string; label: string }>> = ({ action, id, label, children }) => (
  <form method="post" action={action}>
    {id ? <input type="hidden" name="id" value={id} /> : null}
    <button class="quiet small" type="submit" aria-label={label}>
      {children}
    </button>
  </form>
);

const Sessions: FC<{ security: Security }> = ({ security: { sessions } }) => (
  <section>
    <h2>Where you are signed in</h2>
    <ul class="sheet entries">
      {sessions.map(({ id, browser, address, createdAt, current }) => (
        <li>
          <div>
            <strong>{browserName(browser)}</strong>
            <p class="hint">
              {current ? "This browser. " : ""}
              {address ? `From ${address}, since ` : "Since "}
              {day(createdAt)}
            </p>
          </div>
          {current ? null : (
            <Do action="/account/sessions/end" id={id} label={`End the session of ${browserName(browser)}`}>
              End
            </Do>
          )}
        </li>
      ))}
    </ul>
    {sessions.length > 1 ? (
      <Do action="/account/sessions/end" label="End all other sessions">
        End all others
      </Do>
    ) : null}
  </section>
);

const Passkeys: FC<{ security: Security }> = ({ security: { passkeys } }) => (
  <section>
    <h2>Passkeys</h2>
    <p>A key in your device, instead of a password. It cannot be read off, guessed or phished.</p>
    {passkeys.length > 0 ? (
      <ul class="sheet entries">
        {passkeys.map(({ id, name, createdAt }) => (
          <li>
            <div>
              <strong>{name}</strong>
              {createdAt ? <p class="hint">Added {day(createdAt)}</p> : null}
            </div>
            <Do action="/account/passkeys/remove" id={id} label={`Remove the passkey ${name}`}>
              Remove
            </Do>
          </li>
        ))}
      </ul>
    ) : null}
    <div hidden data-passkey="register" data-next="/account" data-again="/sign-in?again&next=%2Faccount">
      <div class="field">
        <label for="passkey-name">Name of the device</label>
        <input id="passkey-name" type="text" maxlength={60} autocomplete="off" placeholder="My laptop" />
      </div>
      <button class="small" type="button">
        Add a passkey
      </button>
      <p class="error" role="alert" hidden>
        No passkey was added. Try again, or use another device.
      </p>
    </div>
    <p class="hint">Removing one ends all your other sessions, since it may have opened them.</p>
  </section>
);

const Password: FC<{ security: Security }> = ({ security: { hasPassword, twoFactor } }) => (
  <section>
    <h2>Password and code</h2>
    <ul class="sheet entries">
      <li>
        <div>
          <strong>Password</strong>
          <p class="hint">
            {hasPassword ? "A change ends all your other sessions." : "You sign in through another site and have none."}
          </p>
        </div>
        <a class="button quiet small" href={hasPassword ? "/account/password" : "/forgot"}>
          {hasPassword ? "Change" : "Choose one"}
        </a>
      </li>
      <li>
        <div>
          <strong>Code from an app</strong>
          <p class="hint">{twoFactor ? "On: your password alone opens nothing." : "Off."}</p>
        </div>
        <a class="button quiet small" href="/account/two-factor">
          {twoFactor ? "Manage" : "Turn on"}
        </a>
      </li>
    </ul>
  </section>
);

const words = (scopes: readonly Scope[]) => scopes.map((scope) => SCOPE_WORDS[scope].short).join(", ");

const Keys: FC<{ keys: readonly ApiKeyView[] }> = ({ keys }) => (
  <section>
    <h2>API keys</h2>
    <p>For programs of yours. Each does no more than you allow, and ends by itself.</p>
    {keys.length > 0 ? (
      <ul class="sheet entries">
        {keys.map(({ id, name, hint, scopes, expiresAt }) => (
          <li>
            <div>
              <strong>{name}</strong> <code>{`${hint}…`}</code>
              <p class="hint">
                {`May ${words(scopes)}. Until `}
                {day(expiresAt)}
              </p>
            </div>
            <Do action="/account/keys/remove" id={id} label={`Remove the key ${name}`}>
              Remove
            </Do>
          </li>
        ))}
      </ul>
    ) : null}
    <a class="button quiet small" href="/account/keys/new">
      New key
    </a>
  </section>
);

const Yours: FC = () => (
  <section>
    <h2>What is yours</h2>
    <p>Everything that is stored about you and your agents, in one file; of keys and passwords the names alone.</p>
    <p class="row">
      <a class="button quiet small" href="/api/v1/account/export" download="chelar.json">
        Download it
      </a>
      <a href="/account/delete">Delete the account</a>
    </p>
  </section>
);

/** Every way into this account, and how to close it. */
export const Account: FC<{ person: Person; security: Security; problem?: string }> = (props) => (
  <div class="middle">
    <h1>Your account</h1>
    <p class="lead">{props.person.email}</p>
    {props.problem ? <Alert title={props.problem} /> : null}
    <Sessions security={props.security} />
    <Passkeys security={props.security} />
    <Password security={props.security} />
    <Keys keys={props.security.keys} />
    <Yours />
  </div>
);
