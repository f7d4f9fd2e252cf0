import { eq } from "drizzle-orm";
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { channels, deletionReceipts, rateLimit } from "../../schema/db/index.ts";
import { Client, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { deletionOf, idOf, leftOf, proveGone } from "../testing/leaving.ts";

let edge: TestEdge;
let host: TestHost;
beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({ fetch: host.fetch });
  host.now = edge.world.now;
  expect((await host.enrol(edge)).ok).toBe(true);
});

const newOwner = () => new Client(edge).signUp();
const leave = (owner: Client, password: string | null = owner.password) =>
  owner.request("DELETE", "/api/v1/account", password === null ? {} : { password });

describe("the export of an account", () => {
  it("holds every row of its person and their agents, and of what opens something only the name", async () => {
    const [owner, other] = [await newOwner(), await newOwner()];
    const key = `sk-ant-${randomText()}${randomText()}`;
    const { id } = (await owner.create(undefined, { secrets: { ANTHROPIC_API_KEY: key } })).body;
    const others = (await other.create()).body.id;
    await edge.db.insert(channels).values({
      ...{ id: randomText(), tenantId: id, kind: "telegram", accountId: randomText(), account: "my_bot", createdAt: 1 },
    });
    const answer = await owner.request("GET", "/api/v1/account/export");
    const text = await answer.text();
    const { tables } = JSON.parse(text) as { tables: Record<string, Record<string, unknown>[]> };
    expect(tables.user).toMatchObject([{ email: owner.email }]);
    expect(tables.tenants).toMatchObject([{ id }]);
    expect(tables.channels).toMatchObject([{ account: "my_bot" }]);
    expect(tables.secrets?.map(({ name }) => name)).toContain("ANTHROPIC_API_KEY");
    expect(tables.audit?.map(({ action }) => action)).toContain("tenant.create");
    expect(tables.session?.[0]).not.toHaveProperty("token");
    for (const hidden of [key, key.slice(-4), others, other.email, "scrypt$"]) expect(text).not.toContain(hidden);
  });

  it("is nobody's without a session, also not a key's", async () => {
    expect((await edge.send("/api/v1/account/export")).status).toBe(401);
    const owner = await newOwner();
    const scopes = ["tenants:read", "tenants:write"];
    const made = await owner.json<{ key: string }>("POST", "/api/v1/keys", { name: "k", scopes, expiresInDays: 1 });
    const headers = { authorization: `Bearer ${made.body.key}`, "content-type": "application/json" };
    expect((await edge.send("/api/v1/account/export", { headers })).status).toBe(403);
    const init = { method: "DELETE", headers, body: JSON.stringify({ password: owner.password }) };
    expect((await edge.send("/api/v1/account", init)).status).toBe(403);
  });
});

describe("the deletion of an account", () => {
  it("is not begun by an open session alone, nor by a wrong password", async () => {
    const owner = await newOwner();
    expect(await (await leave(owner, null)).json()).toMatchObject({ code: "sign_in_again", field: "password" });
    expect((await leave(owner, "not the password")).status).toBe(403);
    expect(await deletionOf(edge.db, await idOf(owner))).toBeUndefined();
  });

  it("puts its person out at once, and says that it is done only when every agent is proven to be gone", async () => {
    const owner = await newOwner();
    const userId = await idOf(owner);
    const name = `t${randomText()}`;
    const { id } = (await owner.create(name)).body;
    const second = (await owner.create()).body.id;
    expect((await leave(owner)).status).toBe(202);
    expect((await owner.request("GET", "/api/v1/me")).status).toBe(401);
    const back = { email: owner.email, password: owner.password };
    expect((await owner.request("POST", "/api/auth/sign-in/email", back)).ok).toBe(false);
    expect(host.commands).toContainEqual(expect.objectContaining({ type: "tenant.purge", tenantId: id }));
    await edge.tick();
    expect((await deletionOf(edge.db, userId))?.doneAt).toBeNull();

    for (const agent of [id, second]) await proveGone(edge, host, agent);
    await edge.tick();
    expect((await deletionOf(edge.db, userId))?.doneAt).toBeGreaterThan(0);
    await edge.tick();
    expect(await leftOf(edge.db, { id: userId, email: owner.email })).toEqual([]);

    const letter = edge.letters.findLast(({ to }) => to === owner.email);
    const link = /https:\S+\/account-receipts\/\S+/.exec(letter?.text ?? "")?.[0] ?? "";
    const file = await edge.send(link);
    const receipt = await file.text();
    expect(letter?.text).toContain(receipt);
    expect((await edge.send(link)).status).toBe(404);

    const jwks = (await (await edge.send("/.well-known/chelar-receipt-keys.json")).json()) as JSONWebKeySet;
    const { payload, protectedHeader } = await compactVerify(receipt, createLocalJWKSet(jwks));
    expect(protectedHeader.typ).toBe("chelar-account+jwt");
    const words = JSON.parse(new TextDecoder().decode(payload));
    expect(words).toMatchObject({ sub: userId });
    expect(words.agents).toHaveLength(2);
    expect(words.agents.map((agent: { name: string }) => agent.name)).toContain(name);
    const [proof] = await edge.db.select().from(deletionReceipts).where(eq(deletionReceipts.tenantId, id));
    expect(proof).toMatchObject({ ownerId: null });

    // The address is free again, for an account that inherits nothing, its former names included.
    const again = new Client(edge);
    Object.assign(again, { email: owner.email });
    await again.signUp();
    expect(await idOf(again)).not.toBe(userId);
    expect((await again.create(name)).body.code).toBe("name_taken");
    expect((await again.json<{ receipts: object[] }>("GET", "/api/v1/receipts")).body.receipts).toEqual([]);
  });

  it("without a password needs a sign-in that is fresh", async () => {
    const owner = await newOwner();
    await edge.db.run(`update account set password = null where user_id = '${await idOf(owner)}'`);
    edge.world.forward(31 * 60_000);
    expect((await leave(owner, null)).status).toBe(403);
    edge.world.forward(-31 * 60_000);
    expect((await leave(owner, null)).status).toBe(202);
  });

  it("forgets the receipt when its time is over", async () => {
    const owner = await newOwner();
    const userId = await idOf(owner);
    await leave(owner);
    await edge.tick();
    expect((await deletionOf(edge.db, userId))?.receipt).toBeTruthy();
    edge.world.forward(31 * 24 * 3_600_000);
    await edge.tick();
    expect(await deletionOf(edge.db, userId)).toBeUndefined();
    edge.world.forward(-31 * 24 * 3_600_000);
  });
});

it("guesses at the password of an open session run out", async () => {
  const strict = await startTestEdge({ fetch: host.fetch, bindings: { AUTH_RATE_LIMIT: "on" } });
  await strict.db.delete(rateLimit);
  const owner = await new Client(strict).signUp();
  const statuses: number[] = [];
  for (let guess = 0; guess < 11; guess++) statuses.push((await leave(owner, `guess ${guess}`)).status);
  expect(statuses).toEqual([...Array(10).fill(403), 429]);
});
