import { statSync, writeFileSync } from "node:fs";
import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { COMMAND_PATH, MAX_ENVELOPE_BYTES, newId } from "../schema/protocol/index.ts";
import { createCommandDesk } from "./commands.ts";
import { silentLog } from "./log.ts";
import { createServer, listen } from "./server.ts";
import { applyCommand, createTestEdge, enrolledJournal, random, testDirectory } from "./testing.ts";

const JOSE = { "content-type": "application/jose" };

async function setUp() {
  const edge = await createTestEdge();
  const directory = testDirectory(onTestFinished);
  const journal = enrolledJournal(join(directory, "journal.db"), edge);
  const options = { identity: edge.identity, journal, log: silentLog, nowMs: Date.now, random, onAccepted: () => {} };
  const server = createServer({
    command: await createCommandDesk(options),
    gate: (_, response) => void response.writeHead(418).end("gate"),
    log: silentLog,
  });
  const socketPath = join(directory, "agent.sock");
  writeFileSync(socketPath, "left by a dead agent");
  await listen(server, socketPath, undefined);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    journal.close();
  });
  const ask = (options: RequestOptions, write: (outgoing: ClientRequest) => void) =>
    new Promise<{ status?: number; text: string; type?: string }>((resolve, reject) => {
      const outgoing = request({ socketPath, path: COMMAND_PATH, method: "POST", ...options }, async (incoming) =>
        resolve({
          status: incoming.statusCode,
          text: await readAll(incoming),
          type: incoming.headers["content-type"],
        }),
      );
      outgoing.on("error", reject);
      write(outgoing);
    });
  return { edge, journal, socketPath, ask };
}

async function readAll(incoming: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of incoming) text += chunk;
  return text;
}

test("answers a command with a signed result", async () => {
  const { edge, ask } = await setUp();
  const envelope = await edge.sign(applyCommand(newId("tnt")), Date.now());
  const answer = await ask({ headers: JOSE }, (outgoing) => outgoing.end(envelope));
  expect(answer).toMatchObject({ status: 200, type: "application/jose" });
  expect(await edge.outcome(answer.text, Date.now())).toEqual({ status: "accepted" });
});

test("says the same to everything that does not verify", async () => {
  const { edge, ask } = await setUp();
  const stranger = await createTestEdge();
  const good = await edge.sign(applyCommand(newId("tnt")), Date.now());
  const bodies = [
    "",
    "hello",
    `${good}x`,
    `${good}.`,
    good.replace(/\.[^.]+$/, `.${"A".repeat(86)}`),
    await stranger.sign(applyCommand(newId("tnt")), Date.now()),
    await edge.sign(applyCommand(newId("tnt")), Date.now() - 3_600_000),
    await edge.sign(applyCommand(newId("tnt")), Date.now(), { epoch: 7 }),
    `é${good}`,
  ];
  for (const body of bodies) {
    const answer = await ask({ headers: JOSE }, (outgoing) => outgoing.end(body));
    expect(answer).toEqual({ status: 403, text: '{"code":"command_refused"}', type: "application/json" });
  }
});

test("refuses an oversized body by its header, and by its bytes where the header says nothing", async () => {
  const { ask } = await setUp();
  const big = Buffer.alloc(MAX_ENVELOPE_BYTES.command + 1, "a");
  const declared = await ask({ headers: { ...JOSE, "content-length": big.length } }, (outgoing) => outgoing.end(big));
  const chunked = await ask({ headers: { ...JOSE, "transfer-encoding": "chunked" } }, (outgoing) => outgoing.end(big));
  expect([declared, chunked].map(({ status, text }) => [status, text])).toEqual([
    [413, '{"code":"body_too_large"}'],
    [413, '{"code":"body_too_large"}'],
  ]);
});

test("refuses other methods and other content types, and changes nothing", async () => {
  const { edge, ask, journal } = await setUp();
  const envelope = await edge.sign(applyCommand(newId("tnt")), Date.now());
  const get = await ask({ method: "GET" }, (outgoing) => outgoing.end());
  const json = await ask({ headers: { "content-type": "application/json" } }, (outgoing) => outgoing.end(envelope));
  expect([get.status, json.status]).toEqual([405, 415]);
  expect(journal.tenants.all()).toEqual([]);
});

test("gives every other path to the gate", async () => {
  const { ask } = await setUp();
  for (const path of ["/gate", "/", `${COMMAND_PATH}/`, `${COMMAND_PATH}?x=1`]) {
    expect((await ask({ method: "GET", path }, (outgoing) => outgoing.end())).status).toBe(418);
  }
});

test("opens its socket to root and one group only, over what a dead agent left", async () => {
  const { socketPath } = await setUp();
  const stat = statSync(socketPath);
  expect(stat.isSocket()).toBe(true);
  expect(stat.mode & 0o777).toBe(0o660);
});
