import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createGate, type Gate, type GateOptions } from "./gate.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function served(
  options?: GateOptions,
): Promise<{ gate: Gate; port: number; ask: (headers: Record<string, string>, path?: string) => Promise<Response> }> {
  const gate = createGate(options);
  const server = createServer(gate.handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { gate, port, ask: (headers, path = "/gate") => fetch(`http://127.0.0.1:${port}${path}`, { headers }) };
}

const route = { tenantId: "tnt_a", upstream: "10.0.0.2:80", requestsPerMinute: 2 };
const known = { "x-forwarded-host": "ada.example:443", "x-chelar-user": "usr_1" };

describe("the gate", () => {
  it("names the upstream of a known host, and of no other", async () => {
    const { gate, ask } = await served();
    gate.set("Ada.Example", route);
    const open = await ask({ ...known, cookie: "a=1; chelar-door=x" });
    expect([open.status, open.headers.get("x-chelar-upstream"), open.headers.get("x-chelar-cookie")]).toEqual([
      200,
      "10.0.0.2:80",
      "a=1",
    ]);
    const other = await ask({ ...known, "x-forwarded-host": "bob.example" });
    expect([other.status, other.headers.get("x-chelar-upstream")]).toEqual([404, null]);
    gate.remove("ada.example");
    expect((await ask(known)).status).toBe(404);
    // A purge that is said twice takes a name away that nobody has.
    expect(() => gate.remove("ada.example")).not.toThrow();
  });

  it.each<Record<string, string>>([
    {},
    { "x-chelar-user": "" },
    { "x-chelar-user": "{http.reverse_proxy.header.X-Chelar-User}" },
  ])("stays shut without a person: %j", async (user) => {
    const { gate, ask } = await served();
    gate.set("ada.example", route);
    expect((await ask({ "x-forwarded-host": "ada.example", ...user })).status).toBe(403);
  });

  it("says when to come back, and a restart of the agent gives no fresh allowance", async () => {
    let now = 0;
    const { gate, ask } = await served({ now: () => now });
    gate.set("ada.example", route);
    expect([(await ask(known)).status, (await ask(known)).status]).toEqual([200, 200]);
    gate.set("ada.example", { ...route, upstream: "10.0.0.2:81" });
    const refused = await ask(known);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "30"]);
    now = 30_000;
    expect((await ask(known)).status).toBe(200);
  });

  it("tells 'not yet' from 'nobody's' while routes are being rebuilt", async () => {
    let isReady = false;
    const { ask } = await served({ isReady: () => isReady });
    expect((await ask(known)).status).toBe(503);
    isReady = true;
    expect((await ask(known)).status).toBe(404);
  });

  it("counts whom it let in, and nobody else", async () => {
    const { gate, ask } = await served();
    gate.set("ada.example", { ...route, requestsPerMinute: 2 });
    for (let n = 0; n < 4; n++) await ask(known);
    expect(gate.requests("ADA.example")).toBe(2);
    expect(gate.requests("nobody.example")).toBe(0);
  });

  it("answers one question only", async () => {
    const { gate, ask } = await served();
    gate.set("ada.example", route);
    expect((await ask(known, "/")).status).toBe(404);
    expect((await ask(known, "/gate/x")).status).toBe(404);
  });

  it("answers it for a request that has a query, which Caddy's rewrite keeps", async () => {
    const { gate, ask } = await served();
    gate.set("ada.example", route);
    expect((await ask(known, "/gate?v=1")).status).toBe(200);
  });

  it("holds whoever comes to a sleeper, knocks, and lets all of them in at once", async () => {
    const { gate, ask } = await served();
    let knocks = 0;
    gate.set("ada.example", route);
    gate.hold("ada.example", { ...route, requestsPerMinute: 100, knock: () => knocks++ });
    const held = [ask(known), ask(known), ask(known)];
    await vi.waitFor(() => expect(gate.waiting("ada.example")).toBe(3));
    expect(knocks).toBe(3);
    gate.set("ada.example", { ...route, requestsPerMinute: 100, upstream: "10.0.0.2:99" });
    for (const answer of await Promise.all(held)) {
      expect([answer.status, answer.headers.get("x-chelar-upstream")]).toEqual([200, "10.0.0.2:99"]);
    }
  });

  it("tells whoever is held when nobody lives there any more", async () => {
    const { gate, ask } = await served();
    gate.hold("ada.example", { ...route, knock: () => {} });
    const held = ask(known);
    await vi.waitFor(() => expect(gate.waiting("ada.example")).toBe(1));
    gate.remove("ada.example");
    expect((await held).status).toBe(404);
  });

  it("forgets a visitor who has left", async () => {
    const { gate, port } = await served();
    gate.hold("ada.example", { ...route, knock: () => {} });
    const visitor = request({ port, path: "/gate", headers: known }).end();
    visitor.on("error", () => {});
    await vi.waitFor(() => expect(gate.waiting("ada.example")).toBe(1));
    visitor.destroy();
    await vi.waitFor(() => expect(gate.waiting("ada.example")).toBe(0));
  });

  it("shows a page that says what is going on, and nothing of a failure can become markup", async () => {
    const { gate, ask, port } = await served({ patience: { pageMs: 0, clientMs: 0 } });
    gate.hold("ada.example", { ...route, requestsPerMinute: 100, knock: () => {} });
    gate.tell("ada.example", { step: "volume", trouble: "<script>alert(1)</script>" });
    // Not by fetch, which says of itself that it is no browser's page load.
    const loading = request({ port, path: "/gate", headers: { ...known, accept: "text/html" } }).end();
    const [page] = (await once(loading, "response")) as [IncomingMessage];
    expect([page.statusCode, page.headers["retry-after"]]).toEqual([503, "1"]);
    const text = (await page.setEncoding("utf8").toArray()).join("");
    expect(text).toContain("Opening its storage");
    expect(text).not.toContain("<script>");
    expect((await ask(known)).headers.get("retry-after")).toBe("5");
    gate.fail("ada.example", "It keeps stopping.");
    expect(await (await ask(known)).text()).toContain("It keeps stopping.");
  });

  it("lets a delivery in at its channel's own place and nowhere else, and no visitor there", async () => {
    const { gate, ask } = await served();
    const channels = { telegram: { upstream: "10.0.0.2:8787", path: "/telegram-webhook" } };
    gate.set("ada.example", { ...route, requestsPerMinute: 100, closed: ["/telegram-webhook"], channels });
    const post = { ...known, "x-forwarded-method": "POST", "x-forwarded-uri": "/telegram-webhook" };
    const delivery = { ...post, "x-chelar-channel": "telegram" };
    const upstream = async (headers: Record<string, string>) => {
      const answer = await ask(headers);
      return [answer.status, answer.headers.get("x-chelar-upstream")];
    };
    expect(await upstream(delivery)).toEqual([200, "10.0.0.2:8787"]);
    for (const elsewhere of ["/", "/chat", "/telegram-webhook?x=1", "/telegram-webhook/", "//telegram-webhook"]) {
      expect(await upstream({ ...delivery, "x-forwarded-uri": elsewhere })).toEqual([404, null]);
    }
    expect(await upstream({ ...delivery, "x-forwarded-method": "GET" })).toEqual([404, null]);
    for (const channel of ["slack", "constructor", "telegram, telegram", "Telegram"]) {
      expect(await upstream({ ...delivery, "x-chelar-channel": channel })).toEqual([404, null]);
    }
    expect(await upstream(post)).toEqual([404, null]);
    for (const visit of ["", "{http.reverse_proxy.header.X-Chelar-Channel}"]) {
      expect(await upstream({ ...post, "x-chelar-channel": visit })).toEqual([404, null]);
      expect(await upstream({ ...post, "x-forwarded-uri": "/", "x-chelar-channel": visit })).toEqual([
        200,
        route.upstream,
      ]);
    }
  });

  it("wakes a sleeper for a delivery as for anybody", async () => {
    const { gate, ask } = await served();
    const channels = { telegram: { upstream: "10.0.0.2:8787", path: "/telegram-webhook" } };
    let knocks = 0;
    gate.hold("ada.example", { ...route, knock: () => knocks++ });
    const headers = { "x-forwarded-method": "POST", "x-forwarded-uri": "/telegram-webhook" };
    const held = ask({ ...known, ...headers, "x-chelar-channel": "telegram" });
    await vi.waitFor(() => expect(gate.waiting("ada.example")).toBe(1));
    expect(knocks).toBe(1);
    gate.set("ada.example", { ...route, channels });
    expect((await held).headers.get("x-chelar-upstream")).toBe("10.0.0.2:8787");
  });

  it("keeps what is the host's from every visitor, and counts what is open", async () => {
    const { gate, ask } = await served({ admits: (_, limit) => limit > 1 });
    gate.set("ada.example", { ...route, requestsPerMinute: 100, closed: ["/api/v1/admin"], openConnections: 2 });
    expect((await ask({ ...known, "x-forwarded-uri": "/api/v1/admin/rpc" })).status).toBe(404);
    expect((await ask({ ...known, "x-forwarded-uri": "/chat" })).status).toBe(200);
    gate.set("ada.example", { ...route, requestsPerMinute: 100, openConnections: 1 });
    const refused = await ask(known);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  });
});
