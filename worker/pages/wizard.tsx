import type { FC, PropsWithChildren } from "hono/jsx";
import { BUILT_RUNTIMES, type RuntimeName, SLUG_MAX, SLUG_MIN } from "../../schema/protocol/index.ts";
import { PROVIDERS } from "../vault/index.ts";
import { Alert, described, Field, Notes } from "./forms.tsx";
import type { CreateField } from "./rules.ts";
import { Stages } from "./stages.tsx";
import { RUNTIME_WORDS } from "./words.ts";

export const MODEL_PROVIDERS = PROVIDERS.filter(({ kind }) => kind === "model");

/** What has been answered so far. It stands in the address, so it must never hold anything secret. */
export interface Draft {
  name: string;
  runtime: string;
  /** Empty: anywhere. */
  region: string;
  provider: string;
}
export type Question = "name" | "runtime" | "model";

export interface WizardProps {
  question: Question;
  draft: Draft;
  domain: string;
  regions: readonly string[];
  error?: { field: CreateField | "provider" | null; title?: string; message: string } | undefined;
  /** Whether a key was sent with what was refused: it is not kept, so the person is told to paste it again. */
  keyWasGiven?: boolean;
  /** The provider says no to the key: whoever knows better may go on all the same. */
  mayInsist?: boolean;
}

/** The first question that has no answer yet. */
export function nextQuestion(draft: Draft): Question {
  if (!draft.name) return "name";
  return (BUILT_RUNTIMES as readonly string[]).includes(draft.runtime) ? "model" : "runtime";
}

/** Where a question is asked again, with everything that was answered already. */
export function questionPath(question: Question, draft: Draft): string {
  const answered = Object.entries(draft).filter(([, value]) => value !== "");
  return `/agents/new?${new URLSearchParams([...answered, ["at", question]])}`;
}

export const Wizard: FC<WizardProps> = (props) => {
  const { question, draft, error } = props;
  const links = { name: questionPath("name", draft), runtime: questionPath("runtime", draft) };
  return (
    <section class="narrow">
      <Stages at={question} links={links} />
      {error && !error.field ? (
        <Alert title={error.title ?? "This did not work"}>
          <p>{error.message}</p>
        </Alert>
      ) : null}
      <Asked {...props} />
    </section>
  );
};

const Asked: FC<WizardProps> = (props) => {
  switch (props.question) {
    case "name":
      return <Name {...props} />;
    case "runtime":
      return <Runtime {...props} />;
    case "model":
      return <Model {...props} />;
  }
};

const at = ({ error }: WizardProps, field: CreateField | "provider") =>
  error?.field === field ? [error.title, error.message].filter(Boolean).join(". ") : undefined;

/** Answers to the other questions travel along. */
const Kept: FC<{ draft: Draft; but: readonly (keyof Draft)[] }> = ({ draft, but }) => (
  <>
    {(Object.keys(draft) as (keyof Draft)[])
      .filter((name) => !but.includes(name) && draft[name] !== "")
      .map((name) => (
        <input type="hidden" name={name} value={draft[name]} />
      ))}
  </>
);

const Question: FC<PropsWithChildren<{ title: string; lead: string; why: string }>> = ({
  title,
  lead,
  why,
  children,
}) => (
  <>
    <h1>{title}</h1>
    <p class="lead">{lead}</p>
    {children}
    <p class="hint">{why}</p>
  </>
);

const Name: FC<WizardProps> = (props) => (
  <Question
    title="What is it called?"
    lead="Its name is also its address, and stays the same for as long as it lives."
    why="Names are unique on the whole platform. After a deletion yours stays reserved for you for a while, so that nobody can pose as your agent."
  >
    <form method="get" action="/agents/new" class="sheet">
      <Kept draft={props.draft} but={["name"]} />
      <Field
        name="name"
        label="Name"
        value={props.draft.name}
        hint={`Small letters, digits and single hyphens. Its address will be name${props.domain}`}
        error={at(props, "name")}
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
      <button type="submit">Continue</button>
    </form>
  </Question>
);

const Runtime: FC<WizardProps> = (props) => {
  const { draft, regions } = props;
  return (
    <Question
      title="What does it run?"
      lead="The software that is your agent. Whichever you choose, the five walls are the same."
      why="The server prepares each runtime once. The system inside is read-only, so an agent that is talked into something cannot rewrite itself."
    >
      <form method="get" action="/agents/new" class="sheet">
        <Kept draft={draft} but={["runtime", "region"]} />
        <fieldset class="field" aria-describedby={described("runtime", undefined, at(props, "runtime"))}>
          <legend>Runtime</legend>
          {BUILT_RUNTIMES.map((runtime) => (
            <RuntimeChoice runtime={runtime} chosen={(draft.runtime || "openclaw") === runtime} />
          ))}
          <Notes name="runtime" error={at(props, "runtime")} />
        </fieldset>
        {regions.length > 1 ? (
          <div class="field">
            <label for="region">Where its server stands</label>
            <select id="region" name="region" aria-describedby={described("region", undefined, at(props, "region"))}>
              <option value="" selected={draft.region === ""}>
                Wherever there is room
              </option>
              {regions.map((region) => (
                <option value={region} selected={draft.region === region}>
                  {region}
                </option>
              ))}
            </select>
            <Notes name="region" error={at(props, "region")} />
          </div>
        ) : null}
        <button type="submit">Continue</button>
      </form>
    </Question>
  );
};

const RuntimeChoice: FC<{ runtime: RuntimeName; chosen: boolean }> = ({ runtime, chosen }) => (
  <label class="choice">
    <input type="radio" name="runtime" value={runtime} checked={chosen} required />
    <span>
      <strong>{RUNTIME_WORDS[runtime].name}</strong>
      <span class="hint">{RUNTIME_WORDS[runtime].about}</span>
    </span>
  </label>
);

const PASTE_AGAIN = "Please paste the key again: we did not keep it.";

const Model: FC<WizardProps> = (props) => (
  <Question
    title="Which model does it think with?"
    lead="Your agent calls the model with a key of yours, so you pay its provider and nobody in between."
    why="The key is tried once, then sealed with AES-256-GCM before it is stored, and opened only for this agent's server. It can be replaced, but never read back: not by us, not by you."
  >
    <form method="post" action="/agents/new" class="sheet">
      <Kept draft={props.draft} but={["provider"]} />
      <div class="field">
        <label for="provider">Provider</label>
        <select
          id="provider"
          name="provider"
          aria-describedby={described("provider", undefined, at(props, "provider"))}
          aria-invalid={at(props, "provider") ? "true" : undefined}
        >
          <option value="" selected={props.draft.provider === ""}>
            Choose one
          </option>
          {MODEL_PROVIDERS.map((provider) => (
            <option value={provider.id} selected={props.draft.provider === provider.id}>
              {provider.label}
            </option>
          ))}
        </select>
        <Notes name="provider" error={at(props, "provider")} />
      </div>
      <Field
        name="key"
        label="API key"
        type="password"
        hint="Pasted from the provider's console. We ask the provider right away whether it works."
        error={at(props, "key") ?? (props.keyWasGiven ? PASTE_AGAIN : undefined)}
        input={{ autocomplete: "off", spellcheck: "false", maxlength: 8192 }}
      />
      {props.mayInsist ? (
        <label class="choice">
          <input type="checkbox" name="insist" value="yes" />
          <span>Use it all the same.</span>
        </label>
      ) : null}
      <div class="row">
        <button type="submit">Create {props.draft.name}</button>
        <button type="submit" class="quiet" name="later" value="yes">
          Add a key later
        </button>
      </div>
    </form>
  </Question>
);
