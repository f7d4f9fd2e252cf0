import { decodeJwt, SignJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { importSigningKey, keyId } from "../../schema/protocol/index.ts";
import { type Lab, OWNER_ID, startLab } from "../channels/testing.ts";
import { TestHost } from "../testing/host.ts";

const TOKEN = "246813579:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
let lab: Lab;
/** What the inbox showed the door for a real message. */
let token: string;
let name: string;
beforeAll(async () => {
  let shown = "";
  lab = await startLab({ token: TOKEN, onHandOver: (request) => (shown = request.headers.get("authorization") ?? "") });
  await lab.connect();
  lab.telegram.write(TOKEN, { id: OWNER_ID }, "hello");
  await lab.telegram.push(TOKEN);
  token = shown;
  name = (await lab.owner.json<{ name: string }>("GET", `/api/v1/tenants/${lab.tenantId}`)).body.name;
});

const ask = (more: Record<string, string> = {}, path = "/forward-auth/message") =>
  lab.edge.send(path, {
    headers: {
      "x-chelar-host": lab.host.ingressKey,
      "x-chelar-client": "198.51.100.7",
      "x-forwarded-method": "POST",
      "x-forwarded-uri": "/.chelar/messages",
      "x-forwarded-host": `${name}.agents.example`,
      authorization: token,
      ...more,
    },
  });

describe("the token of a message", () => {
  it("names one agent, one channel and one place, and no person", async () => {
    const answer = await ask();
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-chelar-tenant")).toBe(`${name}.agents.example`);
    expect(answer.headers.get("x-chelar-path")).toBe("/telegram-webhook");
    expect(answer.headers.get("x-chelar-user")).toBe("inbox");
  });

  it("opens nothing for a visitor, and nothing of the API", async () => {
    for (const uri of ["/", "/telegram-webhook", "/.chelar/messages"]) {
      const answer = await ask({ "x-forwarded-uri": uri }, "/forward-auth");
      expect([answer.status, answer.headers.get("x-chelar-user")], uri).not.toContain(200);
      expect(answer.headers.get("x-chelar-channel")).toBeNull();
    }
    for (const path of ["/api/v1/tenants", `/api/v1/tenants/${lab.tenantId}/channels`, "/api/v1/me"]) {
      expect((await lab.edge.send(path, { headers: { authorization: token } })).status, path).toBe(401);
    }
  });

  it("is refused from another host, at another path, by another method, and without one", async () => {
    const other = await TestHost.make();
    await other.enrol(lab.edge);
    // Until the door looks again, a host that is new is nobody.
    lab.edge.world.forward(16_000);
    for (const [headers, status] of [
      [{ "x-chelar-host": other.ingressKey }, 401],
      [{ "x-chelar-host": `${lab.host.enrolment.hostId}.${"x".repeat(43)}` }, 403],
      [{ "x-chelar-host": "" }, 403],
      [{ "x-forwarded-uri": "/.chelar/messages/" }, 401],
      [{ "x-forwarded-uri": "/.chelar/messages?x=1" }, 401],
      [{ "x-forwarded-method": "GET" }, 401],
      [{ authorization: "" }, 401],
      [{ authorization: `${token.slice(0, -4)}AAAA` }, 401],
    ] as const) {
      const answer = await ask(headers);
      expect([answer.status, answer.headers.get("x-chelar-path")], JSON.stringify(headers)).toEqual([status, null]);
    }
  });

  it("is not what a person's API token is, though both are signed", async () => {
    const key = (
      await lab.owner.json<{ key: string }>("POST", "/api/v1/keys", {
        name: "ci",
        scopes: ["agents:open"],
        expiresInDays: 1,
      })
    ).body.key;
    const made = await lab.edge.send("/api/v1/token", { method: "POST", headers: { authorization: `Bearer ${key}` } });
    const { token: jwt = "" } = (await made.json()) as { token?: string };
    expect(jwt).toMatch(/^ey/);
    for (const shown of [key, jwt]) expect((await ask({ authorization: `Bearer ${shown}` })).status).toBe(401);
  });

  it("counts by its type, though another of ours with the same key says the same", async () => {
    const { ticketKey } = lab.edge.config;
    const claims = decodeJwt(token.slice("Bearer ".length));
    const signed = async (typ: string) => {
      const header = { alg: "EdDSA", typ, kid: await keyId(ticketKey) };
      return new SignJWT(claims).setProtectedHeader(header).sign(await importSigningKey(ticketKey));
    };
    for (const [typ, status] of [
      ["chelar-message+jwt", 200],
      ["chelar-door+jwt", 401],
      ["JWT", 401],
    ] as const) {
      expect((await ask({ authorization: `Bearer ${await signed(typ)}` })).status, typ).toBe(status);
    }
  });

  it("is over after a minute", async () => {
    lab.edge.world.forward(61_000);
    expect((await ask()).status).toBe(401);
  });
});
