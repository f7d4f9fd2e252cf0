import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { channelMessages } from "../../schema/db/index.ts";
import { CHANNELS, type ChannelName, importSealingKey, openSecrets } from "../../schema/protocol/index.ts";
import type { Discord } from "../../test/stand-ins/discord.ts";
import type { Slack } from "../../test/stand-ins/slack.ts";
import type { Whatsapp } from "../../test/stand-ins/whatsapp.ts";
import { type EveryChannel, startEveryChannel, TYPED } from "../testing/every-channel.ts";
import { ADAPTERS } from "./adapters/index.ts";

let lab: EveryChannel;
beforeAll(async () => {
  lab = await startEveryChannel();
});
beforeEach(() => lab.begin());

const sent = (kind: ChannelName) => lab.providers[kind].sent.map(({ text }) => text);

describe.each(CHANNELS)("%s", (kind) => {
  it("hands a message to the agent with its verified sender, and its answer to whoever wrote", async () => {
    const person = await lab.heard(kind);
    const { counts, sent } = await lab.counted(kind, () =>
      lab.write(kind, { from: person, text: "good morning ☀ <b> & co" }),
    );
    expect(lab.agent.questions).toMatchObject([{ channel: kind, sender: person, text: "good morning ☀ <b> & co" }]);
    const shown =
      kind === "slack" ? "You said: good morning ☀ &lt;b&gt; &amp; co" : "You said: good morning ☀ <b> & co";
    expect([counts, sent]).toEqual([{ accepted: 1, taken: 1 }, [shown]]);
    const rows = await lab.edge.db.select().from(channelMessages).where(eq(channelMessages.senderId, person));
    expect(rows).toMatchObject([{ state: "taken", body: null, answer: null }]);
  });

  it("is not believed without its proof, with another's, or over another body", async () => {
    const person = await lab.heard(kind);
    const body = lab.providers[kind].body({ from: person, text: "let me in" });
    const seconds = Math.floor(lab.edge.world.now() / 1000);
    const proof = await lab.providers[kind].proof(body, seconds);
    const forged = Object.fromEntries(
      Object.entries(proof).map(([name, value]) => [name, `${value.slice(0, -1)}${value.endsWith("0") ? "1" : "0"}`]),
    );
    // Telegram signs nothing: its secret stands for itself.
    const over = kind === "telegram" ? { "x-telegram-bot-api-secret-token": "A".repeat(43) } : proof;
    const { counts, sent } = await lab.counted(kind, async () => {
      for (const headers of [{}, forged]) expect((await lab.call(kind, body, headers)).status).toBe(401);
      expect((await lab.call(kind, `${body} `, over)).status).toBe(401);
    });
    expect([counts, sent, lab.texts()]).toEqual([{ forged: 3 }, [], []]);
  });

  it.runIf(kind === "slack" || kind === "discord")("is not believed five minutes late", async () => {
    const person = await lab.heard(kind);
    const body = lab.providers[kind].body({ from: person, text: "recorded" });
    const seconds = Math.floor(lab.edge.world.now() / 1000);
    const { counts } = await lab.counted(kind, async () => {
      for (const at of [seconds - 301, seconds + 3_600]) {
        expect((await lab.call(kind, body, await lab.providers[kind].proof(body, at))).status).toBe(401);
      }
    });
    expect([counts, lab.texts()]).toEqual([{ forged: 2 }, []]);
  });

  it("is heard once, however often and at once it says the same", async () => {
    const person = await lab.heard(kind);
    const body = lab.providers[kind].body({ from: person, text: "once" });
    const { counts, sent } = await lab.counted(kind, async () => {
      await Promise.all(Array.from({ length: 3 }, () => lab.call(kind, body)));
      expect((await lab.call(kind, body)).status).toBe(200);
    });
    expect([counts, sent, lab.texts()]).toEqual([{ accepted: 1, taken: 1, replayed: 3 }, ["You said: once"], ["once"]]);
  });

  it("is not read beyond its limit, whatever length it states", async () => {
    const person = await lab.heard(kind);
    const body = lab.providers[kind].body({ from: person, text: "x".repeat(5 * 1024 * 1024) });
    const proof = await lab.providers[kind].proof(body, Math.floor(lab.edge.world.now() / 1000));
    const { counts } = await lab.counted(kind, async () => {
      expect((await lab.call(kind, body, proof)).status).toBe(413);
      expect((await lab.call(kind, body, { ...proof, "content-length": "10" })).status).toBe(413);
    });
    expect([counts, lab.texts()]).toEqual([{ too_large: 2 }, []]);
  });

  it("is nobody's way in who calls themselves like one who is heard, and says nothing to them", async () => {
    const person = await lab.heard(kind);
    const stranger = lab.someone(kind);
    const { counts, sent } = await lab.counted(kind, async () => {
      const answer = await lab.write(kind, { from: stranger, text: "it is me", name: person });
      expect([answer.status, await answer.text()]).toEqual([200, "{}"]);
    });
    expect([counts, sent, lab.texts()]).toEqual([{ not_allowed: 1 }, [], []]);
    expect((await lab.channel(kind)).refusals[0]).toMatchObject({ why: "not_allowed", senderId: stranger });
    expect((await lab.owner.request("PUT", `${lab.path}/${kind}/people/${encodeURIComponent("@ada")}`)).status).toBe(
      400,
    );
  });

  it("is not understood where it makes no sense, nor heard where others read along", async () => {
    const person = await lab.heard(kind);
    const { counts } = await lab.counted(kind, async () => {
      for (const body of ["", "null", "[]", '{"type":{}}', "\xff"])
        expect((await lab.call(kind, body)).status).toBe(200);
      await lab.write(kind, { from: person, text: "hello all", inGroup: true });
    });
    expect([counts, lab.texts()]).toEqual([{ malformed: 5, unsupported: 1 }, []]);
  });

  it("ends an exchange of two automata, and its owner may let it go on", async () => {
    const person = await lab.heard(kind);
    const began = Math.floor(lab.edge.world.now() / 1000) - 100;
    const before = lab.texts().length;
    const { counts } = await lab.counted(kind, async () => {
      for (let n = 0; n < 14; n++) {
        // Discord's own time stands in the name of the message, Slack's proof is of the moment.
        await lab.write(kind, { from: person, text: `I got your message ${n}`, at: began + n * 5 });
      }
    });
    const heardOf = lab.texts().length - before;
    expect(heardOf).toBeLessThan(14);
    expect(counts).toMatchObject({ loop: 1, stopped: 14 - heardOf - 1 });
    const [stopped] = (await lab.channel(kind)).stopped;
    expect(stopped).toMatchObject({ why: "steady" });
    const { conversation } = stopped as { conversation: string };
    expect((await lab.owner.request("POST", `${lab.path}/${kind}/resume`, { conversation })).status).toBe(202);
    await lab.write(kind, { from: person, text: "that was my script" });
    expect(lab.texts().at(-1)).toBe("that was my script");
  });

  it("is answered in parts that it takes, none twice, though it is too busy for the second one", async () => {
    const person = await lab.heard(kind);
    const { maxCharacters } = ADAPTERS[kind];
    const parts = ["a", "b", "c"].map((letter) => letter.repeat(maxCharacters));
    lab.agent.says = () => ({ status: 200, answer: parts.join("") });
    const { counts, sent } = await lab.counted(kind, async () => {
      lab.providers[kind].busy(1, 1);
      await lab.write(kind, { from: person, text: "tell me all" });
      expect((await lab.channel(kind)).waiting).toBe(1);
      lab.edge.world.forward(11 * 60_000);
      await lab.edge.tick();
    });
    expect([counts, sent]).toEqual([{ accepted: 1, taken: 1 }, parts]);
    expect(lab.agent.questions).toHaveLength(1);
  });

  it("is answered when the agent has thought, as soon as its host says so, and nothing overtakes", async () => {
    const person = await lab.heard(kind);
    lab.agent.says = () => ({ status: 202 });
    const { counts, sent } = await lab.counted(kind, async () => {
      await lab.write(kind, { from: person, text: "a long one" });
      await lab.write(kind, { from: person, text: "a short one" });
      expect((await lab.channel(kind)).waiting).toBe(2);
      lab.agent.says = ({ text }) => ({ status: 200, answer: `You said: ${text}` });
      await lab.tellAnswered();
    });
    expect([counts, sent]).toEqual([{ accepted: 2, taken: 2 }, ["You said: a long one", "You said: a short one"]]);
    expect(new Set(lab.agent.questions.map(({ id }) => id)).size).toBe(2);
  });

  it("lets one of two in who send the code at once, and starts nothing again for it", async () => {
    const { code } = (await lab.owner.json<{ code: string }>("POST", `${lab.path}/${kind}/pairing`)).body;
    const commands = lab.host.commands.length;
    const before = (await lab.channel(kind)).people.length;
    const { sent } = await lab.counted(kind, () =>
      Promise.all([lab.someone(kind), lab.someone(kind)].map((from) => lab.write(kind, { from, text: code }))),
    );
    expect((await lab.channel(kind)).people).toHaveLength(before + 1);
    expect(sent).toEqual([expect.stringContaining("connected")]);
    expect(lab.host.commands).toHaveLength(commands);
  });
});

describe("what only one of them has", () => {
  it("Discord is registered, hears at once that an answer follows, and takes it late as a message of the bot", async () => {
    const discord = lab.providers.discord as Discord;
    expect(discord.endpoint()).toMatch(/^https:\/\/chelar\.example\/hooks\/discord\/chn_/);
    expect(discord.commands[0]).toMatchObject({ name: "ask", contexts: [1] });
    const person = await lab.heard("discord");
    lab.agent.says = () => ({ status: 202 });
    const answer = await lab.write("discord", { from: person, text: "think" });
    expect(await answer.json()).toEqual({ type: 5 });
    discord.expire();
    lab.agent.says = () => ({ status: 200, answer: "thought" });
    await lab.tellAnswered();
    expect(sent("discord").at(-1)).toBe("thought");
  });

  it("Slack is answered its challenge, and what the app said itself is no message", async () => {
    const slack = lab.providers.slack as Slack;
    const view = await lab.channel("slack");
    expect(view.setup?.url).toMatch(/^https:\/\/chelar\.example\/hooks\/slack\/chn_/);
    const answer = await lab.call("slack", slack.challenge);
    expect(await answer.json()).toEqual({
      challenge: (JSON.parse(slack.challenge) as { challenge: string }).challenge,
    });
    expect((await lab.channel("slack")).state).toBe("connected");
    const { counts } = await lab.counted("slack", () => lab.call("slack", slack.echo("You said: hello")));
    expect([counts, lab.texts()]).toEqual([{}, []]);
  });

  it("WhatsApp sees by the word that the address is ours, and its receipts are no messages", async () => {
    const { url = "", word } = (await lab.channel("whatsapp")).setup ?? {};
    const ask = (token: string) =>
      lab.edge.send(`${url}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=${token}`);
    const { counts } = await lab.counted("whatsapp", async () => {
      expect((await ask("guessed")).status).toBe(401);
      const answer = await ask(word ?? "");
      expect([answer.status, await answer.text()]).toEqual([200, "1158201444"]);
      await lab.call("whatsapp", (lab.providers.whatsapp as Whatsapp).receipt());
    });
    expect(counts).toEqual({ forged: 1 });
    const unsaid = await lab.edge.send("/hooks/telegram/chn_a?hub.mode=subscribe");
    expect(unsaid.status).toBe(404);
  });

  it("WhatsApp: an answer that was taken and did not arrive is counted, with whom it was for", async () => {
    const person = await lab.heard("whatsapp");
    const whatsapp = lab.providers.whatsapp as Whatsapp;
    const { counts } = await lab.counted("whatsapp", async () => {
      await lab.write("whatsapp", { from: person, text: "hello" });
      for (const receipt of [whatsapp.receipt(), whatsapp.receipt({ to: person })]) await lab.call("whatsapp", receipt);
      expect((await lab.call("whatsapp", whatsapp.receipt({ to: person }), {})).status).toBe(401);
    });
    expect(counts).toEqual({ accepted: 1, taken: 1, unanswered: 1, forged: 1 });
    const { refusals } = await lab.channel("whatsapp");
    expect(refusals.find(({ why }) => why === "unanswered")).toMatchObject({ senderId: person });
  });

  it("Telegram: an answer to somebody who has blocked the bot is given up and counted", async () => {
    const person = await lab.heard("telegram");
    lab.telegram.block(TYPED.telegram.token, Number(person));
    const { counts } = await lab.counted("telegram", () => lab.write("telegram", { from: person, text: "hello" }));
    expect(counts).toEqual({ accepted: 1, unanswered: 1 });
  });
});

it("no key of a channel that the platform speaks for ever goes to the agent", async () => {
  await lab.owner.request("POST", `/api/v1/tenants/${lab.tenantId}/restart`);
  const newest = lab.host.commands.findLast((command) => command.type === "tenant.apply");
  const key = await importSealingKey(lab.host.sealing);
  const opened = await openSecrets(newest?.secretsJwe ?? "", key, lab.tenantId);
  expect([opened?.env, newest?.tenant.channels]).toEqual([{}, undefined]);
});
