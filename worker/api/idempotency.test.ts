import { eq, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { idempotencyKeys, tenantEvents, tenants } from "../../schema/db/index.ts";
import { Client, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { LEASE_MS } from "./rules.ts";

let edge: TestEdge;
let owner: Client;

beforeAll(async () => {
  edge = await startTestEdge();
  owner = await new Client(edge).signUp();
  await (await TestHost.make()).enrol(edge);
});

const body = () => ({ name: `t${randomText()}`, runtime: "echo" });
const post = (path: string, what: object | undefined, key: string, who = owner) =>
  who.request("POST", path, what, { "idempotency-key": key });
const create = (what: object, key: string, who = owner) => post("/api/v1/tenants", what, key, who);
const made = async (response: Response) => (await response.json()) as { id: string; code: string };
const rows = () => edge.db.select().from(idempotencyKeys);

/** Takes from the row what was written after the effect, as if the Worker had ended right after its transaction. */
const loseAnswers = () => edge.db.update(idempotencyKeys).set({ answer: null });

describe("an idempotency key", () => {
  it("makes one agent of two calls, and gives the same answer again", async () => {
    const [what, key] = [body(), randomText()];
    const first = await create(what, key);
    const second = await create(what, key);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(second.headers.get("location")).toBe(first.headers.get("location"));
    expect(await second.json()).toEqual(await first.json());
    expect(await edge.db.select().from(tenants).where(eq(tenants.slug, what.name))).toHaveLength(1);
  });

  it("refuses another body, and another path, with a code of its own", async () => {
    const key = randomText();
    const { id } = await made(await create(body(), key));
    for (const again of [await create(body(), key), await post(`/api/v1/tenants/${id}/stop`, undefined, key)]) {
      expect([again.status, (await made(again)).code]).toEqual([422, "idempotency_key_reused"]);
    }
  });

  it("gives two callers at the same moment one effect", async () => {
    const { id } = await made(await create(body(), randomText()));
    const key = randomText();
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => post(`/api/v1/tenants/${id}/restart`, undefined, key)),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 202).length).toBeGreaterThan(0);
    expect(statuses.every((status) => status === 202 || status === 409)).toBe(true);
    expect(await restartsOf(id)).toBe(1);
    expect((await post(`/api/v1/tenants/${id}/restart`, undefined, key)).status).toBe(202);
    expect(await restartsOf(id)).toBe(1);
  });

  it("has one effect when the answer is lost after it: what was created is found again", async () => {
    const [what, key] = [body(), randomText()];
    const first = await made(await create(what, key));
    await loseAnswers();
    expect((await create(what, key)).status).toBe(409); // whoever took it on may still be about to answer
    edge.world.forward(LEASE_MS + 1);
    const again = await create(what, key);
    expect(again.status).toBe(201);
    expect((await made(again)).id).toBe(first.id);
    expect(again.headers.get("location")).toBe(`/api/v1/tenants/${first.id}`);
  });

  it("does not restart twice when the answer is lost after it", async () => {
    const { id } = await made(await create(body(), randomText()));
    const key = randomText();
    await post(`/api/v1/tenants/${id}/restart`, undefined, key);
    await loseAnswers();
    edge.world.forward(LEASE_MS + 1);
    expect((await post(`/api/v1/tenants/${id}/restart`, undefined, key)).status).toBe(202);
    expect(await restartsOf(id)).toBe(1);
  });

  it("fails the transaction of whoever has lost it, and is taken over once its time is up", async () => {
    const { id } = await made(await create(body(), randomText()));
    const key = randomText();
    const restart = () => post(`/api/v1/tenants/${id}/restart`, undefined, key);
    // Between the claim and the transaction another one takes over, and then ends without having done anything.
    await edge.db.run(sql`create trigger lose after insert on idempotency_keys begin
      update idempotency_keys set claim = 'another' where id = new.id; end`);
    const lost = await restart();
    await edge.db.run(sql`drop trigger lose`);
    expect(lost.status).toBe(500);
    expect(await restartsOf(id)).toBe(0);
    expect((await restart()).status).toBe(409);
    edge.world.forward(LEASE_MS + 1);
    expect((await restart()).status).toBe(202);
    expect(await restartsOf(id)).toBe(1);
  });

  it("is given back by a refusal, which had no effect", async () => {
    const [what, key] = [{ ...body(), name: "no" }, randomText()];
    expect((await create(what, key)).status).toBe(422);
    expect((await create(body(), key)).status).toBe(201);
  });

  it("is each caller's own", async () => {
    const stranger = await new Client(edge).signUp();
    const [what, key] = [body(), randomText()];
    await create(what, key);
    expect((await made(await create(what, key, stranger))).code).toBe("name_taken");
  });

  it("lets nobody read an answer or a body out of the database", async () => {
    const key = `key-${randomText()}`;
    const answer = await post("/api/v1/keys", { name: "ci", scopes: ["tenants:read"], expiresInDays: 1 }, key);
    const { key: apiKey } = (await answer.json()) as { key: string };
    const text = JSON.stringify(await rows());
    expect(apiKey).toMatch(/^chk_/);
    for (const secret of [apiKey, key, "tenants:read"]) expect(text).not.toContain(secret);
  });

  it("makes no second API key when the answer with the first is lost", async () => {
    const [key, wish] = [randomText(), { name: "once", scopes: ["tenants:read"], expiresInDays: 1 }];
    await post("/api/v1/keys", wish, key);
    await loseAnswers();
    edge.world.forward(LEASE_MS + 1);
    const again = await post("/api/v1/keys", wish, key);
    expect([again.status, (await made(again)).code]).toEqual([409, "already_done"]);
    const { keys } = (await owner.json<{ keys: { name: string }[] }>("GET", "/api/v1/keys")).body;
    expect(keys.filter(({ name }) => name === "once")).toHaveLength(1);
  });

  it("must be something that a header can carry", async () => {
    const refused = await create(body(), "ü");
    expect([refused.status, (await made(refused)).code]).toEqual([400, "invalid_body"]);
  });

  it("is forgotten after a day", async () => {
    await create(body(), randomText());
    edge.world.forward(24 * 3_600_000 + 1);
    await edge.tick();
    expect(await rows()).toEqual([]);
  });
});

const restartsOf = async (id: string) =>
  (await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, id))).filter(
    ({ step }) => step === "owner.restart",
  ).length;
