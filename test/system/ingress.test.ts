import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { HOST, type IngressLab, startIngress } from "./ingress-lab.ts";

let lab: IngressLab;
beforeAll(async () => {
  lab = await startIngress();
});
afterAll(() => lab.stop());

const owner = () => ({ status: 200, headers: { "X-Chelar-User": "usr_owner" } });
afterEach(() => {
  lab.edge.answer = owner;
  lab.commands.length = 0;
});

interface Seen {
  method: string;
  url: string;
  headers: Record<string, string>;
  rawHeaders: string[];
}
const seenBy = async (head: Parameters<IngressLab["send"]>[0]): Promise<Seen> => {
  const { status, text } = await lab.send(head);
  expect(status).toBe(200);
  return JSON.parse(text) as Seen;
};
/** All values under a name, as the runtime received them. */
const copies = ({ rawHeaders }: Seen, name: string) =>
  rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);

describe("identity", () => {
  it("reaches the runtime exactly once, from the edge alone, however a client forges it", async () => {
    const seen = await seenBy({
      lines: [
        "X-Chelar-User: usr_forged",
        "x-chelar-user: usr_again",
        "X_Chelar_User: usr_underscore",
        "X-Chelar_User: usr_mixed",
        "X-CHELAR-UPSTREAM: 127.0.0.1:1",
        "X-Chelar-Cookie: forged=1",
        "X-Chelar-Anything: 1",
        "X_Forwarded_Host: evil.example",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "Forwarded: for=10.0.0.1;host=evil.example",
        "X-Real-IP: 10.0.0.1",
        "Authorization: Bearer secret",
        "Proxy-Authorization: Basic secret",
      ],
    });
    expect(copies(seen, "x-chelar-user")).toEqual(["usr_owner"]);
    expect(copies(seen, "x-forwarded-host")).toEqual([HOST]);
    expect(copies(seen, "x-forwarded-proto")).toEqual(["http"]);
    // One hop, and no loopback, which OpenClaw refuses from a proxy.
    expect(copies(seen, "x-forwarded-for")).toEqual(["192.0.2.1"]);
    const names = Object.keys(seen.headers).sort();
    expect(names).toEqual([
      "accept-encoding",
      "host",
      "x-chelar-user",
      "x-forwarded-for",
      "x-forwarded-host",
      "x-forwarded-proto",
    ]);
  });

  it("survives a client that calls our headers hop-by-hop", async () => {
    const names = "X-Chelar-User, X-Chelar-Cookie, X-Chelar-Upstream, X-Forwarded-Host, X-Forwarded-Uri, Cookie";
    const seen = await seenBy({
      lines: [`Connection: close, ${names}`, `connection: ${names}`, "Cookie: a=1; chelar-door=t"],
    });
    expect(copies(seen, "x-chelar-user")).toEqual(["usr_owner"]);
    expect(copies(seen, "x-forwarded-host")).toEqual([HOST]);
    expect(copies(seen, "cookie")).toEqual(["a=1"]);
    expect(lab.asked.at(-1)?.headers).toMatchObject({ "x-forwarded-host": HOST, cookie: "a=1; chelar-door=t" });
  });

  it("shows the edge what was really asked, not what the client claims", async () => {
    await lab.send({
      method: "POST",
      path: "/a?b=c",
      lines: ["X-Forwarded-Uri: /x", "X-Forwarded-Method: GET", "Cookie: chelar-door=t"],
      body: "1",
    });
    const question = lab.asked.at(-1);
    expect(question?.method).toBe("GET");
    expect(question?.url).toBe("/forward-auth");
    expect(question?.headers).toMatchObject({
      "x-forwarded-method": "POST",
      "x-forwarded-uri": "/a?b=c",
      "x-forwarded-host": HOST,
      "x-forwarded-proto": "http",
      cookie: "chelar-door=t",
    });
  });

  it.each([401, 403, 404, 302])("ends the request when the edge answers %d", async (status) => {
    const headers = {
      location: "http://dashboard/authorize",
      "set-cookie": "chelar-bind=1; HttpOnly",
      "X-Chelar-User": "usr_owner",
    };
    lab.edge.answer = () => ({ status, headers });
    const answer = await lab.send({});
    expect(answer.status).toBe(status);
    expect(answer.headers.location).toBe("http://dashboard/authorize");
    expect(answer.headers["set-cookie"]).toEqual(["chelar-bind=1; HttpOnly"]);
    expect(answer.text).toBe("");
  });

  it("stays shut when the edge says yes without saying who", async () => {
    lab.edge.answer = () => ({ status: 200 });
    expect((await lab.send({ lines: ["X-Chelar-User: usr_forged"] })).status).toBe(403);
  });

  it("keeps our own paths from the runtime even when the edge lets them through", async () => {
    for (const path of ["/.chelar/commands", "/.chelar/callback?ticket=1", "/.chelar"]) {
      expect((await lab.send({ method: "POST", path })).status).toBe(404);
    }
    expect(lab.commands).toEqual([]);
  });
});

describe("cookies", () => {
  it("lets the runtime see its own and none of ours", async () => {
    const seen = await seenBy({
      lines: [
        "Cookie: a=1; chelar-door=secret; b=2",
        "Cookie: __Host-chelar=secret; CHELAR-BIND=secret; c=chelar-door=secret",
      ],
    });
    expect(copies(seen, "cookie")).toEqual(["a=1; b=2"]);
    expect(JSON.stringify(seen)).not.toContain("secret");
  });

  it("sends no Cookie header at all when only ours came", async () => {
    const seen = await seenBy({ lines: ["Cookie: chelar-door=secret"] });
    expect(copies(seen, "cookie")).toEqual([]);
  });

  it("lets a runtime set cookies for itself, but neither ours nor its neighbours'", async () => {
    const cookies = [
      "own=1; Path=/; HttpOnly",
      "wide=1; Domain=agents.localhost; Path=/",
      "chelar-door=fixed; Path=/",
      "__HOST-chelar=fixed",
    ];
    const query = new URLSearchParams(cookies.map((cookie): [string, string] => ["cookie", cookie]));
    const { headers } = await lab.send({ path: `/misbehave/set-cookie?${query}` });
    expect(headers["set-cookie"]).toEqual([
      "own=1; Path=/; HttpOnly",
      "wide=1;; Path=/",
      "refused=; Max-Age=0",
      "refused=; Max-Age=0",
    ]);
  });

  // A browser takes cookies from the answer to a WebSocket's handshake as from any other.
  it("come from no WebSocket's handshake, where Caddy changes no header", async () => {
    const runtime = createServer().listen(0, "127.0.0.1");
    await once(runtime, "listening");
    let more: string[] = [];
    runtime.on("upgrade", (_, socket) => {
      const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", ...more, "", ""];
      socket.on("error", () => {}).end(lines.join("\r\n"));
    });
    const upstream = `127.0.0.1:${(runtime.address() as AddressInfo).port}`;
    lab.gate.set("evil.agents.localhost", { tenantId: "tnt_e", upstream, requestsPerMinute: 10 });
    const handshake = async () => {
      const headers = { host: "evil.agents.localhost", connection: "Upgrade", upgrade: "websocket" };
      const outgoing = request({ host: "127.0.0.1", port: lab.port, headers, agent: false }).end();
      const [answer] = await Promise.race([once(outgoing, "upgrade"), once(outgoing, "response")]);
      outgoing.destroy();
      return [answer.statusCode, answer.headers["set-cookie"]];
    };
    try {
      expect(await handshake()).toEqual([101, undefined]);
      more = ["Set-Cookie: chelar-door=fixed; Domain=agents.localhost", "Set-Cookie: own=1"];
      expect(await handshake()).toEqual([502, undefined]);
    } finally {
      runtime.close();
    }
  });
});

describe("the gate", () => {
  it("answers for names it knows, with and without port, and for no other", async () => {
    expect((await lab.send({ host: `${HOST.toUpperCase()}:8080` })).status).toBe(200);
    expect((await lab.send({ host: "bob.agents.localhost" })).status).toBe(404);
  });

  it("slows a tenant down and leaves its neighbour alone", async () => {
    const upstream = `127.0.0.1:${lab.echoPort}`;
    lab.gate.set("slow.agents.localhost", { tenantId: "tnt_s", upstream, requestsPerMinute: 2 });
    const statuses = [];
    for (let index = 0; index < 3; index++) statuses.push((await lab.send({ host: "slow.agents.localhost" })).status);
    expect(statuses).toEqual([200, 200, 429]);
    const { headers } = await lab.send({ host: "slow.agents.localhost" });
    expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    expect((await lab.send({})).status).toBe(200);
  });

  it("says that an agent cannot be reached, and nothing of where it would be", async () => {
    lab.gate.set("gone.agents.localhost", { tenantId: "tnt_g", upstream: "127.0.0.1:1", requestsPerMinute: 10 });
    const answer = await lab.send({ host: "gone.agents.localhost" });
    expect(answer.status).toBe(502);
    expect(answer.text).toBe("The agent cannot be reached at the moment.");
    expect(JSON.stringify(answer)).not.toContain("127.0.0.1");
  });
});

describe("what passes", () => {
  it("carries a body through both questions unharmed, and none larger than the limit", async () => {
    const put = (body: Buffer) =>
      lab.send({ method: "PUT", path: "/upload", lines: [`Content-Length: ${body.length}`], body });
    const body = Buffer.alloc(3 * 1024 * 1024, "x");
    const sha256 = createHash("sha256").update(body).digest("hex");
    expect(JSON.parse((await put(body)).text)).toEqual({ bytes: body.length, sha256 });
    // Caddy 2.6 says 502 here, newer ones 413.
    expect((await put(Buffer.alloc(100_000_001))).status).toBeGreaterThanOrEqual(400);
  });

  it("streams server-sent events as they come", async () => {
    const outgoing = request({
      host: "127.0.0.1",
      port: lab.port,
      path: "/stream?count=3&everyMs=200",
      headers: { host: HOST },
    }).end();
    const [stream] = await once(outgoing, "response");
    const pieces: string[] = [];
    for await (const chunk of stream) pieces.push(chunk.toString());
    expect(pieces.length).toBe(3);
  });

  it("connects a WebSocket with the owner's identity, and echoes", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${lab.port}/socket`, {
      headers: { host: HOST, "X-Chelar-User": "usr_forged", cookie: "chelar-door=secret; a=1" },
    });
    const [first] = await once(socket, "message");
    const seen = JSON.parse(String(first)) as Seen;
    expect(copies(seen, "x-chelar-user")).toEqual(["usr_owner"]);
    expect(copies(seen, "cookie")).toEqual(["a=1"]);
    socket.send("hello");
    const [second] = await once(socket, "message");
    expect(String(second)).toBe("hello");
    socket.close();
    await once(socket, "close");
  });

  it("refuses a WebSocket that the edge refuses", async () => {
    lab.edge.answer = () => ({ status: 401 });
    const socket = new WebSocket(`ws://127.0.0.1:${lab.port}/`, { headers: { host: HOST } });
    const [error] = await once(socket, "error");
    expect(String(error)).toContain("401");
  });

  it("gives every answer the headers that keep other sites out", async () => {
    const query = new URLSearchParams({
      "clear-site-data": '"*"',
      "alt-svc": 'h3=":1"',
      "x-chelar-user": "x",
      "strict-transport-security": "max-age=1",
    });
    const { headers } = await lab.send({ path: `/misbehave/headers?${query}` });
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "content-security-policy": "frame-ancestors 'self'",
    });
    for (const name of ["clear-site-data", "alt-svc", "x-chelar-user", "strict-transport-security", "server"]) {
      expect(headers[name]).toBeUndefined();
    }
  });
});

describe("the host's own site", () => {
  const host = "127.0.0.1";
  it("carries commands to the agent and nothing else", async () => {
    expect((await lab.send({ host, method: "POST", path: "/.chelar/commands", body: "x" })).text).toBe("taken");
    for (const [method, path] of [
      ["GET", "/.chelar/commands"],
      ["GET", "/gate"],
      ["POST", "/.chelar/commands/x"],
      ["POST", "/.chelar/../gate"],
      ["GET", "/"],
    ]) {
      expect((await lab.send({ host, method, path })).status).toBe(404);
    }
    expect(lab.commands).toEqual(["POST /.chelar/commands"]);
  });

  it("brings a message to the one place that the door names, with nothing of ours and nothing that its sender adds", async () => {
    const way = { upstream: `127.0.0.1:${lab.echoPort}`, path: "/in" };
    const bounds = { tenantId: "tnt_a", upstream: `127.0.0.1:${lab.echoPort}`, requestsPerMinute: 100_000 };
    lab.gate.set(HOST, { ...bounds, channels: { telegram: way } });
    const named = { "X-Chelar-Channel": "telegram", "X-Chelar-Tenant": HOST, "X-Chelar-Path": "/in" };
    const answer = lab.edge.answer;
    lab.edge.answer = ({ url, headers }) =>
      url === "/forward-auth/message" && headers.authorization === "Bearer good"
        ? { status: 200, headers: { "X-Chelar-User": "inbox", ...named } }
        : { status: 401 };
    const own = ["X-Chelar-Path: /evil", "X-Chelar-Tenant: bob.agents.localhost", "X_Chelar_Upstream: 192.0.2.9:80"];
    const lines = [...own, "X-Forwarded-Host: evil", "Cookie: chelar-door=x", "X-Telegram-Bot-Api-Secret-Token: s"];
    const send = (authorization: string, more: { method?: string; path?: string; body?: Buffer } = {}) =>
      lab.send({
        ...{ host, method: "POST", path: "/.chelar/messages", body: "{}" },
        ...more,
        lines: [...lines, authorization, "Content-Type: application/json", "Transfer-Encoding: chunked"],
      });
    const taken = await send("Authorization: Bearer good");
    expect(taken.status).toBe(200);
    const seen = JSON.parse(taken.text) as { method: string; url: string; headers: Record<string, string> };
    expect([seen.method, seen.url]).toEqual(["POST", "/in"]);
    expect(seen.headers["x-telegram-bot-api-secret-token"]).toBe("s");
    expect(Object.keys(seen.headers).filter((name) => /chelar|authorization|cookie/.test(name))).toEqual([]);
    const question = lab.asked.at(-1);
    expect([question?.headers["x-forwarded-uri"], question?.headers["x-chelar-tenant"]]).toEqual([
      "/.chelar/messages",
      undefined,
    ]);
    expect((await send("Authorization: Bearer bad")).status).toBe(401);
    expect((await send("Authorization: Bearer good", { body: Buffer.alloc(300_000) })).status).toBe(413);
    for (const more of [{ method: "GET" }, { path: "/.chelar/messages/" }, { path: "/in" }]) {
      expect((await send("Authorization: Bearer good", more)).status).toBe(404);
    }
    lab.edge.answer = answer;
    lab.gate.set(HOST, bounds);
  });
});
