import { eq } from "drizzle-orm";
import { SignJWT } from "jose";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { hosts, session, tickets, user } from "../../schema/db/index.ts";
import { generateSigningKey, importSigningKey, keyId } from "../../schema/protocol/index.ts";
import { Client, DASHBOARD, startTestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { type Settled, startSettled } from "../testing/settled.ts";

let { edge, host, owner } = {} as Settled;
let stranger: Client;
let name: string;
let hostname: string;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
  stranger = await new Client(edge).signUp();
});

beforeEach(async () => {
  name = (await owner.create()).body.name;
  hostname = `${name}.agents.example`;
});

/** A browser at an agent's host name, seen by the edge through Caddy's description. */
function knock(cookie: string, more: Record<string, string> = {}) {
  return edge.send("/forward-auth", {
    headers: {
      "x-chelar-host": host.ingressKey,
      "x-chelar-client": "198.51.100.7",
      "x-forwarded-method": "GET",
      "x-forwarded-proto": "https",
      "x-forwarded-host": hostname,
      "x-forwarded-uri": "/",
      accept: "text/html",
      ...(cookie ? { cookie } : {}),
      ...more,
    },
  });
}
const cookieOf = (response: Response, cookieName: string) =>
  response.headers
    .getSetCookie()
    .find((it) => it.startsWith(`${cookieName}=`))
    ?.split(";")[0] ?? "";
const locationOf = (response: Response) => new URL(response.headers.get("location") ?? "", DASHBOARD);

/** The whole way in: bounced, ticket at the dashboard, back, cookie. */
async function enter(client: Client, uri = "/chat?x=1") {
  const bounced = await knock("", { "x-forwarded-uri": uri });
  expect(bounced.status).toBe(302);
  const bind = cookieOf(bounced, "__Host-chelar-bind");
  const authorized = await client.request("GET", locationOf(bounced).href);
  return { bind, authorized, callback: locationOf(authorized) };
}
const redeem = (callback: URL, bind: string) =>
  knock(bind, { "x-forwarded-uri": `${callback.pathname}${callback.search}` });
async function doorCookie(client = owner) {
  const { bind, callback } = await enter(client);
  return cookieOf(await redeem(callback, bind), "__Host-chelar");
}

describe("the way in", () => {
  it("leads the owner from a page load over the dashboard back to the very page, inside", async () => {
    const { bind, callback } = await enter(owner, "/chat?x=1");
    expect(callback.origin).toBe(`https://${hostname}`);
    const landed = await redeem(callback, bind);
    expect([landed.status, landed.headers.get("location")]).toEqual([302, "/chat?x=1"]);
    const set = landed.headers.getSetCookie().find((it) => it.startsWith("__Host-chelar="));
    expect(set).toMatch(/; Path=\/; .*HttpOnly; SameSite=Lax; Secure/);
    expect(set).not.toMatch(/domain/i);
    const inside = await knock(cookieOf(landed, "__Host-chelar"));
    const me = await owner.json<{ user: { id: string } }>("GET", "/api/auth/get-session");
    expect([inside.status, inside.headers.get("x-chelar-user")]).toEqual([200, me.body.user.id]);
    expect(await inside.text()).toBe("");
  });

  it("stops a stranger at the dashboard, without a ticket", async () => {
    const { authorized } = await enter(stranger);
    expect(authorized.status).toBe(403);
    expect(authorized.headers.get("location")).toBeNull();
    expect(await authorized.text()).not.toContain(owner.email);
  });

  it("asks somebody without a session to sign in first, and to come back", async () => {
    const bounced = await knock("");
    const response = await edge.send(locationOf(bounced).href);
    const to = locationOf(response);
    expect([response.status, to.pathname]).toEqual([302, "/sign-in"]);
    expect(to.searchParams.get("next")).toMatch(/^\/authorize\?host=/);
  });

  it.each([
    "evil.example",
    "agents.example",
    "a.b.agents.example",
    "alpha.agents.example.evil.example",
    "-.agents.example",
    "",
  ])("gives no ticket for the host name %j", async (host) => {
    const response = await owner.request("GET", `/authorize?${new URLSearchParams({ host, bind: "A".repeat(43) })}`);
    expect(response.status).toBe(404);
  });

  it("sends nobody to another site after signing in", async () => {
    const { bind, callback } = await enter(owner, "//evil.example/x");
    expect((await redeem(callback, bind)).headers.get("location")).toBe("/");
  });
});

describe("a ticket", () => {
  it("opens once, even when it is shown twice at the same moment", async () => {
    const { bind, callback } = await enter(owner);
    const both = await Promise.all([redeem(callback, bind), redeem(callback, bind)]);
    expect(both.map(({ status }) => status).sort()).toEqual([302, 401]);
    expect((await redeem(callback, bind)).status).toBe(401);
  });

  it("opens nothing in another browser, and is spent by the attempt", async () => {
    const { bind, callback } = await enter(owner);
    const other = cookieOf(await knock(""), "__Host-chelar-bind");
    for (const cookie of [other, ""]) {
      const response = await redeem(callback, cookie);
      expect(response.status).toBe(401);
      expect(response.headers.getSetCookie()).toEqual([]);
    }
    expect((await redeem(callback, bind)).status).toBe(401);
  });

  it("opens nothing after a minute", async () => {
    const { bind, callback } = await enter(owner);
    edge.world.forward(60_001);
    const response = await redeem(callback, bind);
    edge.world.forward(-60_001);
    expect(response.status).toBe(401);
  });

  it("opens nothing at another agent", async () => {
    const { bind, callback } = await enter(owner);
    const other = (await owner.create()).body.name;
    const response = await knock(bind, {
      "x-forwarded-host": `${other}.agents.example`,
      "x-forwarded-uri": `${callback.pathname}${callback.search}`,
    });
    expect(response.status).toBe(401);
  });

  it("is stored as a hash only", async () => {
    const { callback } = await enter(owner);
    const rows = await edge.db.select().from(tickets).where(eq(tickets.hostname, hostname));
    expect(JSON.stringify(rows)).not.toContain(callback.searchParams.get("ticket"));
    expect(rows).toHaveLength(1);
  });
});

describe("the door cookie", () => {
  it("opens its own agent only", async () => {
    const cookie = await doorCookie();
    const other = (await owner.create()).body.name;
    expect((await knock(cookie)).status).toBe(200);
    const elsewhere = await knock(cookie, { "x-forwarded-host": `${other}.agents.example`, accept: "*/*" });
    expect(elsewhere.status).toBe(401);
  });

  it("is worthless within five seconds of sign-out even when the clock was set back by an hour in between", async () => {
    const leaver = await new Client(edge).signUp();
    name = (await leaver.create()).body.name;
    hostname = `${name}.agents.example`;
    const cookie = await doorCookie(leaver);
    edge.world.forward(3_600_000);
    expect((await knock(cookie)).status).toBe(200);
    edge.world.forward(-3_600_000);
    await leaver.request("POST", "/api/auth/sign-out", {});
    edge.world.forward(5_000);
    expect((await knock(cookie)).status).toBe(302);
    edge.world.forward(-5_000);
  });

  it("is worthless within five seconds of sign-out", async () => {
    const leaver = await new Client(edge).signUp();
    name = (await leaver.create()).body.name;
    hostname = `${name}.agents.example`;
    const cookie = await doorCookie(leaver);
    expect((await knock(cookie)).status).toBe(200);
    await leaver.request("POST", "/api/auth/sign-out", {});
    edge.world.forward(5_000);
    const after = await knock(cookie, { accept: "application/json" });
    edge.world.forward(-5_000);
    expect([after.status, after.headers.get("x-chelar-user")]).toEqual([401, null]);
  });

  it("asks the database nothing while a decision is warm", async () => {
    const cookie = await doorCookie();
    await knock(cookie);
    await edge.db.delete(session).where(eq(session.id, "none"));
    let queries = 0;
    const { $client } = edge.db as unknown as { $client: { execute: (...args: unknown[]) => unknown } };
    const { execute } = $client;
    $client.execute = (...args) => {
      queries += 1;
      return execute(...args);
    };
    for (let i = 0; i < 20; i += 1) expect((await knock(cookie)).status).toBe(200);
    $client.execute = execute;
    expect(queries).toBe(0);
  });

  it("ends with the agent", async () => {
    const cookie = await doorCookie();
    const { body } = await owner.json<{ tenants: { id: string; name: string }[] }>("GET", "/api/v1/tenants");
    await owner.request("DELETE", `/api/v1/tenants/${body.tenants.find((it) => it.name === name)?.id}`);
    edge.world.forward(5_000);
    expect((await knock(cookie)).status).toBe(404);
    edge.world.forward(-5_000);
  });

  it("cannot be made by anybody else, or be something else of ours", async () => {
    const me = (await owner.json<{ user: { id: string }; session: { id: string } }>("GET", "/api/auth/get-session"))
      .body;
    const { ticketKey } = edge.config;
    const mint = async (over: {
      key?: typeof ticketKey;
      typ?: string;
      aud?: string;
      iss?: string;
      exp?: number;
      alg?: string;
    }) => {
      const key = over.key ?? ticketKey;
      return new SignJWT({ sid: me.session.id })
        .setProtectedHeader({ alg: over.alg ?? "EdDSA", typ: over.typ ?? "chelar-door+jwt", kid: await keyId(key) })
        .setSubject(me.user.id)
        .setIssuer(over.iss ?? DASHBOARD)
        .setAudience(over.aud ?? hostname)
        .setExpirationTime(over.exp ?? Math.floor(Date.now() / 1000) + 60)
        .sign(await importSigningKey(key));
    };
    const open = async (token: string) => (await knock(`__Host-chelar=${token}`, { accept: "*/*" })).status;
    expect(await open(await mint({}))).toBe(200);
    const good = await mint({});
    for (const token of [
      await mint({ key: await generateSigningKey() }),
      await mint({ typ: "JWT" }),
      await mint({ aud: "other.agents.example" }),
      await mint({ iss: "https://evil.example" }),
      await mint({ exp: Math.floor(Date.now() / 1000) - 1 }),
      `${good.slice(0, -6)}AAAAAA`,
      `${btoa('{"alg":"none","typ":"chelar-door+jwt"}')}.${good.split(".")[1]}.`,
      "x".repeat(100_000),
      "%00",
      "",
    ]) {
      expect(await open(token)).toBe(401);
    }
  });

  it("counts for nothing when the name comes twice: which is meant, nobody can say", async () => {
    const cookie = await doorCookie();
    const ten = Array(10).fill(cookie).join("; ");
    expect((await knock(ten, { accept: "*/*" })).status).toBe(401);
    expect((await knock(`a=b; ${cookie}; c=d`)).status).toBe(200);
  });

  it("is cleared by signing out at the agent's host name", async () => {
    const response = await knock(await doorCookie(), { "x-forwarded-uri": "/.chelar/sign-out" });
    expect(response.status).toBe(302);
    expect(response.headers.getSetCookie().join()).toContain("__Host-chelar=; Path=/; Max-Age=0");
  });
});

describe("an API key", () => {
  const bearer = (authorization: string, more: Record<string, string> = {}) =>
    knock("", { authorization, accept: "application/json", ...more });
  const keyOf = async (client: Client, scopes: string[]) =>
    (
      await client.json<{ id: string; key: string }>("POST", "/api/v1/keys", {
        name: "program",
        scopes,
        expiresInDays: 1,
      })
    ).body;

  it("opens its owner's agent with the right scope, and no other", async () => {
    const { key } = await keyOf(owner, ["agents:open"]);
    expect((await bearer(`Bearer ${key}`)).status).toBe(200);
    expect((await bearer(`Bearer ${(await keyOf(owner, ["tenants:write"])).key}`)).status).toBe(403);
    expect((await bearer(`Bearer ${(await keyOf(stranger, ["agents:open"])).key}`)).status).toBe(403);
    const neighbour = (await stranger.create()).body.name;
    const host = { "x-forwarded-host": `${neighbour}.agents.example` };
    expect((await bearer(`Bearer ${key}`, host)).status).toBe(403);
  });

  it("is worthless within five seconds of its removal", async () => {
    const { id, key } = await keyOf(owner, ["agents:open"]);
    expect((await bearer(`Bearer ${key}`)).status).toBe(200);
    await owner.request("DELETE", `/api/v1/keys/${id}`);
    edge.world.forward(5_000);
    const after = await bearer(`Bearer ${key}`);
    edge.world.forward(-5_000);
    expect([after.status, after.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="chelar"']);
  });

  it("counts for nothing beside a cookie of ours that has ended", async () => {
    const leaver = await new Client(edge).signUp();
    name = (await leaver.create()).body.name;
    hostname = `${name}.agents.example`;
    const [{ key }, cookie] = [await keyOf(leaver, ["agents:open"]), await doorCookie(leaver)];
    await leaver.request("POST", "/api/auth/sign-out", {});
    const authorization = `Bearer ${key}`;
    expect((await knock(cookie, { authorization, accept: "*/*" })).status).toBe(401);
    expect((await bearer(authorization)).status).toBe(200);
  });

  it.each(["Bearer", "Bearer x", "Basic eDp5", `Bearer chk_${"x".repeat(43)}`, `Bearer ${"x".repeat(50_000)}`])(
    "%#: what is none opens nothing",
    async (authorization) => expect((await bearer(authorization)).status).toBe(401),
  );
});

it("a suspended person is refused within five seconds, with cookie and with key", async () => {
  const person = await new Client(edge).signUp();
  name = (await person.create()).body.name;
  hostname = `${name}.agents.example`;
  const cookie = await doorCookie(person);
  const scopes = ["agents:open"];
  const { body } = await person.json<{ key: string }>("POST", "/api/v1/keys", { name: "k", scopes, expiresInDays: 1 });
  const authorization = `Bearer ${body.key}`;
  const both = async () => [
    (await knock(cookie, { accept: "*/*" })).status,
    (await knock("", { authorization, accept: "*/*" })).status,
  ];
  expect(await both()).toEqual([200, 200]);
  await edge.db.update(user).set({ suspendedAt: new Date() }).where(eq(user.email, person.email));
  edge.world.forward(5_000);
  expect(await both()).toEqual([401, 401]);
  edge.world.forward(-5_000);
});

describe("who asks", () => {
  it.each([
    ["nobody", ""],
    ["a made-up host", `hst_${"a".repeat(26)}.${"k".repeat(43)}`],
    ["something else", "Bearer x"],
  ])("%s is told nothing", async (_who, key) => {
    const response = await knock(await doorCookie(), { "x-chelar-host": key });
    expect([response.status, response.headers.get("x-chelar-user")]).toEqual([403, null]);
  });

  it("an enrolled host is told nothing with another secret", async () => {
    const wrong = `${host.enrolment.hostId}.${"x".repeat(43)}`;
    expect((await knock(await doorCookie(), { "x-chelar-host": wrong })).status).toBe(403);
  });

  it("a host that was removed is told nothing more, however long nobody has asked", async () => {
    const gone = await TestHost.make();
    await gone.enrol(edge, { capacity: { memoryMiB: 0, diskMiB: 0, tenants: 0 } });
    const asks = async () => (await knock("", { "x-chelar-host": gone.ingressKey })).status;
    edge.world.forward(16_000);
    // Twice: from the second on it is answered from memory.
    expect([await asks(), await asks()]).toEqual([404, 404]);
    await edge.db.update(hosts).set({ state: "removed" }).where(eq(hosts.id, gone.enrolment.hostId));
    edge.world.forward(16_000);
    expect(await asks()).toBe(403);
    edge.world.forward(-32_000);
  });

  it("whoever makes up hosts has the database looked at once a second, not once each", async () => {
    let looks = 0;
    const counting = await startTestEdge({
      onStatement(statement) {
        if (/from.+hosts/.test(statement)) looks += 1;
      },
    });
    const now = counting.world.now();
    counting.world.now = () => now;
    for (let n = 0; n < 20; n += 1) {
      const key = `hst_${String(n).padStart(26, "a")}.${"k".repeat(43)}`;
      const answer = await counting.send("/forward-auth", { headers: { "x-chelar-host": key } });
      expect(answer.status).toBe(403);
    }
    expect(looks).toBe(1);
  });

  it("another host is told nothing of this host's agents", async () => {
    const cookie = await doorCookie();
    const other = await TestHost.make();
    // Without room, so that the agents of later tests do not go there.
    const capacity = { memoryMiB: 0, diskMiB: 0, tenants: 0 };
    expect((await other.enrol(edge, { capacity })).status).toBe(201);
    edge.world.forward(1_000);
    expect((await knock(cookie, { "x-chelar-host": other.ingressKey })).status).toBe(404);
    edge.world.forward(-1_000);
    expect((await knock(cookie)).status).toBe(200);
  });
});

describe("patience", () => {
  const from = (address: string, more: Record<string, string>) => knock("", { "x-chelar-client": address, ...more });
  const unknown = (n: number) => ({ "x-forwarded-host": `nobody-${n}.agents.example` });

  it("ends for an address that tries names, and for no other address; who is inside does not feel it", async () => {
    const cookie = await doorCookie();
    const statuses: number[] = [];
    for (let n = 0; n < 32; n += 1) statuses.push((await from("203.0.113.9", unknown(n))).status);
    expect(statuses.filter((status) => status === 404)).toHaveLength(30);
    const refused = await from("203.0.113.9", unknown(99));
    expect([refused.status, Number(refused.headers.get("retry-after"))]).toEqual([429, expect.any(Number)]);
    expect((await from("203.0.113.10", unknown(99))).status).toBe(404);
    edge.world.forward(5_000);
    expect((await knock(cookie, { "x-chelar-client": "203.0.113.9" })).status).toBe(200);
    edge.world.forward(-5_000);
  });

  it("is one mistake for a page of a hundred pictures whose session has ended", async () => {
    const leaver = await new Client(edge).signUp();
    name = (await leaver.create()).body.name;
    hostname = `${name}.agents.example`;
    const cookie = await doorCookie(leaver);
    await leaver.request("POST", "/api/auth/sign-out", {});
    const pictures = Array.from({ length: 100 }, () =>
      knock(cookie, { "x-chelar-client": "203.0.113.20", accept: "image/*" }),
    );
    expect(new Set((await Promise.all(pictures)).map(({ status }) => status))).toEqual(new Set([401]));
    // A name that nobody has asked for yet: what is known is answered without patience.
    expect((await from("203.0.113.20", unknown(1_000))).status).toBe(404);
  });
});

it("says that nobody can be let in, when the database is away", async () => {
  const cookie = await doorCookie();
  edge.world.forward(3_600_000);
  const { $client } = edge.db as unknown as { $client: { execute: (...args: unknown[]) => unknown } };
  const { execute } = $client;
  $client.execute = () => Promise.reject(new Error("away"));
  const response = await knock(cookie);
  $client.execute = execute;
  edge.world.forward(-3_600_000);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
});

describe("host names", () => {
  it.each([
    "nobody-here.agents.example",
    "chelar.example",
    "",
    "..",
    "a".repeat(300),
    `x.agents.example, ${"y".repeat(10)}`,
  ])("%j is nobody's", async (host) => expect((await knock("", { "x-forwarded-host": host })).status).toBe(404));

  it("are the same in any case and with a port", async () => {
    const cookie = await doorCookie();
    expect((await knock(cookie, { "x-forwarded-host": `${hostname.toUpperCase()}:8443` })).status).toBe(200);
  });

  it("need Caddy's description: without it nothing opens", async () => {
    const cookie = await doorCookie();
    const headers = { cookie, host: hostname, "x-chelar-host": host.ingressKey };
    expect((await edge.send("/forward-auth", { headers })).status).toBe(404);
  });
});

it("publishes the key of the door's tickets, and only its public part", async () => {
  const { keys } = (await (await edge.send("/.well-known/jwks.json")).json()) as { keys: object[] };
  expect(keys).toEqual([
    { kty: "OKP", crv: "Ed25519", x: edge.config.ticketKey.x, kid: expect.any(String), alg: "EdDSA", use: "sig" },
  ]);
});
