import type { FC } from "hono/jsx";
import { CHANNELS, type ChannelName, HAND_OVER } from "../../schema/protocol/index.ts";
import type { ChannelView } from "../channels/index.ts";
import { CHANNEL_WORDS, Connect, Setup } from "./channels-connect.tsx";
import { COUNT_WORDS, STOP_WORDS } from "./channels-words.ts";
import type { TenantView } from "./deps.ts";
import { Alert, Field } from "./forms.tsx";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";

export interface ChannelsProps {
  view: TenantView;
  /** Which one the page is about. */
  kind: ChannelName;
  /** All that are connected. */
  all: readonly ChannelView[];
  /** Of the code that was just made: shown once, and kept nowhere. */
  code?: { code: string; until: string } | undefined;
  trouble?: { field: "token" | "secret" | "account" | "person" | "page"; message: string } | undefined;
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
    <nav class="tabs" aria-label="Channels">
      {CHANNELS.filter((kind) => HAND_OVER[props.view.runtime][kind]).map((kind) => (
        <a href={channelPage(props.view.id, kind)} aria-current={kind === props.kind ? "page" : undefined}>
          {CHANNEL_WORDS[kind].label}
        </a>
      ))}
    </nav>
    <One {...props} />
  </article>
);

export const channelPage = (id: string, kind: ChannelName): string =>
  `/agents/${id}/channels${kind === "telegram" ? "" : `/${kind}`}`;

const One: FC<ChannelsProps> = (props) => {
  const { view, kind, all, trouble } = props;
  const channel = all.find((one) => one.kind === kind);
  const { label } = CHANNEL_WORDS[kind];
  if (channel) return <Connected {...props} channel={channel} />;
  return (
    <section class="sheet" aria-labelledby="channel">
      <h2 id="channel">{label}</h2>
      {HAND_OVER[view.runtime][kind] ? (
        <Connect id={view.id} kind={kind} trouble={trouble} />
      ) : (
        <p>{`This agent cannot be reached over ${label}: what it runs has no place for it.`}</p>
      )}
    </section>
  );
};

/** How somebody becomes one who is heard. Their number is what counts; nobody has to know it. */
const Pair: FC<{ id: string; kind: ChannelName; account: string; code?: ChannelsProps["code"] }> = (props) => (
  <>
    {props.code ? (
      <div class="notice" role="status">
        <p>
          {`${CHANNEL_WORDS[props.kind].pair(props.account, props.code.code)} It works once, until ${readableTime(props.code.until)}.`}
        </p>
        <p class="figure-line">
          <strong>{props.code.code}</strong>
        </p>
        {props.kind === "telegram" ? (
          <p>
            <a href={`https://t.me/${props.account.replace(/^@/, "")}?start=${props.code.code}`}>
              Open Telegram with it
            </a>
          </p>
        ) : null}
      </div>
    ) : null}
    <form method="post" action={`/agents/${props.id}/channels/${props.kind}/pairing`}>
      <button type="submit" class={props.code ? "quiet" : undefined}>
        {props.code ? "Make another code" : "Make a code"}
      </button>
    </form>
  </>
);

const Connected: FC<ChannelsProps & { channel: ChannelView }> = ({ view, channel, code, trouble, typed }) => (
  <>
    <section class="sheet" aria-labelledby="channel">
      <h2 id="channel">{`${CHANNEL_WORDS[channel.kind].label}, ${channel.account}`}</h2>
      <p role="status">{stateOf(channel)}</p>
      <Setup kind={channel.kind} setup={channel.state === "connected" ? null : channel.setup} />
      {channel.failure ? <p class="warn">{channel.failure}</p> : null}
      {channel.stopped.map(({ conversation, at, why }) => (
        <div class="alert">
          <strong>A conversation was stopped</strong>
          <p>{`On ${readableTime(at)}, with ${conversation}: ${STOP_WORDS[why] ?? why}`}</p>
          <form method="post" action={`/agents/${view.id}/channels/${channel.kind}/resume`}>
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
      {channel.people.length === 0 ? <p>Nobody yet. Make a code and send it to your bot from your own phone.</p> : null}
      <ul class="entries">
        {channel.people.map(({ id, addedAt }) => (
          <li>
            <div>
              <p>{id}</p>
              <p class="hint">{`Since ${readableTime(addedAt)}`}</p>
            </div>
            <form method="post" action={`/agents/${view.id}/channels/${channel.kind}/people/remove`}>
              <input type="hidden" name="person" value={id} />
              <button type="submit" class="small quiet" aria-label={`Remove ${id}`}>
                Remove
              </button>
            </form>
          </li>
        ))}
      </ul>
      <Pair id={view.id} kind={channel.kind} account={channel.account} code={code} />
      <form method="post" action={`/agents/${view.id}/channels/${channel.kind}/people`}>
        <Field
          name="person"
          label={channel.kind === "slack" ? "Or add somebody by their member ID" : "Or add somebody by their number"}
          value={typed}
          hint={CHANNEL_WORDS[channel.kind].person}
          error={trouble?.field === "person" ? trouble.message : undefined}
          input={{
            required: true,
            inputmode: channel.kind === "slack" ? "text" : "numeric",
            autocomplete: "off",
            maxlength: 20,
          }}
        />
        <button type="submit" class="quiet">
          Add
        </button>
      </form>
    </section>
    <Today channel={channel} />
    <section class="sheet" aria-labelledby="leave">
      <h2 id="leave">Another bot, or none</h2>
      <Connect id={view.id} kind={channel.kind} trouble={trouble} />
      <form method="post" action={`/agents/${view.id}/channels/${channel.kind}/remove`}>
        <button type="submit" class="bad">
          {`Disconnect ${CHANNEL_WORDS[channel.kind].label}`}
        </button>
      </form>
    </section>
  </>
);

const stateOf = ({ state, kind, setup }: ChannelView): string => {
  if (state === "connected") return `Connected. ${CHANNEL_WORDS[kind].label} sends your bot's messages here.`;
  if (state === "failed") return "Not connected.";
  return setup === null ? "Being connected." : "One step is yours: tell it where to send.";
};

const Today: FC<{ channel: ChannelView }> = ({ channel: { today, waiting, perDay, refusals } }) => (
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
