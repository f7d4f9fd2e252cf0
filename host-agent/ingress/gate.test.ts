import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createGate, type Gate, type GateOptions } from "./gate.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function served(
  options?: GateOptions,
): Promise<{ gate: Gate; ask: (headers: Record<string, string>, path?: string) => Promise<Response> }> {
  const gate = createGate(options);
  const server = createServer(gate.handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { gate, ask: (headers, path = "/gate") => fetch(`http://127.0.0.1:${port}${path}`, { headers }) };
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
});
