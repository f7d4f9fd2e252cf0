import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { startMetadataService } from "./stand-ins/metadata.ts";
import { startModelProvider } from "./stand-ins/model.ts";
import { recordTcp } from "./stand-ins/recorder.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
const kept = <T extends { close(): Promise<void> }>(one: T): T => {
  open.push(one);
  return one;
};

describe("the stand-in of a model provider", () => {
  const messages = [
    { role: "user", content: [{ type: "text", text: "two words" }] },
    { role: "assistant", content: "what?" },
  ];

  test("refuses any other key than its own, and keeps what it was asked", async () => {
    const model = kept(await startModelProvider("127.0.0.1", 0, { key: "right" }));
    const ask = (key: string) => fetch(`${model.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    expect((await ask("wrong")).status).toBe(401);
    expect((await ask("right")).status).toBe(200);
    expect(model.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer wrong", "Bearer right"]);
  });

  test.each([false, true])("answers a conversation (streamed: %s)", async (stream) => {
    const model = kept(await startModelProvider("127.0.0.1"));
    const body = JSON.stringify({ model: "stand-in", messages, stream });
    const text = await (await fetch(`${model.url}/v1/chat/completions`, { method: "POST", body })).text();
    const events = stream ? [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, data]) => data ?? "") : [text];
    const said = events.map((event) => JSON.parse(event).choices[0]).map(({ delta, message }) => delta ?? message);
    expect(said.map(({ content }) => content ?? "").join("")).toBe("You said: two words");
    if (stream) expect(text).toMatch(/data: \[DONE\]\n\n$/);
  });

  test("answers nonsense with 400 and stays", async () => {
    const model = kept(await startModelProvider("127.0.0.1"));
    const post = (body: string) => fetch(`${model.url}/v1/chat/completions`, { method: "POST", body });
    expect((await post("{")).status).toBe(400);
    expect((await post("null")).status).toBe(400);
    expect((await post(JSON.stringify({ model: "stand-in", messages }))).status).toBe(200);
  });
});

test("the stand-in of a metadata service gives its credential to whoever asks, as the oldest cloud does", async () => {
  const metadata = kept(await startMetadataService("127.0.0.1", 0));
  expect(await (await fetch(`${metadata.url}/latest/meta-data/iam/security-credentials/x`)).text()).toContain("ASIA");
  expect((await fetch(`${metadata.url}/computeMetadata/v1/token`)).status).toBe(403);
});

test("a recorder keeps who came and what they said", async () => {
  const recorder = kept(await recordTcp("127.0.0.1"));
  await new Promise<void>((resolve) => {
    const socket = connect(recorder.port, "127.0.0.1", () => socket.end("hello"));
    socket.resume();
    socket.on("close", () => resolve());
  });
  expect(recorder.arrived.map(({ from, data }) => [from, data.toString()])).toEqual([["127.0.0.1", "hello"]]);
});
