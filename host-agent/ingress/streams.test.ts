import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { isStream, questionOf } from "./stream-rules.ts";
import { createStreams, type Permit, type Streams, type Word } from "./streams.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** A container that says hello, and repeats what it hears; with the heads that it saw. */
async function container() {
  const heads: string[] = [];
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (head) => {
      heads.push(String(head));
      socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\nhello ");
      socket.pipe(socket);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  return { heads, upstream: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function lab(ask: () => Promise<Word>) {
  const directory = mkdtempSync(`${tmpdir()}/chl-streams-`);
  const path = `${directory}/s.sock`;
  const clock = { now: 0 };
  const cuts: string[] = [];
  const streams = createStreams({
    socketPath: path,
    ask,
    now: () => clock.now,
    onCut: (hostname, why) => cuts.push(`${hostname} ${why}`),
  });
  streams.server.listen(path);
  await once(streams.server, "listening");
  closers.push(() => streams.stop());
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  return { streams, path, clock, cuts, ...(await container()) };
}
type Lab = Awaited<ReturnType<typeof lab>>;

const permit = ({ upstream }: { upstream: string }): Permit => ({
  tenantId: "tnt_a",
  upstream,
  question: { hostname: "ada.example", userId: "usr_1", headers: { cookie: "chelar-door=t" } },
});

/** As Caddy does; resolves when the container's first words came, with what comes later. */
async function open(at: Lab, pass: string): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect(at.path);
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.on("error", () => {});
  socket.write(`GET /ws HTTP/1.1\r\nHost: ada.example\r\nX-Chelar-Stream: ${pass}\r\nUpgrade: websocket\r\n\r\nearly`);
  await Promise.race([once(socket, "data"), once(socket, "close")]);
  return { socket, heard: () => text };
}
const admit = (streams: Streams, at: Lab) => streams.admit(permit(at)).pass;
const passed = async (at: Lab, ms: number) => {
  at.clock.now += ms;
  await at.streams.tick();
};

describe("a stream", () => {
  it("hands on bytes both ways, and not the pass", async () => {
    const at = await lab(async () => "yes");
    const { socket, heard } = await open(at, admit(at.streams, at));
    socket.write(" and more");
    while (!heard().endsWith("and more")) await once(socket, "data");
    expect(heard()).toContain("hello ");
    expect(at.heads[0]).toBe("GET /ws HTTP/1.1\r\nHost: ada.example\r\nUpgrade: websocket\r\n\r\nearly");
    expect(at.streams.open("tnt_a")).toBe(1);
    socket.destroy();
    while (at.streams.open("tnt_a") > 0) await new Promise(setImmediate);
  });

  it("begins with a pass of the gate only, once, and within seconds", async () => {
    const at = await lab(async () => "yes");
    const pass = admit(at.streams, at);
    await open(at, pass);
    for (const wrong of [pass, "", "x".repeat(43)]) expect((await open(at, wrong)).heard()).toBe("");
    const late = admit(at.streams, at);
    at.clock.now += 10_001;
    expect((await open(at, late)).heard()).toBe("");
    expect(at.heads).toHaveLength(1);
  });

  it("goes on while the edge says yes", async () => {
    const at = await lab(async () => "yes");
    await open(at, admit(at.streams, at));
    for (let minute = 0; minute < 10; minute += 1) await passed(at, 60_000 / 4);
    expect(at.streams.open("tnt_a")).toBe(1);
  });

  it("ends at the first no", async () => {
    let word: Word = "yes";
    const at = await lab(async () => word);
    const { socket } = await open(at, admit(at.streams, at));
    await passed(at, 15_000);
    word = "no";
    await Promise.all([once(socket, "close"), passed(at, 15_000)]);
    expect([at.streams.open("tnt_a"), at.cuts]).toEqual([0, ["ada.example no"]]);
  });

  it("survives an edge that is away for half a minute, and no longer", async () => {
    let word: Word = "silence";
    const at = await lab(async () => word);
    await open(at, admit(at.streams, at));
    for (let tick = 0; tick < 6; tick += 1) await passed(at, 5_000);
    expect(at.streams.open("tnt_a")).toBe(1);
    word = "yes";
    await passed(at, 5_000);
    word = "silence";
    for (let tick = 0; tick < 10; tick += 1) await passed(at, 5_000);
    expect([at.streams.open("tnt_a"), at.cuts]).toEqual([0, ["ada.example silence"]]);
  });

  it("is asked about once for all that one visitor has open", async () => {
    let asked = 0;
    const at = await lab(async () => {
      asked += 1;
      return "yes";
    });
    for (let index = 0; index < 5; index += 1) await open(at, admit(at.streams, at));
    await passed(at, 15_000);
    expect([asked, at.streams.open("tnt_a")]).toEqual([1, 5]);
  });

  it("whose head has no end is not read for ever", async () => {
    const at = await lab(async () => "yes");
    const socket = connect(at.path);
    socket.on("error", () => {});
    socket.write(`GET / HTTP/1.1\r\nX-Chelar-Stream: ${admit(at.streams, at)}\r\nX: ${"x".repeat(200_000)}`);
    await new Promise((resolve) => socket.once("close", resolve));
    expect(at.heads).toEqual([]);
  });
});

describe("the gate's question", () => {
  it.each([
    [{ upgrade: "websocket", "x-forwarded-method": "GET" }, true],
    [{ "x-forwarded-method": "GET", accept: "text/event-stream" }, true],
    [{ "x-forwarded-method": "POST", accept: "text/event-stream" }, false],
    [{ "x-forwarded-method": "GET", accept: "text/html" }, false],
    [{}, false],
  ])("%j asks for a stream: %j", (headers, expected) => expect(isStream(headers)).toBe(expected));

  it("is repeated with what the door looks at, and with nothing else", () => {
    const headers = {
      host: "agent",
      "x-forwarded-host": "ada.example",
      "x-forwarded-for": "198.51.100.7",
      "x-chelar-user": "usr_1",
      cookie: "chelar-door=t",
      "x-secret": "s",
    };
    expect(questionOf("ada.example", headers)).toEqual({
      hostname: "ada.example",
      userId: "usr_1",
      headers: { "x-forwarded-host": "ada.example", cookie: "chelar-door=t", "x-chelar-client": "198.51.100.7" },
    });
  });
});
