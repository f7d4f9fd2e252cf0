import { describe, expect, it } from "vitest";
import { ADAPTERS } from "./index.ts";
import type { Delivered } from "./types.ts";

const utf8 = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
const hex = (bytes: ArrayBuffer) =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const delivered = (body: string, headers: Record<string, string>, nowMs: number): Delivered => ({
  headers: new Headers(headers),
  body: utf8(body),
  nowMs,
});

describe("Slack", () => {
  // "Verifying requests from Slack": the documentation's own example, with its secret, time, body and signature.
  const secret = "8f742231b10e8888abcd99yyyzzz85a5";
  const time = "1531420618";
  const body =
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
  const signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
  const verify = (text: string, signed: string, at = time, nowMs = Number(time) * 1000) =>
    ADAPTERS.slack.verify(
      delivered(text, { "x-slack-request-timestamp": at, "x-slack-signature": signed }, nowMs),
      secret,
    );

  it("is known by the documented signature, and by no other body, time or secret", async () => {
    expect(await verify(body, signature)).toBe(true);
    expect(await verify(`${body} `, signature)).toBe(false);
    expect(await verify(body, signature, "1531420619")).toBe(false);
    expect(await verify(body, signature.toUpperCase())).toBe(false);
    expect(await verify(body, "")).toBe(false);
  });

  it("is not believed five minutes later", async () => {
    expect(await verify(body, signature, time, Number(time) * 1000 + 299_000)).toBe(true);
    expect(await verify(body, signature, time, Number(time) * 1000 + 301_000)).toBe(false);
    expect(await verify(body, signature, time, Number(time) * 1000 - 301_000)).toBe(false);
  });

  it("is answered its challenge, and heard by user id", () => {
    const parse = (body: object) => ADAPTERS.slack.parse(body, "T1DC2JH3J-U2");
    expect(parse({ type: "url_verification", challenge: "3eZbrw1aB", token: "x" })).toEqual({
      kind: "handshake",
      answer: { challenge: "3eZbrw1aB" },
    });
    const event = {
      type: "message",
      channel: "D024BE91L",
      channel_type: "im",
      user: "U2147483697",
      text: "Hello",
      ts: "1355517523.000005",
    };
    const envelope = { type: "event_callback", event_id: "Ev9UQ52YNA", team_id: "T1DC2JH3J", api_app_id: "A1", event };
    expect(parse(envelope)).toMatchObject({
      kind: "messages",
      messages: [
        {
          updateId: "Ev9UQ52YNA",
          conversation: "D024BE91L",
          senderId: "U2147483697",
          isAutomaton: false,
          isPrivate: true,
          text: "Hello",
          sentAt: 1_355_517_523_000,
        },
      ],
    });
    const bot = { ...envelope, event: { ...event, subtype: "bot_message", bot_id: "B1" } };
    expect(parse(bot)).toMatchObject({ messages: [{ isAutomaton: true }] });
    expect(parse({ ...envelope, event: { ...event, subtype: "message_deleted" } }).kind).toBe("unsupported");
    expect(parse({ ...envelope, team_id: "T2" }).kind).toBe("unsupported");
    // What the app itself has said.
    expect(parse({ ...envelope, event: { ...event, bot_id: "B1", bot_profile: { app_id: "A1" } } }).kind).toBe(
      "nothing",
    );
  });
});

describe("Discord", () => {
  it("is known by Ed25519 over time and body, and answers a PING", async () => {
    const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
    const publicKey = hex((await crypto.subtle.exportKey("raw", pair.publicKey)) as ArrayBuffer);
    const [time, body] = ["1700000000", '{"id":"1122334455667788990","type":1}'];
    const signature = hex(await crypto.subtle.sign("Ed25519", pair.privateKey, utf8(time + body)));
    const nowMs = Number(time) * 1000;
    const verify = (text: string, signed: string, at = time, now = nowMs) =>
      ADAPTERS.discord.verify(
        delivered(text, { "x-signature-ed25519": signed, "x-signature-timestamp": at }, now),
        publicKey,
      );
    expect(await verify(body, signature)).toBe(true);
    for (const [text, signed, at, now] of [
      [`${body} `, signature, time, nowMs],
      [body, signature, "1700000001", nowMs],
      [body, signature, time, nowMs + 301_000],
      [body, signature.replace(/^../, (two) => (two === "00" ? "01" : "00")), time, nowMs],
      [body, "", time, nowMs],
      [body, signature.slice(2), time, nowMs],
    ] as const) {
      expect(await verify(text, signed, at, now)).toBe(false);
    }
    expect(ADAPTERS.discord.parse(JSON.parse(body), "1")).toEqual({ kind: "handshake", answer: { type: 1 } });
  });

  // RFC 8032 section 7.1, TEST 3: the signature algorithm is the one that is meant.
  it("is verified as RFC 8032 has it", async () => {
    const publicKey = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    const signature =
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    const key = await crypto.subtle.importKey("raw", bytesOf(publicKey), "Ed25519", false, ["verify"]);
    expect(await crypto.subtle.verify("Ed25519", key, bytesOf(signature), bytesOf("af82"))).toBe(true);
  });

  // "Snowflakes": the documentation's example id, of 2016-04-30 11:18:25.796 UTC.
  it("is heard by user id, in a server as alone", () => {
    const user = { id: "53908232506183680", username: "Mason" };
    const data = { options: [{ type: 3, name: "text", value: "hello there" }] };
    const to = { application_id: "845027738276462632", channel_id: "645027906669510667", token: "A_UNIQUE_TOKEN" };
    const command = { id: "175928847299117063", type: 2, ...to, data };
    const parse = (body: object) => ADAPTERS.discord.parse(body, to.application_id);
    expect(parse({ ...command, member: { user } })).toMatchObject({
      messages: [
        {
          senderId: "53908232506183680",
          conversation: "645027906669510667",
          text: "hello there",
          reply: "A_UNIQUE_TOKEN",
          isPrivate: false,
          sentAt: 1_462_015_105_796,
        },
      ],
    });
    expect(parse({ ...command, user })).toMatchObject({ messages: [{ isPrivate: true }] });
    expect(parse({ ...command, user, application_id: "1".repeat(18) }).kind).toBe("unsupported");
  });
});

describe("WhatsApp", () => {
  // RFC 4231, test case 2: the documentation names HMAC-SHA256 and gives no vector of its own.
  it("is known by the documented HMAC over the very body", async () => {
    const signature = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const verify = (body: string, signed: string) =>
      ADAPTERS.whatsapp.verify(delivered(body, { "x-hub-signature-256": signed }, 0), "Jefe");
    expect(await verify("what do ya want for nothing?", signature)).toBe(true);
    expect(await verify("what do ya want for nothing!", signature)).toBe(false);
    expect(await verify("what do ya want for nothing?", signature.slice(7))).toBe(false);
    expect(await verify("what do ya want for nothing?", "")).toBe(false);
  });

  it("is heard by number; what only says that something was read is no message", () => {
    const notification = (value: object) => ({
      object: "whatsapp_business_account",
      entry: [{ id: "1", changes: [{ field: "messages", value: { ...product, ...value } }] }],
    });
    const product = { messaging_product: "whatsapp", metadata: { phone_number_id: "106540352242922" } };
    const parse = (body: object) => ADAPTERS.whatsapp.parse(body, "106540352242922");
    const message = {
      from: "16315551234",
      id: "wamid.ABGGFlCGg0cvAgo-sJQh43L5Pe4W",
      timestamp: "1603059201",
      type: "text",
      text: { body: "Hello this is an answer" },
    };
    const said = { senderId: "16315551234", text: "Hello this is an answer", sentAt: 1_603_059_201_000 };
    const second = { ...message, id: "wamid.2" };
    expect(parse(notification({ messages: [message, second] }))).toMatchObject({
      kind: "messages",
      messages: [
        { ...said, updateId: message.id },
        { ...said, updateId: "wamid.2" },
      ],
    });
    expect(parse(notification({ statuses: [] })).kind).toBe("nothing");
    const failed = { id: "wamid.3", status: "failed", timestamp: "1603059202", recipient_id: "16315551234" };
    const receipts = [failed, { ...failed, status: "read" }, { status: "failed" }, null];
    expect(parse(notification({ statuses: receipts }))).toEqual({ kind: "unanswered", people: ["16315551234"] });
    expect(parse(notification({ statuses: [failed], metadata: { phone_number_id: "1" } })).kind).toBe("nothing");
    // One app, one secret, another of its numbers.
    const elsewhere = { metadata: { phone_number_id: "1" }, messages: [message] };
    expect(parse(notification(elsewhere)).kind).toBe("unsupported");
    expect(parse({ object: "page" }).kind).toBe("malformed");
  });
});

const bytesOf = (text: string) =>
  new Uint8Array((text.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16))) as Uint8Array<ArrayBuffer>;
