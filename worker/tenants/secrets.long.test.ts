import { eq, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, secrets, tenantSalts, tenants } from "../../schema/db/index.ts";
import { importSealingKey, openSecrets } from "../../schema/protocol/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

const KEY = "sk-ant-canary0123456789abcdef";
const OTHER = "sk-ant-canaryother0123456789x";
const NAME = "ANTHROPIC_API_KEY";
let [host, edge, owner, stranger]: [TestHost, TestEdge, Client, Client] = [] as never;

beforeAll(async () => {
  host = await TestHost.make();
  // Its clock goes with the edge's.
  host.now = () => edge.world.now();
  edge = await startTestEdge({ fetch: host.fetch as typeof fetch });
  await host.enrol(edge);
  [owner, stranger] = await Promise.all([new Client(edge).signUp(), new Client(edge).signUp()]);
});

const create = async () => (await owner.create(undefined, { secrets: { [NAME]: KEY } })).body.id;
const at = (id: string, name = NAME) => `/api/v1/tenants/${id}/secrets/${name}`;
const trail = async (id: string) =>
  (await edge.db.select().from(audit).where(eq(audit.subject, id)))
    .filter(({ action }) => action.startsWith("secret."))
    .map(({ action, actor, detail }) => ({ action, actor, ...JSON.parse(detail ?? "{}") }));
const stored = (id: string) =>
  edge.db.select().from(secrets).where(sql`${secrets.tenantId} = ${id} and ${secrets.name} = ${NAME}`);
/** What the host was sealed with the newest command. */
async function sealed(id: string): Promise<Record<string, string> | undefined> {
  const command = host.commands.findLast((one) => one.type === "tenant.apply" && one.tenant.id === id);
  if (command?.type !== "tenant.apply" || !command.secretsJwe) return undefined;
  return (await openSecrets(command.secretsJwe, await importSealingKey(host.sealing), id))?.env;
}

describe("an owner's keys", () => {
  it("are told of by name, version, last four, who and when, and when they were last delivered: never by value", async () => {
    const id = await create();
    const response = await owner.request("GET", at(id));
    const text = await response.text();
    expect(JSON.parse(text)).toEqual({
      name: NAME,
      version: 1,
      lastFour: "cdef",
      changedAt: expect.any(String),
      changedBy: expect.any(String),
      deliveredAt: expect.any(String),
    });
    expect(text).not.toContain("canary");
    const list = await owner.json<{ secrets: unknown[] }>("GET", `/api/v1/tenants/${id}/secrets`);
    expect(list.body.secrets).toEqual([JSON.parse(text)]);
  });

  it("leave an audit row for each write, delivery, read and removal, and no row holds a value", async () => {
    const id = await create();
    await owner.request("GET", at(id));
    await owner.json("PUT", at(id), { value: OTHER });
    await owner.request("DELETE", at(id));
    const rows = await trail(id);
    expect(rows.map(({ action }) => action)).toEqual([
      "secret.write",
      "secret.deliver",
      "secret.read",
      "secret.write",
      "secret.deliver",
      "secret.delete",
    ]);
    expect(rows[1]).toMatchObject({ actor: "system", hostId: host.enrolment.hostId, versions: { [NAME]: 1 } });
    expect(rows[4]).toMatchObject({ generation: 2, versions: { [NAME]: 2 } });
    expect(JSON.stringify(rows)).not.toContain("canary");
  });

  it("reach the agent with a new generation and a restart; a removed one leaves it the same way", async () => {
    const id = await create();
    await owner.json("PUT", at(id), { value: OTHER });
    expect(await sealed(id)).toEqual({ [NAME]: OTHER });
    expect(host.commands.at(-1)).toMatchObject({ generation: 2, restarts: 1 });
    expect((await owner.request("DELETE", at(id))).status).toBe(204);
    expect(await sealed(id)).toEqual({});
    expect(host.commands.at(-1)).toMatchObject({ generation: 3, restarts: 2 });
    expect((await owner.request("GET", at(id))).status).toBe(404);
  });

  it("removed twice change nothing the second time", async () => {
    const id = await create();
    await owner.request("DELETE", at(id));
    const sent = host.commands.length;
    expect((await owner.request("DELETE", at(id))).status).toBe(204);
    expect((await owner.request("DELETE", at(id, "NO_SUCH_NAME"))).status).toBe(204);
    expect(host.commands.length).toBe(sent);
  });

  it("say that a version is not delivered yet while the host is away, and then that it is", async () => {
    const id = await create();
    host.down = true;
    const put = await owner.json<{ deliveredAt: string | null }>("PUT", at(id), { value: OTHER });
    expect(put.body).toMatchObject({ version: 2, deliveredAt: null });
    expect((await owner.json("GET", at(id))).body).toMatchObject({ version: 2, deliveredAt: null });
    host.down = false;
    edge.world.forward(600_000);
    await edge.tick();
    expect((await owner.json("GET", at(id))).body).toMatchObject({ version: 2, deliveredAt: expect.any(String) });
  });

  it("do not exist for anybody else", async () => {
    const id = await create();
    const before = await stored(id);
    for (const [method, body] of [["GET"], ["PUT", { value: OTHER }], ["DELETE"]] as const) {
      expect((await stranger.request(method, at(id), body)).status).toBe(404);
    }
    expect(await stored(id)).toEqual(before);
    expect((await trail(id)).every(({ actor }) => actor === "system" || actor === before[0]?.createdBy)).toBe(true);
  });

  it("of the platform itself are neither shown, nor written, nor removed", async () => {
    const id = await create();
    const all = () => edge.db.select().from(secrets).where(eq(secrets.tenantId, id));
    const before = await all();
    const name = before.find((row) => row.name !== NAME)?.name ?? "chelar.volume";
    expect((await owner.request("GET", at(id, name))).status).toBe(404);
    expect((await owner.json("PUT", at(id, name), { value: KEY })).status).toBe(422);
    expect((await owner.request("DELETE", at(id, name))).status).toBe(204);
    expect(await all()).toEqual(before);
  });
});

describe("a key that cannot be one", () => {
  const raw = (value: string) => new TextEncoder().encode(JSON.stringify({ value }));
  it.each<[string, string, Uint8Array | string, number, string]>([
    ["that is empty", NAME, JSON.stringify({ value: "" }), 422, "invalid_secret"],
    ["of 64 KiB and one byte", NAME, JSON.stringify({ value: "a".repeat(65_537) }), 413, "body_too_large"],
    ["longer than any key", NAME, JSON.stringify({ value: `sk-ant-${"a".repeat(20_000)}` }), 422, "invalid_secret"],
    ["that is no UTF-8", NAME, raw(KEY).with(20, 0xff), 400, "invalid_body"],
    ["with half of a surrogate pair", NAME, `{"value":"${KEY}\\ud800"}`, 422, "invalid_secret"],
    ["with a NUL", NAME, JSON.stringify({ value: `${KEY}\0` }), 422, "invalid_secret"],
    ["with a line break at its end", NAME, JSON.stringify({ value: `${KEY}\n` }), 422, "invalid_secret"],
    ["of another provider", NAME, JSON.stringify({ value: "sk-or-v1-canary0123456789" }), 422, "invalid_secret"],
    ["whose name is not on the table", "MY_OWN_KEY", JSON.stringify({ value: KEY }), 422, "invalid_secret"],
    ["whose name is the loader's", "LD_PRELOAD", JSON.stringify({ value: KEY }), 422, "invalid_secret"],
    ["that is a number", NAME, JSON.stringify({ value: 7 }), 422, "invalid_secret"],
    ["with something besides", NAME, JSON.stringify({ value: KEY, version: 9 }), 400, "invalid_body"],
  ])("is refused in clear words and nothing is stored: one %s", async (_what, name, body, status, code) => {
    const id = await create();
    const all = async () => [
      await edge.db.select().from(secrets).where(eq(secrets.tenantId, id)),
      await edge.db.select().from(tenants).where(eq(tenants.id, id)),
    ];
    const before = await all();
    const response = await edge.send(at(id, name), {
      method: "PUT",
      headers: { origin: edge.config.dashboardOrigin, cookie: owner.cookie, "content-type": "application/json" },
      body,
    });
    const text = await response.text();
    expect([response.status, JSON.parse(text).code]).toEqual([status, code]);
    expect(text).not.toContain("canary");
    expect(JSON.parse(text).title.length).toBeGreaterThan(10);
    expect(await all()).toEqual(before);
  });
});

describe("deleting an agent", () => {
  it("destroys its keys at once, also while its host is away, and takes no new ones", async () => {
    const id = await create();
    const copy = (await stored(id))[0];
    expect(copy).toBeDefined();
    host.down = true;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    expect(await edge.db.select().from(secrets).where(eq(secrets.tenantId, id))).toEqual([]);
    const salt = (await edge.db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, id)))[0];
    expect(salt).toMatchObject({ salt: null, erasedAt: expect.any(Number), erasedUnder: 1 });
    expect((await owner.json("PUT", at(id), { value: KEY })).body).toMatchObject({ code: "tenant_deleting" });
    host.down = false;
    edge.world.forward(600_000);
    await edge.tick();
    expect(host.commands).toContainEqual({ type: "tenant.purge", tenantId: id, generation: 2 });
  });
});
