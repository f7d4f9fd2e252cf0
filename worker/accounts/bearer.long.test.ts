import { eq } from "drizzle-orm";
import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify, SignJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { apiKeys, session, user } from "../../schema/db/index.ts";
import { Client } from "../testing/edge.ts";
import { type Settled, startSettled } from "../testing/settled.ts";

let { edge, owner } = {} as Settled;
beforeAll(async () => {
  ({ edge, owner } = await startSettled());
});

interface Made {
  id: string;
  key: string;
}
const makeKey = async (scopes: string[] = ["tenants:read", "tenants:write"], expiresInDays = 30): Promise<Made> => {
  const made = await owner.json<Made>("POST", "/api/v1/keys", { name: "ci", scopes, expiresInDays });
  expect(made.status).toBe(201);
  return made.body;
};
/** As a program calls: no cookie, no Origin. */
const call = (token: string, path: string, method = "GET", body?: object) =>
  edge.send(path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body ? { "content-type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
const problemOf = async (response: Response) => [response.status, ((await response.json()) as { code: string }).code];
const makeToken = async (key: string) =>
  ((await (await call(key, "/api/v1/token", "POST")).json()) as { token: string }).token;

describe("an API key", () => {
  it("does its owner's work over the API, for as long and as far as it was made", async () => {
    const { key } = await makeKey();
    const made = await call(key, "/api/v1/tenants", "POST", { name: "by-a-program", runtime: "echo" });
    expect(made.status).toBe(201);
    expect(await (await call(key, "/api/v1/tenants")).json()).toMatchObject({ tenants: [{ name: "by-a-program" }] });
    expect(await (await call(key, "/api/v1/me")).json()).toMatchObject({ email: owner.email });
    const reader = await makeKey(["tenants:read"]);
    expect((await call(reader.key, "/api/v1/tenants")).status).toBe(200);
    const refused = await call(reader.key, "/api/v1/tenants", "POST", { name: "x-y-z", runtime: "echo" });
    expect(await problemOf(refused)).toEqual([403, "insufficient_scope"]);
    const opener = await makeKey(["agents:open"]);
    expect(await problemOf(await call(opener.key, "/api/v1/tenants"))).toEqual([403, "insufficient_scope"]);
  });

  it("is shown once, and is nowhere in the database or the list", async () => {
    const { key } = await makeKey();
    const rows = JSON.stringify(await edge.db.select().from(apiKeys));
    const listed = await (await owner.request("GET", "/api/v1/keys")).text();
    for (const text of [rows, listed]) {
      expect(text).toContain(key.slice(0, 10));
      expect(text).not.toContain(key.slice(0, 14));
    }
    expect(edge.letters.at(-1)).toMatchObject({ to: owner.email, text: expect.stringContaining(`key named "ci"`) });
    expect(edge.letters.at(-1)?.text).not.toContain(key);
  });

  it.each([
    ["removed", async ({ id }: Made) => void (await owner.request("DELETE", `/api/v1/keys/${id}`))],
    [
      "expired",
      async ({ id }: Made) =>
        void (await edge.db.update(apiKeys).set({ expiresAt: Date.now() }).where(eq(apiKeys.id, id))),
    ],
    [
      "its owner suspended",
      async () => void (await edge.db.update(user).set({ suspendedAt: new Date() }).where(eq(user.email, owner.email))),
    ],
    ["its owner gone", async () => void (await edge.db.delete(user).where(eq(user.email, owner.email)))],
  ])("is worth nothing once it is %s, and its tokens neither", async (_what, end) => {
    owner = await new Client(edge).signUp();
    const made = await makeKey();
    const token = await makeToken(made.key);
    for (const credential of [made.key, token]) expect((await call(credential, "/api/v1/me")).status).toBe(200);
    await end(made);
    for (const credential of [made.key, token]) {
      expect(await problemOf(await call(credential, "/api/v1/me"))).toEqual([401, "unauthenticated"]);
    }
  });

  it("cannot be removed by another person, and is not seen by them", async () => {
    owner = await new Client(edge).signUp();
    const { id, key } = await makeKey();
    const stranger = await new Client(edge).signUp();
    expect((await stranger.request("DELETE", `/api/v1/keys/${id}`)).status).toBe(204);
    expect((await call(key, "/api/v1/me")).status).toBe(200);
    expect((await stranger.json("GET", "/api/v1/keys")).body).toEqual({ keys: [], next: null });
  });

  it("opens neither keys nor sessions, so a stolen one cannot dig in", async () => {
    const { key } = await makeKey();
    for (const path of ["/api/v1/keys", "/api/v1/sessions"]) {
      expect(await problemOf(await call(key, path))).toEqual([403, "insufficient_scope"]);
    }
    expect(
      (await call(key, "/api/v1/keys", "POST", { name: "more", scopes: ["tenants:read"], expiresInDays: 365 })).status,
    ).toBe(403);
    expect((await edge.send("/account", { headers: { authorization: `Bearer ${key}` } })).status).toBe(303);
  });

  it("that is wrong is not helped by a cookie that is right", async () => {
    const headers = { authorization: `Bearer chk_${"a".repeat(43)}`, cookie: owner.cookie };
    expect((await edge.send("/api/v1/me", { headers })).status).toBe(401);
  });

  it("needs a fresh session to be made, and there are only so many", async () => {
    owner = await new Client(edge).signUp();
    await edge.db.update(session).set({ createdAt: new Date(Date.now() - 3_600_000) });
    const old = await owner.json<{ code: string }>("POST", "/api/v1/keys", {
      name: "x",
      scopes: ["tenants:read"],
      expiresInDays: 1,
    });
    expect([old.status, old.body.code]).toEqual([403, "sign_in_again"]);
    await edge.db.update(session).set({ createdAt: new Date() });
    const body = { name: "x", scopes: ["tenants:read"], expiresInDays: 1 };
    const all = await Promise.all(Array.from({ length: 24 }, () => owner.request("POST", "/api/v1/keys", body)));
    const statuses = all.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(20);
    expect(statuses.filter((status) => status === 409)).toHaveLength(4);
    owner = await new Client(edge).signUp();
  });

  it.each([
    ["no scope", { name: "x", scopes: [], expiresInDays: 1 }],
    ["an unknown scope", { name: "x", scopes: ["everything"], expiresInDays: 1 }],
    ["no name", { name: " ", scopes: ["tenants:read"], expiresInDays: 1 }],
    ["no end", { name: "x", scopes: ["tenants:read"] }],
    ["an end too far", { name: "x", scopes: ["tenants:read"], expiresInDays: 366 }],
    ["an owner", { name: "x", scopes: ["tenants:read"], expiresInDays: 1, userId: "usr" }],
  ])("with %s is not made", async (_what, body) => {
    const before = await edge.db.select().from(apiKeys);
    const refused = await owner.json<{ code: string }>("POST", "/api/v1/keys", body);
    expect([refused.status, refused.body.code]).toEqual([400, "invalid_body"]);
    expect(await edge.db.select().from(apiKeys)).toEqual(before);
  });
});

describe("a token", () => {
  it("is a JWT that anybody can check with the published keys, for a quarter of an hour at most", async () => {
    const token = await makeToken((await makeKey(["tenants:read"])).key);
    const { keys } = (await (await edge.send("/.well-known/jwks.json")).json()) as { keys: { kid: string }[] };
    const { kid, alg, typ } = decodeProtectedHeader(token);
    expect([alg, typ]).toEqual(["EdDSA", "at+jwt"]);
    const jwk = keys.find((it) => it.kid === kid);
    const { payload } = await jwtVerify(token, await importJWK(jwk as never), {
      issuer: edge.config.dashboardOrigin,
      audience: `${edge.config.dashboardOrigin}/api/v1`,
    });
    expect(payload.scope).toBe("tenants:read");
    expect((payload.exp as number) - (payload.iat as number)).toBeLessThanOrEqual(900);
    expect((await call(token, "/api/v1/tenants")).status).toBe(200);
    expect((await call(token, "/api/v1/tenants", "POST", { name: "x-y-z", runtime: "echo" })).status).toBe(403);
    edge.world.forward(901_000);
    expect((await call(token, "/api/v1/tenants")).status).toBe(401);
    edge.world.forward(-901_000);
  });

  it("made in a session ends with that session", async () => {
    owner = await new Client(edge).signUp();
    const issued = await owner.json<{ token: string }>("POST", "/api/v1/token");
    expect(issued.status).toBe(201);
    expect((await call(issued.body.token, "/api/v1/me")).status).toBe(200);
    await owner.request("POST", "/api/auth/sign-out", {});
    expect((await call(issued.body.token, "/api/v1/me")).status).toBe(401);
    owner = await new Client(edge).signUp();
  });

  it("does not live longer by being exchanged for another, nor reach further", async () => {
    const first = await makeToken((await makeKey(["tenants:read"])).key);
    edge.world.forward(600_000);
    const second = await makeToken(first);
    expect(decodeJwt(second).exp).toBe(decodeJwt(first).exp);
    expect(decodeJwt(second).scope).toBe("tenants:read");
    edge.world.forward(-600_000);
  });

  it.each([
    ["another type, as the door's own cookies have", { typ: "chelar-door+jwt" }],
    ["no type", { typ: undefined }],
    ["another audience", { aud: "https://evil.example" }],
    ["another issuer", { iss: "https://evil.example" }],
    ["no grant", { grant: undefined }],
    ["a scope that does not exist", { scope: "everything" }],
    ["a grant of somebody else", { sub: "another person" }],
  ])("of ours with %s is nobody's", async (_what, change: Record<string, string | undefined>) => {
    const real = await makeToken((await makeKey()).key);
    if (change.sub) {
      const stranger = await new Client(edge).signUp();
      change.sub = (await stranger.json<{ id: string }>("GET", "/api/v1/me")).body.id;
    }
    const { typ = "at+jwt", ...claims } = "typ" in change ? change : { typ: "at+jwt", ...change };
    const key = await importJWK(edge.config.ticketKey as never, "EdDSA");
    const header = { alg: "EdDSA", ...("typ" in change && change.typ === undefined ? {} : { typ }) };
    const forged = await new SignJWT({ ...decodeJwt(real), ...claims }).setProtectedHeader(header).sign(key);
    expect((await call(forged, "/api/v1/me")).status).toBe(401);
    const control = await new SignJWT(decodeJwt(real)).setProtectedHeader({ alg: "EdDSA", typ: "at+jwt" }).sign(key);
    expect((await call(control, "/api/v1/me")).status).toBe(200);
  });
});
