import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  DOWNLOAD_PATH,
  freshClaims,
  generateSigningKey,
  importSigningKey,
  keyId,
  newId,
  type PrivateSigningJwk,
  signEnvelope,
} from "../../schema/protocol/index.ts";
import type { Identity } from "../identity.ts";
import type { TenantRecord } from "../journal.ts";
import { random } from "../testing.ts";
import { createExporter } from "./index.ts";

const [here, purged, absent] = [newId("tnt"), newId("tnt"), newId("tnt")];
const nowMs = Date.now();
let edgeKey: PrivateSigningJwk;
let url: string;
let server: ReturnType<typeof createServer>;
const identity = { hostId: newId("hst"), epoch: 3, edge: "https://edge.test" } as Identity;

beforeAll(async () => {
  edgeKey = await generateSigningKey();
  const keyset = { version: 1, keys: [{ kid: await keyId(edgeKey), x: edgeKey.x }] };
  const records = new Map(
    [here, purged].map((id) => [id, { id, goal: id === purged ? "purged" : "running", uid: 1, slot: 1, spec: {} }]),
  );
  const exporter = createExporter({
    identity,
    journal: { keyset: () => keyset, tenants: { get: (id: string) => records.get(id) as TenantRecord | undefined } },
    // What is right ends here: that there is a volume is seen on a real one, in the system test of the receipts.
    volumes: { snapshots: { hasLive: async () => false } as never },
    tenantOf: () => ({ layout: {}, spec: {} }) as never,
    keyOf: async () => "key",
    stateDir: "/nonexistent",
    log: { info() {}, warn() {}, error() {} },
    nowMs: () => nowMs,
  });
  server = createServer((request, response) => {
    if (!exporter.handle(request, response)) response.writeHead(418).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

async function word(tenantId: string, { key = edgeKey, kind = "download", ...claims }: Record<string, unknown> = {}) {
  const body = kind === "download" ? { download: { tenantId } } : { command: { type: "host.probe" } };
  const times = freshClaims(Math.floor(nowMs / 1_000), random(16));
  const all = { ...times, iss: identity.edge, aud: identity.hostId, epoch: identity.epoch, ...body, ...claims };
  const privateKey = await importSigningKey(key as PrivateSigningJwk);
  return signEnvelope(kind as "download", all as never, { kid: await keyId(edgeKey), privateKey });
}
const ask = async (body: string, path = DOWNLOAD_PATH, method = "POST") =>
  (await fetch(`${url}${path}`, { method, ...(method === "POST" ? { body } : {}) })).status;

describe("the word for an archive", () => {
  it("is looked at for exactly its agent, and once", async () => {
    const compact = await word(here);
    expect(await ask(compact)).toBe(404);
    expect(await ask(compact)).toBe(403);
  });

  it("opens nothing of an agent that is being deleted, or was never here", async () => {
    expect(await ask(await word(purged))).toBe(404);
    expect(await ask(await word(absent))).toBe(404);
  });

  it.each([
    ["another key's", async () => ({ key: await generateSigningKey() })],
    ["for another host", async () => ({ aud: newId("hst") })],
    ["of another epoch", async () => ({ epoch: 2 })],
    ["that has run out", async () => freshClaims(Math.floor(nowMs / 1_000) - 600, random(16))],
    ["that is a command", async () => ({ kind: "command" })],
  ])("is refused: one %s", async (_, wrong) => {
    expect(await ask(await word(here, await wrong()))).toBe(403);
  });

  it("is refused where it is none, and too large to be one", async () => {
    expect(await ask("")).toBe(403);
    expect(await ask("x".repeat(5_000))).toBe(403);
    expect(await ask("", DOWNLOAD_PATH, "GET")).toBe(418);
    expect(await ask("", "/gate")).toBe(418);
  });
});
