import type { FC } from "hono/jsx";
import { RUNTIMES, type RuntimeName, SLUG_MAX, SLUG_MIN } from "../../schema/protocol/index.ts";
import { PROVIDERS } from "../vault/index.ts";
import { Alert, described, Field, Notes } from "./forms.tsx";
import type { CreateField } from "./rules.ts";
import { RUNTIME_WORDS } from "./words.ts";

/** Channels need more than a key, so they have no place on this form. */
export const MODEL_PROVIDERS = PROVIDERS.filter(({ kind }) => kind === "model");

export interface CreateForm {
  name: string;
  runtime: string;
  /** Empty: anywhere. */
  region: string;
  provider: string;
  /** Whether a key was sent: it is not kept, so the person is told to paste it again. */
  keyWasGiven: boolean;
  error?: { field: CreateField | "provider" | null; title: string; message: string };
}

export const EMPTY_CREATE_FORM: CreateForm = {
  name: "",
  runtime: "openclaw",
  region: "",
  provider: "",
  keyWasGiven: false,
};

export const Create: FC<{ form: CreateForm; domain: string; regions: readonly string[] }> = ({
  form,
  domain,
  regions,
}) => {
  const at = (field: CreateField | "provider") =>
    form.error?.field === field ? `${form.error.title}. ${form.error.message}` : undefined;
  const keyError = at("key") ?? (form.keyWasGiven ? "Please paste the key again: we did not keep it." : undefined);
  return (
    <section class="narrow">
      <h1>New agent</h1>
      <p class="lead">Three questions, and its walls go up.</p>
      {form.error && !form.error.field ? (
        <Alert title={form.error.title}>
          <p>{form.error.message}</p>
        </Alert>
      ) : null}
      <form method="post" action="/agents/new" class="sheet">
        <Field
          name="name"
          label="Name"
          value={form.name}
          hint={`Small letters, digits and single hyphens. Its address will be name${domain}`}
          error={at("name")}
          input={{
            required: true,
            autocomplete: "off",
            autocapitalize: "none",
            spellcheck: "false",
            minlength: SLUG_MIN,
            maxlength: SLUG_MAX,
            pattern: "[a-z][a-z0-9]*(-[a-z0-9]+)*",
            title: "Small letters, digits and single hyphens, a letter first",
          }}
        />
        <fieldset class="field" aria-describedby={described("runtime", undefined, at("runtime"))}>
          <legend>Runtime</legend>
          {RUNTIMES.map((runtime) => (
            <Runtime runtime={runtime} chosen={form.runtime === runtime} />
          ))}
          <Notes name="runtime" error={at("runtime")} />
        </fieldset>
        {regions.length > 1 ? (
          <div class="field">
            <label for="region">Where its server stands</label>
            <select id="region" name="region" aria-describedby={described("region", undefined, at("region"))}>
              <option value="" selected={form.region === ""}>
                Wherever there is room
              </option>
              {regions.map((region) => (
                <option value={region} selected={form.region === region}>
                  {region}
                </option>
              ))}
            </select>
            <Notes name="region" error={at("region")} />
          </div>
        ) : null}
        <fieldset class="field group">
          <legend>
            Model provider <span class="optional">optional</span>
          </legend>
          <div class="field">
            <label for="provider">Provider</label>
            <select id="provider" name="provider" aria-describedby={described("provider", undefined, at("provider"))}>
              <option value="" selected={form.provider === ""}>
                Decide later
              </option>
              {MODEL_PROVIDERS.map((provider) => (
                <option value={provider.id} selected={form.provider === provider.id}>
                  {provider.label}
                </option>
              ))}
            </select>
            <Notes name="provider" error={at("provider")} />
          </div>
          <Field
            name="key"
            label="API key"
            type="password"
            hint="Sealed at once. It can be replaced later, but never read back: not by us, not by you."
            error={keyError}
            input={{ autocomplete: "off", spellcheck: "false", maxlength: 8192 }}
          />
        </fieldset>
        <button type="submit">Create agent</button>
      </form>
    </section>
  );
};

const Runtime: FC<{ runtime: RuntimeName; chosen: boolean }> = ({ runtime, chosen }) => (
  <label class="choice">
    <input type="radio" name="runtime" value={runtime} checked={chosen} required />
    <span>
      <strong>{RUNTIME_WORDS[runtime].name}</strong>
      <span class="hint">{RUNTIME_WORDS[runtime].about}</span>
    </span>
  </label>
);
