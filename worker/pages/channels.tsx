import type { FC } from "hono/jsx";
import type { ChannelView } from "../channels/index.ts";
import { COUNT_WORDS, STOP_WORDS } from "./channels-words.ts";
import type { TenantView } from "./deps.ts";
import { Alert, Field } from "./forms.tsx";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";

export interface ChannelsProps {
  view: TenantView;
  /** Null where it is not connected. */
  telegram: ChannelView | null;
  /** Of the code that was just made: shown once, and kept nowhere. */
  code?: { code: string; until: string } | undefined;
  trouble?: { field: "token" | "person" | "page"; message: string } | undefined;
  typed?: string | undefined;
}

/** How people write to an agent, who is heard, and what became of what came today. */
export const ChannelsPage: FC<ChannelsProps> = (props) => (
  <article>
    <Tabs id={props.view.id} name={props.view.name} at="channels" />
    <h1>Its channels</h1>
    <p class="lead">
      Messages are kept, sealed, until your agent has them, awake or asleep. Only people on the list are heard;
      everybody else gets no answer and is counted.
    </p>
    {props.trouble?.field === "page" ? (
      <Alert title="This did not work">
        <p>{props.trouble.message}</p>
      </Alert>
    ) : null}
    {props.telegram ? (
      <Connected {...props} telegram={props.telegram} />
    ) : (
      <section class="sheet" aria-labelledby="telegram">
        <h2 id="telegram">Telegram</h2>
        <ConnectTelegram
          id={props.view.id}
          error={props.trouble?.field === "token" ? props.trouble.message : undefined}
        />
      </section>
    )}
  </article>
);

const ConnectTelegram: FC<{ id: string; error?: string | undefined }> = ({ id, error }) => (
  <form method="post" action={`/agents/${id}/channels/telegram`}>
    <p>
      In Telegram, write <code>/newbot</code> to <b>@BotFather</b> and follow what it says. At the end it gives you a
      token.
    </p>
    <Field
      name="token"
      label="Token of your bot"
      type="password"
      hint="Sealed at once, and opened only for Telegram and your agent's server."
      error={error}
      input={{ required: true, autocomplete: "off", spellcheck: "false", maxlength: 200 }}
    />
    <button type="submit">Connect Telegram</button>
  </form>
);

/** How somebody becomes one who is heard. Their number is what counts; nobody has to know it. */
const PairTelegram: FC<{ id: string; account: string; code?: ChannelsProps["code"] }> = (props) => (
  <>
    {props.code ? (
      <div class="notice" role="status">
        <p>
          Send this to <b>{props.account}</b> in Telegram. It works once, until {readableTime(props.code.until)}.
        </p>
        <p class="figure-line">
          <strong>{props.code.code}</strong>
        </p>
        <p>
          <a href={`https://t.me/${props.account.replace(/^@/, "")}?start=${props.code.code}`}>Open Telegram with it</a>
        </p>
      </div>
    ) : null}
    <form method="post" action={`/agents/${props.id}/channels/telegram/pairing`}>
      <button type="submit" class={props.code ? "quiet" : undefined}>
        {props.code ? "Make another code" : "Make a code"}
      </button>
    </form>
  </>
);

const Connected: FC<ChannelsProps & { telegram: ChannelView }> = ({ view, telegram, code, trouble, typed }) => (
  <>
    <section class="sheet" aria-labelledby="telegram">
      <h2 id="telegram">{`Telegram, ${telegram.account}`}</h2>
      <p role="status">{STATE[telegram.state]}</p>
      {telegram.failure ? <p class="warn">{telegram.failure}</p> : null}
      {telegram.stopped.map(({ conversation, at, why }) => (
        <div class="alert">
          <strong>A conversation was stopped</strong>
          <p>{`On ${readableTime(at)}, with ${conversation}: ${STOP_WORDS[why] ?? why}`}</p>
          <form method="post" action={`/agents/${view.id}/channels/telegram/resume`}>
            <input type="hidden" name="conversation" value={conversation} />
            <button type="submit" class="small quiet">
              Let it go on
            </button>
          </form>
        </div>
      ))}
    </section>
    <section class="sheet" aria-labelledby="people">
      <h2 id="people">Who is heard</h2>
      {telegram.people.length === 0 ? (
        <p>Nobody yet. Make a code and send it to your bot from your own phone.</p>
      ) : null}
      <ul class="entries">
        {telegram.people.map(({ id, addedAt }) => (
          <li>
            <div>
              <p>{id}</p>
              <p class="hint">{`Since ${readableTime(addedAt)}`}</p>
            </div>
            <form method="post" action={`/agents/${view.id}/channels/telegram/people/remove`}>
              <input type="hidden" name="person" value={id} />
              <button type="submit" class="small quiet" aria-label={`Do not hear ${id} any more`}>
                Remove
              </button>
            </form>
          </li>
        ))}
      </ul>
      <PairTelegram id={view.id} account={telegram.account} code={code} />
      <form method="post" action={`/agents/${view.id}/channels/telegram/people`}>
        <Field
          name="person"
          label="Or add somebody by their number"
          value={typed}
          hint="Telegram's number of that person, digits only. A name can be anybody's, so names do not count."
          error={trouble?.field === "person" ? trouble.message : undefined}
          input={{ required: true, inputmode: "numeric", autocomplete: "off", maxlength: 20 }}
        />
        <button type="submit" class="quiet">
          Add
        </button>
      </form>
    </section>
    <Today telegram={telegram} />
    <section class="sheet" aria-labelledby="leave">
      <h2 id="leave">Another bot, or none</h2>
      <ConnectTelegram id={view.id} error={trouble?.field === "token" ? trouble.message : undefined} />
      <form method="post" action={`/agents/${view.id}/channels/telegram/remove`}>
        <button type="submit" class="bad">
          Disconnect Telegram
        </button>
      </form>
    </section>
  </>
);

const STATE: Record<ChannelView["state"], string> = {
  connected: "Connected. Telegram sends your bot's messages here.",
  connecting: "Being connected.",
  failed: "Not connected.",
};

const Today: FC<{ telegram: ChannelView }> = ({ telegram: { today, waiting, perDay, refusals } }) => (
  <section class="sheet" aria-labelledby="today">
    <h2 id="today">Today</h2>
    <dl class="limits">
      <dt>Handed over</dt>
      <dd>{`${today.taken ?? 0} of at most ${perDay}`}</dd>
      <dt>Waiting</dt>
      <dd>{waiting}</dd>
      {Object.entries(COUNT_WORDS)
        .filter(([what]) => (today[what] ?? 0) > 0)
        .map(([what, words]) => (
          <>
            <dt>{words}</dt>
            <dd>{today[what]}</dd>
          </>
        ))}
    </dl>
    {refusals.length > 0 ? (
      <details>
        <summary>The latest refusals</summary>
        <ol class="events">
          {refusals.map(({ at, why, senderId }) => (
            <li>
              <time datetime={at}>{readableTime(at)}</time>
              <span>
                {COUNT_WORDS[why as keyof typeof COUNT_WORDS] ?? why}
                {senderId ? <span class="hint">{`from ${senderId}`}</span> : null}
              </span>
            </li>
          ))}
        </ol>
      </details>
    ) : null}
  </section>
);
