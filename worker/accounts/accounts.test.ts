import { inspect } from "node:util";
import { eq, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { account, session, user } from "../../schema/db/index.ts";
import { Client, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge();
});

const signIn = (client: Client, email: string, password: string) =>
  client.request("POST", "/api/auth/sign-in/email", { email, password });

describe("passwords", () => {
  it("are verified against their own hash only, and never hashed alike twice", async () => {
    const [first, second] = await Promise.all([hashPassword("correct horse"), hashPassword("correct horse")]);
    expect(first).toMatch(/^scrypt\$16384\$8\$5\$/);
    expect(first).not.toBe(second);
    expect(await verifyPassword({ hash: first, password: "correct horse" })).toBe(true);
    expect(await verifyPassword({ hash: first, password: "correct horsf" })).toBe(false);
  });

  it.each(["", "plain", "scrypt$16384$8$5$00$00", "scrypt$1$1$1$x$y"])(
    "never match the broken hash %j",
    async (hash) => {
      expect(await verifyPassword({ hash, password: "correct horse" })).toBe(false);
    },
  );

  it("are the same however the keyboard composes them", async () => {
    expect(
      await verifyPassword({ hash: await hashPassword("caf\u00e9 au lait"), password: "cafe\u0301 au lait" }),
    ).toBe(true);
  });
});

describe("when the database fails", () => {
  it.each(["account", "session"])("at the %s, the log holds no password, hash, token or address", async (table) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const client = table === "account" ? new Client(edge) : await new Client(edge).signUp();
    const body = { name: "Ada", email: client.email, password: client.password };
    const path = table === "account" ? "sign-up" : "sign-in";
    await edge.db.run(sql.raw(`alter table ${table} rename column created_at to away`));
    const response = await client.request("POST", `/api/auth/${path}/email`, body);
    await edge.db.run(sql.raw(`alter table ${table} rename column away to created_at`));
    const said = log.mock.calls.map((line) => inspect(line, { depth: 9 })).join();
    log.mockRestore();
    expect([response.status, await response.json()]).toMatchObject([500, { code: "internal" }]);
    expect(said).toContain("Failed query");
    expect(said).not.toMatch(/scrypt|params/);
    for (const secret of [client.password, client.email]) expect(said).not.toContain(secret);
  });

  it("between person and password, the address is free again after a while, and nobody else is touched", async () => {
    const [half, whole] = [new Client(edge), await new Client(edge).signUp()];
    const [{ id: wholeId } = { id: "" }] = await edge.db.select().from(user).where(eq(user.email, whole.email));
    const long = new Date(Date.now() - 3_600_000);
    await edge.db
      .insert(user)
      .values({ id: randomText(), name: "", email: half.email, createdAt: long, updatedAt: long });
    const fresh = { id: randomText(), name: "", email: `${randomText()}@example.com` };
    await edge.db.insert(user).values({ ...fresh, createdAt: new Date(), updatedAt: new Date() });
    await edge.db.update(user).set({ createdAt: long }).where(eq(user.id, wholeId));
    await edge.tick();
    await half.signUp();
    const left = (await edge.db.select({ id: user.id }).from(user)).map(({ id }) => id);
    expect(left).toEqual(expect.arrayContaining([wholeId, fresh.id]));
  });
});

describe("accounts", () => {
  it("keep no password in plain text, and a session in a cookie that scripts cannot read", async () => {
    const client = await new Client(edge).signUp();
    const response = await signIn(client, client.email, client.password);
    const cookie = response.headers.getSetCookie().join();
    expect(cookie).toMatch(/^__Secure-chelar\.session_token=/);
    expect(cookie).toMatch(/HttpOnly; Secure; SameSite=Lax/);
    expect(cookie).not.toMatch(/domain=/i);
    const rows = await edge.db.select().from(account).innerJoin(user, eq(user.id, account.userId));
    expect(JSON.stringify(rows)).not.toContain(client.password);
  });

  it("answer a wrong password and an unknown address alike", async () => {
    const client = await new Client(edge).signUp();
    const wrong = await signIn(new Client(edge), client.email, "wrong password!");
    const unknown = await signIn(new Client(edge), `${randomText()}@example.com`, "wrong password!");
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(wrong.headers.get("content-type")).toBe("application/problem+json");
    expect(await wrong.text()).toBe(await unknown.text());
  });

  it.each([
    ["a short password", { password: "123456789" }],
    ["an endless password", { password: "x".repeat(129) }],
    ["no address", { email: "nobody" }],
    ["a missing name", { name: undefined }],
    ["a body that is no object", null],
  ])("refuse a sign-up with %s as a problem, and make nobody", async (_what, change) => {
    const client = new Client(edge);
    const body = change && { name: "x", email: client.email, password: client.password, ...change };
    const response = await client.request("POST", "/api/auth/sign-up/email", body);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await edge.db.select().from(user).where(eq(user.email, client.email))).toHaveLength(0);
  });

  it("end a session at sign-out: its cookie is worth nothing from then on", async () => {
    const client = await new Client(edge).signUp();
    const { cookie } = client;
    await client.request("POST", "/api/auth/sign-out", {});
    const response = await edge.send("/api/v1/tenants", { headers: { cookie } });
    expect(response.status).toBe(401);
  });

  it("refuse a session cookie whose signature was changed, and one that has expired", async () => {
    const client = await new Client(edge).signUp();
    const forged = `${client.cookie.slice(0, -8)}AAAAAA%3D`;
    expect((await edge.send("/api/v1/tenants", { headers: { cookie: forged } })).status).toBe(401);
    expect((await edge.send("/api/v1/tenants", { headers: { cookie: client.cookie } })).status).toBe(200);
    await edge.db.update(session).set({ expiresAt: new Date(Date.now() - 1) });
    expect((await edge.send("/api/v1/tenants", { headers: { cookie: client.cookie } })).status).toBe(401);
  });

  it("renew a session that is used, row and cookie together", async () => {
    const client = await new Client(edge).signUp();
    await edge.db.update(session).set({
      expiresAt: new Date(Date.now() + 3 * 24 * 3_600_000),
      updatedAt: new Date(Date.now() - 4 * 24 * 3_600_000),
    });
    const response = await edge.send("/api/v1/tenants", { headers: { cookie: client.cookie } });
    expect(response.headers.getSetCookie().join()).toMatch(/^__Secure-chelar\.session_token=.*Max-Age=604800/);
    const rows = await edge.db.select().from(session);
    expect(Math.max(...rows.map(({ expiresAt }) => expiresAt.getTime()))).toBeGreaterThan(
      Date.now() + 6 * 24 * 3_600_000,
    );
  });

  it("refuse a sign-in that another site posts", async () => {
    const client = await new Client(edge).signUp();
    const body = { email: client.email, password: client.password };
    const response = await new Client(edge).request("POST", "/api/auth/sign-in/email", body, {
      origin: "https://evil.example",
    });
    expect(response.status).toBe(403);
    expect(response.headers.getSetCookie()).toEqual([]);
  });

  it("slow down guessing, by address, also when it comes in parallel", async () => {
    const limited = await startTestEdge({ bindings: { AUTH_RATE_LIMIT: "on" } });
    const client = new Client(limited);
    const guess = (ip: string) =>
      client.request(
        "POST",
        "/api/auth/sign-in/email",
        { email: client.email, password: "wrong password!" },
        { "cf-connecting-ip": ip },
      );
    const answers = await Promise.all(Array.from({ length: 14 }, () => guess("203.0.113.7")));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.headers.get("retry-after")).toMatch(/^\d+$/);
    expect(await refused?.json()).toMatchObject({ code: "rate_limited" });
    expect((await guess("203.0.113.8")).status).toBe(401);
  });
});
