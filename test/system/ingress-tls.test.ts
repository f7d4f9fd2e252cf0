import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { request } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { HOST, type IngressLab, startIngress } from "./ingress-lab.ts";

/** The same ingress speaking TLS: certificates on demand, HTTP/2. Only the authority is Caddy's own. */
let lab: IngressLab;
let session: ClientHttp2Session;
beforeAll(async () => {
  lab = await startIngress({ tls: true });
});
// A connection for each test: what breaks a rule of HTTP/2 ends it.
beforeEach(async () => {
  session = connectHttp2(`https://${HOST}:${lab.port}`, {
    ...{ rejectUnauthorized: false, servername: HOST },
    lookup: (_, __, found) => found(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  await once(session, "connect");
});
afterAll(() => lab?.stop());
afterEach(() => {
  session.destroy();
  lab.edge.answer = () => ({ status: 200, headers: { "X-Chelar-User": "usr_owner" } });
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

async function ask(headers: Record<string, string | string[]>, body?: string): Promise<Answer> {
  const stream = session.request({ ":path": "/", ":authority": HOST, ...headers }, { endStream: body === undefined });
  stream.setEncoding("utf8");
  let text = "";
  stream.on("data", (chunk: string) => {
    text += chunk;
  });
  if (body !== undefined) stream.end(body);
  const [answer] = await once(stream, "response");
  if (!stream.readableEnded) await once(stream, "end");
  return { status: answer[":status"], headers: answer, text };
}

/** A TLS handshake for that name: the certificate's names, or why there is none. */
function handshake(servername: string): Promise<string> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port: lab.port, servername, rejectUnauthorized: false };
    const socket: TLSSocket = connectTls(options, () => {
      resolve(socket.getPeerCertificate().subjectaltname ?? "");
      socket.destroy();
    });
    socket.once("error", (error) => resolve(error.message));
  });
}

describe("a certificate", () => {
  it("is made for the name of an agent that lives here", async () => {
    expect(await handshake(HOST)).toBe(`DNS:${HOST}`);
  });

  it.each(["nobody.agents.localhost", `x.${HOST}`, "evil.example", "localhost"])("is not made for %s", async (name) => {
    expect(await handshake(name)).toMatch(/alert|internal error/i);
  });

  it("is made once an agent lives there, without a reload", async () => {
    const name = "later.agents.localhost";
    expect(await handshake(name)).toMatch(/alert/i);
    lab.gate.set(name, { tenantId: "tnt_l", upstream: `127.0.0.1:${lab.echoPort}`, requestsPerMinute: 10 });
    expect(await handshake(name)).toBe(`DNS:${name}`);
  });
});

describe("over HTTP/2", () => {
  const secret = "do-not-tell";

  it("no credential of ours reaches a container, in crumbs or otherwise, and no identity but the edge's", async () => {
    const { status, text } = await ask({
      cookie: ["a=1", `chelar-door=${secret}`, `__Host-chelar=${secret}; b=2`, `c="x, __host-chelar-bind=${secret}"`],
      authorization: `Bearer ${secret}`,
      "proxy-authorization": `Basic ${secret}`,
      "x-chelar-user": ["usr_forged", "usr_again"],
      x_chelar_user: "usr_underscore",
      "x-chelar_user": "usr_mixed",
      "x-chelar-upstream": "127.0.0.1:1",
      "x-chelar-cookie": `chelar-door=${secret}`,
      "x-chelar-stream": "f".repeat(43),
      "x-forwarded-host": "evil.example",
      "x-forwarded-for": "10.0.0.1",
      forwarded: "for=10.0.0.1",
      te: "trailers",
    });
    expect(status).toBe(200);
    expect(text).not.toMatch(new RegExp(`${secret}|forged|again|underscore|mixed|evil|10\\.0\\.0\\.1`));
    const { headers } = JSON.parse(text) as { headers: Record<string, string> };
    expect(headers).toMatchObject({
      cookie: "a=1; b=2",
      "x-chelar-user": "usr_owner",
      "x-forwarded-host": HOST,
      "x-forwarded-proto": "https",
    });
  });

  it("the edge hears the whole cookie and who really asks", async () => {
    await ask({ cookie: ["a=1", `chelar-door=${secret}`], "x-chelar-client": "203.0.113.1" });
    expect(lab.asked.at(-1)?.headers).toMatchObject({
      cookie: `a=1; chelar-door=${secret}`,
      "x-chelar-client": "127.0.0.1",
      "x-forwarded-proto": "https",
    });
  });

  it("a body with trailers brings no identity", async () => {
    const { status, text } = await ask({ ":method": "POST", trailer: "x-chelar-user", te: "trailers" }, "body");
    expect([status, (JSON.parse(text) as { headers: Record<string, string> }).headers["x-chelar-user"]]).toEqual([
      200,
      "usr_owner",
    ]);
  });

  it("another agent's name inside the connection is judged as itself", async () => {
    lab.edge.answer = ({ headers }) =>
      headers["x-forwarded-host"] === HOST ? { status: 200, headers: { "X-Chelar-User": "u" } } : { status: 403 };
    expect((await ask({ ":authority": "bob.agents.localhost" })).status).toBe(403);
    expect((await ask({ host: "bob.agents.localhost", ":authority": HOST })).status).not.toBe(403);
  });

  it("a WebSocket by CONNECT (RFC 8441), past the relay, is refused", async () => {
    expect(session.remoteSettings.enableConnectProtocol).toBeFalsy();
    const stream = session.request({ ":method": "CONNECT", ":authority": HOST });
    const refused = await Promise.race([
      once(stream, "response").then(([answer]) => answer[":status"]),
      once(stream, "error").then(() => 0),
    ]);
    expect([0, 405]).toContain(refused);
  });

  it("a header list beyond the limit is refused before anybody is asked", async () => {
    const before = lab.asked.length;
    const answered = await ask({ cookie: `chelar-door=${"x".repeat(100_000)}` }).then(
      ({ status }) => status,
      () => 431,
    );
    expect([answered, lab.asked.length]).toEqual([431, before]);
  });
});

describe("every answer", () => {
  it("keeps the browser on TLS, also a refusal", async () => {
    for (const status of [200, 403]) {
      lab.edge.answer = () => ({ status, headers: { "X-Chelar-User": "usr_owner" } });
      const { headers } = await ask({});
      expect(headers).toMatchObject({
        [constants.HTTP2_HEADER_STATUS]: status,
        "strict-transport-security": "max-age=31536000",
        "x-content-type-options": "nosniff",
        "content-security-policy": "frame-ancestors 'self'",
      });
      expect(headers["alt-svc"]).toBeUndefined();
    }
  });

  it("sets no cookie of ours and none for all agents", async () => {
    const query = new URLSearchParams([
      ["cookie", "own=1; Secure"],
      ["cookie", "__Host-chelar=fixed; Secure; Path=/"],
      ["cookie", "wide=1; Domain=agents.localhost"],
    ]);
    const { headers } = await ask({ ":path": `/misbehave/set-cookie?${query}` });
    expect(headers["set-cookie"]).toEqual(["own=1; Secure", "refused=; Max-Age=0", "wide=1;"]);
  });
});

it("a WebSocket over TLS carries the owner's identity and none of our cookies", async () => {
  const socket = new WebSocket(`wss://127.0.0.1:${lab.port}/socket`, {
    rejectUnauthorized: false,
    ...{ servername: HOST },
    headers: { host: HOST, cookie: "__Host-chelar=do-not-tell; a=1", X_Chelar_User: "usr_forged" },
  });
  const [first] = await once(socket, "message");
  expect(String(first)).toContain("usr_owner");
  expect(String(first)).not.toMatch(/do-not-tell|usr_forged/);
  socket.terminate();
});

it("the host's own site takes commands over TLS, and the question about certificates from nobody outside", async () => {
  const get = (path: string) =>
    new Promise<number>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: lab.port, path, rejectUnauthorized: false };
      request(options, (answer) => resolve(answer.resume().statusCode ?? 0))
        .once("error", reject)
        .end();
    });
  expect([await get("/tls-ask?domain=ada.agents.localhost"), await get("/gate")]).toEqual([404, 404]);
});
