import type { FC } from "hono/jsx";
import type { ChannelName } from "../../schema/protocol/index.ts";
import type { ChannelView } from "../channels/index.ts";
import { Field } from "./forms.tsx";

interface Asked {
  name: "token" | "secret" | "account";
  label: string;
}
interface Words {
  label: string;
  /** Where its owner gets what is asked for. */
  how: string;
  asked: readonly Asked[];
  /** How a code is sent. */
  pair(account: string, code: string): string;
  /** What a person is named by. */
  person: string;
}

export const CHANNEL_WORDS: Readonly<Record<ChannelName, Words>> = {
  telegram: {
    label: "Telegram",
    how: "In Telegram, write /newbot to @BotFather and follow what it says. At the end it gives you a token.",
    asked: [{ name: "token", label: "Token of your bot" }],
    pair: (account) => `Send this to ${account} in Telegram.`,
    person: "Telegram's number of that person, digits only. A name can be anybody's, so names do not count.",
  },
  discord: {
    label: "Discord",
    how: "At discord.com/developers, make an application, and under Bot reset its token. Add it to your account under Installation. The command /ask, by which people write alone with it, is made for you.",
    asked: [{ name: "token", label: "Token of your bot" }],
    pair: (account, code) => `Open a direct message with ${account} in Discord and send /ask text:${code}`,
    person: "Discord's number of that person: Developer mode on, then Copy user ID. Names do not count.",
  },
  slack: {
    label: "Slack",
    how: "At api.slack.com/apps, make an app with the scopes chat:write and im:history, and install it. Its token is under OAuth & Permissions, its signing secret under Basic information.",
    asked: [
      { name: "token", label: "Bot user OAuth token" },
      { name: "secret", label: "Signing secret" },
    ],
    pair: (account) => `Send this to ${account}, in a direct message.`,
    person: "Slack's member ID of that person, such as U2147483697: their profile, Copy member ID. Names do not count.",
  },
  whatsapp: {
    label: "WhatsApp",
    how: "At developers.facebook.com, make a business app with WhatsApp. The token and the number's id are under API setup, the app's secret under App settings, Basic.",
    asked: [
      { name: "token", label: "Access token" },
      { name: "secret", label: "App secret" },
      { name: "account", label: "Phone number ID" },
    ],
    pair: (account) => `Send this to ${account} in WhatsApp.`,
    person: "That person's number with the country's, digits only.",
  },
};

interface ConnectProps {
  id: string;
  kind: ChannelName;
  trouble?: { field: string; message: string } | undefined;
}

export const Connect: FC<ConnectProps> = ({ id, kind, trouble }) => (
  <form method="post" action={`/agents/${id}/channels/${kind}`}>
    <p>{CHANNEL_WORDS[kind].how}</p>
    {CHANNEL_WORDS[kind].asked.map(({ name, label }) => (
      <Field
        name={name}
        label={label}
        type={name === "account" ? "text" : "password"}
        hint={name === "token" ? "Sealed at once, and opened only to speak as your bot." : ""}
        error={trouble?.field === name ? trouble.message : undefined}
        input={{ required: true, autocomplete: "off", spellcheck: "false", maxlength: 500 }}
      />
    ))}
    <button type="submit">{`Connect ${CHANNEL_WORDS[kind].label}`}</button>
  </form>
);

/** What only its owner can say at the provider's own pages. */
export const Setup: FC<{ kind: ChannelName; setup: ChannelView["setup"] }> = ({ kind, setup }) =>
  setup === null ? null : (
    <>
      <p>
        {kind === "slack"
          ? "In your app, under Event Subscriptions, switch events on, subscribe the bot to message.im, and give as the request URL:"
          : "In your app, under WhatsApp, Configuration, edit the webhook, subscribe to messages, and give as the callback URL:"}
      </p>
      <p class="code">
        <code>{setup.url}</code>
      </p>
      {setup.word ? (
        <>
          <p>And as the verify token:</p>
          <p class="code">
            <code>{setup.word}</code>
          </p>
        </>
      ) : null}
    </>
  );
