import { crowd, hmacHex, type Provider, type Reply } from "./provider.ts";

export interface Slack extends Provider {
  /** Of what the app itself has said, as Slack sends it back to the app. */
  echo(text: string): string;
  /** The call by which Slack sees that an address is ours. */
  challenge: string;
}

const TEAM = "T1DC2JH3J";
const APP = "A0KRD7HC3";
const failed = (error: string): Reply => ({ status: 200, body: { ok: false, error } });

/**
 * One app in one workspace of Slack ("Events API", "Verifying requests from Slack", chat.postMessage, auth.test): 200 for
 * every method, errors in words, and 429 with Retry-After alone is no 200.
 */
export function createSlack(token: string, secret: string, { now }: { now: () => number }): Slack {
  const sent: Slack["sent"] = [];
  const { busy, isTooMany } = crowd();
  let serial = 0;

  const envelope = (event: object, id = `Ev${String(++serial).padStart(8, "0")}`) =>
    JSON.stringify({
      ...{ token: "XXYYZZ", team_id: TEAM, api_app_id: APP, type: "event_callback", event_id: id, event },
      event_time: Math.floor(now() / 1000),
    });
  const tsOf = (at: number) => `${at}.${String(++serial).padStart(6, "0")}`;

  return {
    sent,
    busy,
    challenge: JSON.stringify({
      token: "XXYYZZ",
      challenge: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
      type: "url_verification",
    }),
    proof: async (body, at) => ({
      "x-slack-request-timestamp": String(at),
      "x-slack-signature": `v0=${await hmacHex(secret, `v0:${at}:${body}`)}`,
    }),
    body: ({ from, text, name = "somebody", id, inGroup = false, at = Math.floor(now() / 1000) }) =>
      envelope(
        {
          ...{ type: "message", user: from, text, ts: tsOf(at), team: TEAM, username: name },
          ...(inGroup
            ? { channel: "C024BE91L", channel_type: "channel" }
            : { channel: `D${from.slice(1)}`, channel_type: "im" }),
        },
        id,
      ),
    echo: (text) =>
      envelope({
        ...{ type: "message", user: "U0BOT00001", bot_id: "B0BOT00001", text, ts: tsOf(Math.floor(now() / 1000)) },
        ...{ channel: "D024BE91L", channel_type: "im", bot_profile: { id: "B0BOT00001", app_id: APP } },
      }),
    async call({ method, path, headers, json }) {
      if (isTooMany()) {
        return { status: 429, body: { ok: false, error: "ratelimited" }, headers: { "retry-after": "30" } };
      }
      if (method !== "POST") return failed("invalid_post_type");
      const shown = headers.get("authorization");
      if (shown === null) return failed("not_authed");
      if (shown !== `Bearer ${token}`) return failed("invalid_auth");
      if (path === "/api/auth.test") {
        const who = {
          team: "Ada's workspace",
          user: "adas_agent",
          team_id: TEAM,
          user_id: "U0BOT00001",
          bot_id: "B0BOT00001",
        };
        return { status: 200, body: { ok: true, url: "https://ada.slack.com/", ...who } };
      }
      if (path !== "/api/chat.postMessage") return failed("unknown_method");
      const { channel, text } = json;
      if (typeof channel !== "string" || !/^[CDG]/.test(channel)) return failed("channel_not_found");
      if (typeof text !== "string" || text === "") return failed("no_text");
      if (text.length > 40_000) return failed("msg_too_long");
      sent.push({ to: channel, text });
      return { status: 200, body: { ok: true, channel, ts: tsOf(Math.floor(now() / 1000)) } };
    },
  };
}
