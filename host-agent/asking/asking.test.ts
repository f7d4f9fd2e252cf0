import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type AgentQuestion, ASK_PATH, MAX_ANSWER_CHARACTERS } from "../../schema/protocol/index.ts";
import { type Asking, createAsking } from "./index.ts";

const QUESTION: AgentQuestion = {
  ...{ id: "msg-1", channel: "telegram", conversation: "7", sender: "7" },
  ...{ text: "hello", waitMs: 0 },
};
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** An agent whose turns end when the test says so. */
async function lab() {
  let nowMs = 0;
  const asked: { tenantId: string; key: string; end: (text: string | null) => void; fail: () => void }[] = [];
  const told: string[] = [];
  const asking: Asking = createAsking({
    socketPath: "/run/agent.sock",
    ask: (tenantId, _question, key) =>
      new Promise((end, fail) => asked.push({ tenantId, key, end, fail: () => fail(new Error("HTTP 500")) })),
    onAnswer: (tenantId) => told.push(tenantId),
    now: () => nowMs,
  });
  const server = createServer((request, response) => {
    if (!asking.handle(request, response)) response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${ASK_PATH}`;
  const post = async (pass: string, body: unknown = QUESTION) => {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "x-chelar-stream": pass },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    return [answer.status, text === "" ? null : JSON.parse(text)];
  };
  const ask = (more: Partial<AgentQuestion> = {}, tenantId = "tnt_a") =>
    post(asking.admit(tenantId).pass, { ...QUESTION, ...more });
  return {
    asking,
    asked,
    told,
    url,
    post,
    ask,
    forward(ms: number) {
      nowMs += ms;
    },
  };
}
/** The turn's end has been seen by whoever waits for it. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("an agent that is asked", () => {
  it("is asked once, however often the edge comes, and its host says when there is an answer", async () => {
    const { ask, asked, told } = await lab();
    expect(await ask()).toEqual([202, {}]);
    expect(await ask()).toEqual([202, {}]);
    expect(asked).toHaveLength(1);
    asked[0]?.end("hello, too");
    await settled();
    expect(told).toEqual(["tnt_a"]);
    // Twice: the first answer may have been lost on its way.
    for (let n = 0; n < 2; n++) expect(await ask()).toEqual([200, { answer: "hello, too" }]);
    expect(asked).toHaveLength(1);
  });

  it("answers who waits on the line, and tells nobody else", async () => {
    const { ask, asked, told } = await lab();
    const waiting = ask({ waitMs: 10_000 });
    while (asked.length === 0) await settled();
    asked[0]?.end(null);
    expect([await waiting, told]).toEqual([[200, { answer: null }], []]);
  });

  it("is asked again under a new key after a turn that failed, and only then", async () => {
    const { ask, asked } = await lab();
    await ask();
    asked[0]?.fail();
    await settled();
    expect(await ask({ waitMs: 0 })).toEqual([202, {}]);
    expect(asked.map(({ key }) => key)).toEqual(["msg-1-0", "msg-1-1"]);
  });

  it("is another one's answer for nobody: the same question to two agents is two", async () => {
    const { ask, asked } = await lab();
    await ask({}, "tnt_a");
    await ask({}, "tnt_b");
    asked[0]?.end("of a");
    await settled();
    expect(await ask({}, "tnt_b")).toEqual([202, {}]);
    expect(asked.map(({ tenantId }) => tenantId)).toEqual(["tnt_a", "tnt_b"]);
  });

  it("has eight turns at a time, and its answers are cut, whole characters only", async () => {
    const { ask, asked } = await lab();
    for (let n = 0; n < 8; n++) expect(await ask({ id: `msg-${n}` })).toEqual([202, {}]);
    expect(await ask({ id: "msg-9" })).toEqual([429, null]);
    asked[0]?.end(`${"a".repeat(MAX_ANSWER_CHARACTERS - 1)}😀`);
    await settled();
    expect(await ask({ id: "msg-0" })).toEqual([200, { answer: `${"a".repeat(MAX_ANSWER_CHARACTERS - 1)}\uFFFD` }]);
  });
});

describe("the pass", () => {
  it("is good once, for ten seconds, and nothing goes without it", async () => {
    const { asking, asked, post, forward } = await lab();
    const { upstream, pass } = asking.admit("tnt_a");
    expect([upstream, pass.length]).toEqual(["unix//run/agent.sock", 43]);
    expect((await post(""))[0]).toBe(403);
    expect((await post("x".repeat(43)))[0]).toBe(403);
    expect((await post(pass))[0]).toBe(202);
    expect((await post(pass))[0]).toBe(403);
    const late = asking.admit("tnt_a").pass;
    forward(10_001);
    expect((await post(late))[0]).toBe(403);
    expect(asked).toHaveLength(1);
  });

  it("lets in what is a question, and nothing else", async () => {
    const { asking, asked, post, url } = await lab();
    const bodies = [null, [], {}, { ...QUESTION, text: 1 }, { ...QUESTION, more: 1 }, { ...QUESTION, waitMs: 1e9 }];
    for (const body of [...bodies, { ...QUESTION, text: "x".repeat(70_000) }]) {
      expect((await post(asking.admit("tnt_a").pass, body))[0]).toBe(400);
    }
    expect(asked).toEqual([]);
    expect((await fetch(url)).status).toBe(404);
  });
});
