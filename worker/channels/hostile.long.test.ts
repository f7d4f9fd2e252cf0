import { eq, sql } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  channelConversations,
  channelCounts,
  channelMessages,
  channelPeople,
  channelRefusals,
  channels,
} from "../../schema/db/index.ts";
import { CHANNELS, type ChannelName } from "../../schema/protocol/index.ts";
import { type EveryChannel, startEveryChannel, TYPED } from "../testing/every-channel.ts";
import { REPLAY_KNOWN_MS } from "./rules.ts";

let lab: EveryChannel;
beforeAll(async () => {
  lab = await startEveryChannel();
});
beforeEach(() => lab.begin());
const bodyOf = (kind: ChannelName, from: string, text = "hello") => lab.providers[kind].body({ from, text });

describe.each(CHANNELS)("%s, with a true proof over", (kind) => {
  it("a body nested a hundred thousand deep: no message, and no harm where it is beside one", async () => {
    const person = await lab.heard(kind);
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const { counts, sent } = await lab.counted(kind, async () => {
      for (const body of [deep, "[".repeat(200_000)]) expect((await lab.call(kind, body)).status).toBe(200);
      expect((await lab.call(kind, bodyOf(kind, person).replace(/}$/, `,"more":${deep}}`))).status).toBe(200);
    });
    expect([counts, sent]).toEqual([{ malformed: 2, accepted: 1, taken: 1 }, ["You said: hello"]]);
  });

  it("ids that are of another type, or only look like somebody's: nobody is heard by them", async () => {
    const person = await lab.heard(kind);
    const wide = person.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));
    const body = bodyOf(kind, person);
    const spelled = (other: string) => body.replaceAll(new RegExp(`"?\\b${person}\\b"?`, "g"), other);
    const retyped = kind === "telegram" ? `"${person}"` : kind === "slack" ? "7" : person;
    const lookalikes = [`${person}\u200b`, `${person} `, `0${person}`, `\u202e${person}`, `${person}\u0000`, wide];
    const { counts, sent } = await lab.counted(kind, async () => {
      for (const other of [retyped, "null", `["${person}"]`, ...lookalikes.map((one) => JSON.stringify(one))]) {
        expect((await lab.call(kind, spelled(other))).status, other).toBe(200);
      }
    });
    const { malformed = 0, not_allowed: unknown = 0 } = counts;
    expect([malformed + unknown, sent, lab.texts()]).toEqual([9, [], []]);
    for (const other of lookalikes) {
      const path = `${lab.path}/${kind}/people/${encodeURIComponent(other)}`;
      expect([400, 404], other).toContain((await lab.owner.request("PUT", path)).status);
    }
  });

  it("what somebody wrote who was taken off the list before the agent had it: not handed over, nor answered", async () => {
    const person = await lab.heard(kind);
    lab.agent.says = () => ({ status: 503 });
    const { counts, sent } = await lab.counted(kind, async () => {
      await lab.write(kind, { from: person, text: "wait for it" });
      await lab.owner.request("DELETE", `${lab.path}/${kind}/people/${person}`);
      lab.agent.questions.length = 0;
      lab.agent.says = () => ({ status: 200, answer: "yes" });
      lab.edge.world.forward(11 * 60_000);
      await lab.edge.tick();
    });
    expect([counts, sent, lab.texts()]).toEqual([{ accepted: 1, not_allowed: 1 }, [], []]);
  });

  it("what another edge would bring while one does: asked once, answered once", async () => {
    const person = await lab.heard(kind);
    lab.agent.says = () => ({ status: 503 });
    const { counts, sent } = await lab.counted(kind, async () => {
      for (const text of ["one", "two"]) await lab.write(kind, { from: person, text });
      lab.agent.questions.length = 0;
      // All of another edge's turn lies between a question and its answer: what the two share is the database.
      lab.agent.says = async ({ text }) => {
        if (lab.agent.questions.length < 10) await lab.tellAnswered();
        return { status: 200, answer: text };
      };
      lab.edge.world.forward(11 * 60_000);
      await lab.tellAnswered();
    });
    expect([counts, sent, lab.texts()]).toEqual([{ accepted: 2, taken: 2 }, ["one", "two"], ["one", "two"]]);
  });

  it("what is under way when its owner disconnects: nobody is answered, and no row of it stays", async () => {
    const person = await lab.heard(kind);
    const [row] = await lab.edge.db.select().from(channels).where(eq(channels.kind, kind));
    const id = row?.id ?? "";
    const already = lab.providers[kind].sent.length;
    lab.agent.says = async () => {
      expect((await lab.owner.request("DELETE", `${lab.path}/${kind}`)).status).toBe(202);
      // To say nothing is an answer as well, and is counted where somebody is there to read it.
      return { status: 200, answer: kind === "telegram" ? null : "too late" };
    };
    const body = bodyOf(kind, person);
    const proof = await lab.providers[kind].proof(body, Math.floor(lab.edge.world.now() / 1000));
    expect((await lab.call(kind, body, proof)).status).toBe(200);
    expect(lab.agent.questions).toHaveLength(1);
    expect(lab.providers[kind].sent).toHaveLength(already);
    for (const table of [channelMessages, channelConversations, channelCounts, channelPeople, channelRefusals]) {
      expect(await lab.edge.db.select().from(table).where(eq(table.channelId, id))).toEqual([]);
    }
    // What was signed for the former address is nobody's at any other.
    const former = `/hooks/${kind}/${id}`;
    expect((await lab.edge.send(former, { method: "POST", headers: proof, body })).status).toBe(404);
    expect((await lab.owner.request("PUT", `${lab.path}/${kind}`, TYPED[kind])).status).toBe(200);
  });
});

it("a recording of WhatsApp's, who sign no time, is one for ever: also when its number is forgotten", async () => {
  const person = await lab.heard("whatsapp");
  const body = bodyOf("whatsapp", person);
  const { counts } = await lab.counted("whatsapp", () => lab.call("whatsapp", body));
  expect(counts).toEqual({ accepted: 1, taken: 1 });
  lab.edge.world.forward(REPLAY_KNOWN_MS + 1);
  await lab.edge.tick();
  const known = await lab.edge.db.select().from(channelMessages).where(eq(channelMessages.senderId, person));
  expect(known).toEqual([]);
  const again = await lab.counted("whatsapp", () => lab.call("whatsapp", body));
  expect([again, lab.texts()]).toEqual([{ counts: { replayed: 1 }, sent: [] }, ["hello"]]);
});

it("a sticker asks an agent nothing, a group of people is not alone with the bot, no message is named like an answer", async () => {
  const [whatsapp, discord] = [await lab.heard("whatsapp"), await lab.heard("discord")];
  const words = await lab.counted("whatsapp", async () => {
    await lab.call(
      "whatsapp",
      bodyOf("whatsapp", whatsapp).replace('"type":"text","text"', '"type":"sticker","sticker"'),
    );
    const id = "answer to wamid.1";
    await lab.call("whatsapp", lab.providers.whatsapp.body({ from: whatsapp, text: "hello", id }));
  });
  expect([words.counts, lab.texts()]).toEqual([{ unsupported: 1, malformed: 1 }, []]);
  const group = await lab.counted("discord", () =>
    lab.call("discord", bodyOf("discord", discord).replace('"version":1', '"version":1,"context":2')),
  );
  expect([group.counts, lab.texts()]).toEqual([{ unsupported: 1 }, []]);
});

it("any number of automata are stopped, and their owner is told of the first five of a day", async () => {
  const { counts } = await lab.counted("slack", async () => {
    for (let n = 0; n < 7; n++) {
      const body = bodyOf("slack", await lab.heard("slack")).replace(
        '"type":"message"',
        '"type":"message","bot_id":"B1"',
      );
      await lab.call("slack", body);
    }
  });
  await lab.edge.tick();
  const told = lab.edge.letters.filter(({ subject }) => subject.includes("was stopped"));
  expect([counts, lab.texts(), told.length]).toEqual([{ loop: 7 }, [], 5]);
});

it("whoever has lost a conversation to another deliverer goes away, also when nothing waits any more", async () => {
  const person = await lab.heard("slack");
  // Between our word that it is taken and our next look another one has held the conversation, and let it go.
  await lab.edge.db.run(sql`create trigger another_one after update of state on channel_messages when new.state = 'taken'
    begin update channel_conversations set lease = null, lease_until = 0 where channel_id = new.channel_id; end`);
  try {
    const { counts } = await lab.counted("slack", () => lab.write("slack", { from: person, text: "hello" }));
    expect(counts).toEqual({ accepted: 1, taken: 1 });
  } finally {
    await lab.edge.db.run(sql`drop trigger another_one`);
  }
});
