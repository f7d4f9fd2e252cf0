import type { FC } from "hono/jsx";
import type { ChannelView } from "../channels/types.ts";
import { Field } from "./forms.tsx";
import { readableTime } from "./time.ts";

export interface TelegramProps {
  agent: { id: string; name: string };
  /** Null before its token is here. */
  channel: ChannelView | null;
  /** Told once, on the page that made it. */
  pairing?: { code: string; until: string } | undefined;
  /** At the token. */
  error?: string | undefined;
}

/** The setup's step at Telegram: the bot, and then the one person it answers. */
export const Telegram: FC<TelegramProps> = (props) => {
  const { agent, channel } = props;
  return (
    <section class="sheet" aria-labelledby="telegram-title">
      <h2 id="telegram-title">Talk to it over Telegram</h2>
      {channel === null ? <Bot {...props} /> : <Owner {...props} channel={channel} />}
      <p>
        <a href={`/agents/${agent.id}`}>
          {channel?.people.length ? `To the page of ${agent.name}` : "Without Telegram"}
        </a>
      </p>
    </section>
  );
};

const Bot: FC<TelegramProps> = ({ agent, error }) => (
  <>
    <p>
      In Telegram, write <code>/newbot</code> to <a href="https://t.me/BotFather">@BotFather</a>, choose a name, and
      paste the token that it gives you.
    </p>
    <form method="post" action={`/agents/${agent.id}/setup/telegram`}>
      <Field
        name="token"
        label="The bot's token"
        type="password"
        hint="Tried at once, then sealed like every key. The agent starts again with it."
        error={error}
        input={{ required: true, autocomplete: "off", spellcheck: "false", maxlength: 200 }}
      />
      <button type="submit">Connect the bot</button>
    </form>
  </>
);

const Owner: FC<TelegramProps & { channel: ChannelView }> = ({ agent, channel, pairing, error }) => {
  const [owner] = channel.people;
  const bot = channel.account.replace(/^@/, "");
  return (
    <>
      <p>
        {"The bot is "}
        <a href={`https://t.me/${bot}`}>{channel.account}</a>
        {". "}
        {channel.state === "failed" ? channel.failure : null}
      </p>
      {error ? <p class="error">{error}</p> : null}
      {pairing && !owner ? (
        <>
          <p>{`Send it this code from your own Telegram, before ${readableTime(pairing.until)}:`}</p>
          <p class="code">
            <code>{pairing.code}</code>
          </p>
          <p>
            <a class="button" href={`https://t.me/${bot}?start=${pairing.code}`}>
              Send it with Telegram
            </a>
          </p>
        </>
      ) : null}
      <div id="paired" role="status" data-live data-poll-ms="2000">
        {owner ? (
          <p>
            <span class="state good">{`It knows you: number ${owner.id}`}</span>
            <span class="hint"> Names can be faked, this number cannot. It answers nobody else.</span>
          </p>
        ) : channel.pairingUntil ? (
          <p>
            <span class="state busy">Waiting for your message</span>
          </p>
        ) : (
          <p>It does not know yet who you are, so it answers nobody.</p>
        )}
      </div>
      {owner ? null : (
        <form method="post" action={`/agents/${agent.id}/setup/telegram/code`}>
          <button type="submit" class={pairing ? "quiet small" : undefined}>
            {pairing ? "Another code" : "Show a code to send"}
          </button>
        </form>
      )}
    </>
  );
};
