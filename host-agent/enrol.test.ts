import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  ENROL_PATH,
  type EnrolRequest,
  type EnrolResponse,
  importSigningKey,
  keyId,
  verifyEnvelope,
} from "../schema/protocol/index.ts";
import { type HostConfig, readConfig } from "./config.ts";
import { enrol, journalPath } from "./enrol.ts";
import { readIdentity } from "./identity.ts";
import { openJournal } from "./journal.ts";
import { createTestEdge, testDirectory } from "./testing.ts";

const TOKEN = `chelar-enrol.${"t".repeat(43)}`;
const CAPACITY = { memoryMiB: 1_024, diskMiB: 10_240, tenants: 10 };

type Answer = (request: EnrolRequest, call: number) => { status: number; body: unknown };

/** As an edge does: with the key that the request itself brings. */
async function openEnrolment(compact: string, audience: string): Promise<EnrolRequest> {
  const payload = JSON.parse(Buffer.from(compact.split(".")[1] ?? "", "base64url").toString());
  const { signing } = payload.enrolment as EnrolRequest;
  const issuer = await keyId(signing);
  const verdict = await verifyEnvelope("enrolment", compact, {
    nowSeconds: Math.floor(Date.now() / 1_000),
    issuer,
    audience,
    epoch: 0,
    keys: new Map([[issuer, await importSigningKey(signing)]]),
  });
  if (!verdict.ok) throw new Error(verdict.refusal.reason);
  return verdict.claims.enrolment;
}

async function setUp(answer?: Answer) {
  const edge = await createTestEdge();
  const requests: EnrolRequest[] = [];
  const granted = (call: number): EnrolResponse => {
    const { hostId, edge: name, keyset } = edge.identity;
    return { hostId, edge: name, keyset, epoch: call };
  };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    requests.push(await openEnrolment(text, origin));
    const call = requests.length;
    const { status, body } = answer?.(requests[call - 1] as EnrolRequest, call) ?? { status: 200, body: granted(call) };
    response.writeHead(request.url === ENROL_PATH ? status : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const directory = testDirectory(onTestFinished);
  const { port } = server.address() as AddressInfo;
  const file = join(directory, "config.json");
  const raw = {
    stateDir: join(directory, "state"),
    runDir: join(directory, "run"),
    edgeUrl: `http://127.0.0.1:${port}/`,
    resolvers: ["9.9.9.9"],
    name: "box-1",
    region: "local",
    endpoint: "https://box-1.example.test",
  };
  const writeConfig = (change: object = {}): HostConfig => {
    writeFileSync(file, JSON.stringify({ ...raw, ...change }));
    return readConfig(file);
  };
  return { edge, requests, config: writeConfig(), writeConfig, file };
}

test("makes its keys on the host, shows the public parts only, and keeps the file to root", async () => {
  const { config, requests } = await setUp();
  const identity = await enrol(config, TOKEN, CAPACITY);
  expect(JSON.stringify(requests)).not.toContain(identity.signing.d);
  expect(JSON.stringify(requests)).not.toContain(identity.sealing.d);
  expect(statSync(join(config.stateDir, "identity.json")).mode & 0o777).toBe(0o600);
  expect(statSync(journalPath(config)).mode & 0o777).toBe(0o600);
  expect(readIdentity(config.stateDir)).toEqual(identity);
});

test("enrols again with the same keys and starts the new epoch", async () => {
  const { config, requests } = await setUp();
  const first = await enrol(config, TOKEN, CAPACITY);
  const second = await enrol(config, TOKEN, CAPACITY);
  expect(second).toEqual({ ...first, epoch: 2 });
  expect(requests[1]?.signing).toEqual(requests[0]?.signing);
  const journal = openJournal(journalPath(config));
  expect(journal.epoch()).toBe(2);
  journal.close();
});

test("keeps its keys over a refused enrolment, and is not enrolled by it", async () => {
  const { config, requests } = await setUp((_, call) => ({
    status: 403,
    body: { code: "token_used", detail: `call ${call}` },
  }));
  await expect(enrol(config, TOKEN, CAPACITY)).rejects.toThrow(/403 token_used\) call 1/);
  await expect(enrol(config, TOKEN, CAPACITY)).rejects.toThrow(/403/);
  expect(requests[1]?.sealing).toEqual(requests[0]?.sealing);
  expect(() => readIdentity(config.stateDir)).toThrow(/not enrolled/);
});

test("takes no answer that is not an edge's", async () => {
  const { config } = await setUp(() => ({ status: 200, body: { hostId: "hst_short", epoch: 0 } }));
  await expect(enrol(config, TOKEN, CAPACITY)).rejects.toThrow(/no answer that an edge would give/);
});

test("says who does not answer, and never the token", async () => {
  const { config } = await setUp();
  const nobody = { ...config, edgeUrl: "http://127.0.0.1:1" };
  const failure = await enrol(nobody, TOKEN, CAPACITY).catch((error: Error) => error.message);
  expect(failure).toMatch(/the edge does not answer at http:\/\/127\.0\.0\.1:1/);
  expect(failure).not.toContain(TOKEN);
});

test("refuses to end the epoch of an agent that is at work", async () => {
  const { config, requests } = await setUp();
  await enrol(config, TOKEN, CAPACITY);
  const atWork = openJournal(journalPath(config));
  await expect(enrol(config, TOKEN, CAPACITY)).rejects.toThrow(/another host agent/);
  expect(requests).toHaveLength(1);
  atWork.close();
});

test("refuses an identity file that others can read, and quotes nothing of a damaged one", async () => {
  const { config } = await setUp();
  const { signing } = await enrol(config, TOKEN, CAPACITY);
  const path = join(config.stateDir, "identity.json");
  chmodSync(path, 0o644);
  expect(() => readIdentity(config.stateDir)).toThrow(/mode 644: only 600/);
  chmodSync(path, 0o600);
  writeFileSync(path, readFileSync(path, "utf8").replace('"hostId"', "hostId"));
  expect(() => readIdentity(config.stateDir)).toThrow(/damaged/);
  expect(() => readIdentity(config.stateDir)).not.toThrow(signing.d);
});

test.each([
  ["a pool that is no network", { pool: "10.0.0.1/16" }, /pool: .*host bits/],
  ["a pool that is too small", { pool: "10.0.0.0/30" }, /pool: .*\/8 and \/24/],
  ["a path that climbs", { stateDir: "/var/../etc" }, /stateDir/],
  ["a relative path", { runDir: "run" }, /runDir/],
  ["a run directory too long for a socket", { runDir: `/${"r".repeat(100)}` }, /runDir: at most 90/],
  ["a resolver that is a name", { resolvers: ["dns.test"] }, /resolvers/],
  ["no resolver", { resolvers: [] }, /resolvers/],
  ["more tenants than an inventory can name", { maxTenants: 501 }, /maxTenants/],
  ["a UID of the system", { uidBase: 1_000 }, /uidBase/],
  ["an edge that is not on HTTP", { edgeUrl: "ftp://edge" }, /edgeUrl/],
  ["a setting that does not exist", { stateDirectory: "/x" }, /stateDirectory/],
])("refuses %s and says what is wrong", async (_, change, words) => {
  const { writeConfig } = await setUp();
  expect(() => writeConfig(change)).toThrow(words);
});

test("says what is wrong with a file that is missing or no JSON", async () => {
  const { file } = await setUp();
  expect(() => readConfig(`${file}.missing`)).toThrow(/cannot be read: ENOENT/);
  writeFileSync(file, "{");
  expect(() => readConfig(file)).toThrow(/is not JSON/);
});
