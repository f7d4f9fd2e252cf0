import { eq } from "drizzle-orm";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { mails } from "../../schema/db/index.ts";
import { movableWorld, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { createPost, type Post } from "./post.ts";
import { afterSending, type MailConfig, mailConfig, providerCall } from "./rules.ts";

const resend: MailConfig = { driver: "resend", key: "re_key-of-the-tests", from: "Chelar <hello@chelar.example>" };
const postmark: MailConfig = { ...resend, driver: "postmark" };

describe("the providers", () => {
  const mail = { to: "ada@example.com", subject: "Hello", text: "Line one\nhttps://chelar.example/verify?token=x" };

  it("Resend gets what its API takes, with a key against sending twice", () => {
    expect(providerCall(resend, mail, "mail-7")).toEqual({
      url: "https://api.resend.com/emails",
      headers: { authorization: "Bearer re_key-of-the-tests", "idempotency-key": "mail-7" },
      body: { from: resend.from, to: ["ada@example.com"], subject: "Hello", text: mail.text },
    });
  });

  it("Postmark gets what its API takes, and follows nobody's clicks", () => {
    const { url, headers, body } = providerCall(postmark as never, mail, "mail-7");
    expect([url, headers]).toEqual([
      "https://api.postmarkapp.com/email",
      { "x-postmark-server-token": "re_key-of-the-tests" },
    ]);
    expect(body).toMatchObject({ To: "ada@example.com", TextBody: mail.text, TrackLinks: "None", TrackOpens: false });
  });

  it.each([
    { driver: "smtp", key: "12345678", from: "a@b.example" },
    { driver: "resend", from: "a@b.example" },
    { driver: "resend", key: "12345678", from: "a@b.example\r\nBcc: everybody@example.com" },
    { driver: "resend", key: "12345678", from: "nobody" },
    { driver: "mailbox", key: "12345678" },
  ])("are not configured by %j", (config) => expect(mailConfig.safeParse(config).success).toBe(false));
});

it("a mail is sent again after what may pass, and given up after what will not", () => {
  expect(afterSending(200, 1)).toEqual({ kind: "sent" });
  expect(afterSending(422, 1)).toEqual({ kind: "given_up" });
  for (const status of [null, 401, 429, 500, 503]) expect(afterSending(status, 1).kind).toBe("again");
  const pauses = [1, 2, 3, 4, 5, 6, 7].map((attempts) => afterSending(503, attempts) as { inMs: number });
  expect(pauses.map(({ inMs }) => inMs / 1000)).toEqual([30, 60, 120, 240, 480, 960, 1920]);
  expect(afterSending(503, 8)).toEqual({ kind: "given_up" });
});

describe("the post", () => {
  let edge: TestEdge;
  let answer: (body: { to: [string] }) => Response | Promise<Response>;
  const sent: string[] = [];
  const world = movableWorld();
  let post: Post;
  beforeEach(async () => {
    edge ??= await startTestEdge();
    await edge.db.delete(mails);
    sent.length = 0;
    answer = () => Response.json({});
    const fetch = async (_url: RequestInfo | URL, init?: RequestInit) => {
      const body = JSON.parse(String(init?.body)) as { to: [string] };
      const response = await answer(body);
      if (response.ok) sent.push(body.to[0]);
      return response;
    };
    post = createPost({ db: edge.db, world, config: resend, fetch: fetch as typeof globalThis.fetch });
  });
  const mailTo = (to: string) => ({ to, subject: "Hello", text: `a secret link ${to}` });
  const waiting = () => edge.db.select().from(mails);

  it("loses nothing while the provider is away, and sends it once it is back", async () => {
    answer = () => Promise.reject(new Error("connection refused"));
    await post.send(mailTo("ada@example.com"));
    await post.deliver();
    await post.deliver();
    expect((await waiting()).map(({ attempts }) => attempts)).toEqual([1]);
    world.forward(31_000);
    answer = () => new Response(null, { status: 503 });
    await post.deliver();
    world.forward(61_000);
    answer = () => Response.json({});
    await post.deliver();
    expect([sent, await waiting()]).toEqual([["ada@example.com"], []]);
  });

  it("tries a provider that is away with one batch, and not with all that waits", async () => {
    for (let i = 0; i < 45; i++) await post.send(mailTo(`${i}@example.com`));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    answer = () => Promise.reject(new Error("connection refused"));
    await post.deliver();
    log.mockRestore();
    expect((await waiting()).filter(({ attempts }) => attempts > 0)).toHaveLength(20);
  });

  it("sends each mail once, however many deliver at the same time", async () => {
    const all = Array.from({ length: 45 }, (_, i) => `${i}-${randomText()}@example.com`);
    for (const to of all) await post.send(mailTo(to));
    await Promise.all([post.deliver(), post.deliver(), post.deliver()]);
    expect([...sent].sort()).toEqual([...all].sort());
    expect(await waiting()).toEqual([]);
  });

  it("sends it again when it died in between: twice is better than never, and the provider knows the key", async () => {
    await post.send(mailTo("ada@example.com"));
    const [row] = await waiting();
    await edge.db
      .update(mails)
      .set({ attempts: 1, dueAt: world.now() + 60_000 })
      .where(eq(mails.id, row?.id ?? 0));
    await post.deliver();
    expect(sent).toEqual([]);
    world.forward(61_000);
    await post.deliver();
    expect(sent).toEqual(["ada@example.com"]);
  });

  it("one that is refused for what it is holds up nobody, and the log names neither address nor text", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    answer = ({ to }) => new Response(null, { status: to[0].startsWith("bad") ? 422 : 200 });
    await post.send(mailTo("bad@example.com"));
    await post.send(mailTo("ada@example.com"));
    await post.deliver();
    const said = JSON.stringify(log.mock.calls);
    log.mockRestore();
    expect([sent, await waiting()]).toEqual([["ada@example.com"], []]);
    expect(said).toContain("mail_given_up");
    expect(said).not.toMatch(/example\.com|secret link/);
  });

  it("leaves with the answer of the request that wrote it, and only then", async () => {
    const later: Promise<unknown>[] = [];
    post.deliverSoon((work) => void later.push(work));
    expect(later).toHaveLength(0);
    await post.send(mailTo("ada@example.com"));
    expect(sent).toEqual([]);
    post.deliverSoon((work) => void later.push(work));
    await Promise.all(later);
    expect(sent).toEqual(["ada@example.com"]);
  });
});

describe("the mailbox of a developer's machine", () => {
  const local = {
    DASHBOARD_ORIGIN: "http://localhost:8787",
    TENANT_ORIGIN: "http://*.agents.localhost:8080",
    MAIL: JSON.stringify({ driver: "mailbox" }),
  };
  const read = (edge: TestEdge, host: string, accept = "application/json") =>
    edge.send("/dev/mailbox?to=ada@example.com", { headers: { host, accept } });

  it("shows what was written, as links that can be followed and text that is never markup", async () => {
    const edge = await startTestEdge({ bindings: local });
    const evil = "<script>alert(1)</script>";
    const post = createPost({ db: edge.db, world: edge.world, config: { driver: "mailbox" }, fetch: globalThis.fetch });
    await post.send({ to: "ada@example.com", subject: evil, text: `${evil} http://localhost:8787/verify?token=x` });
    expect(await (await read(edge, "localhost:8787")).json()).toMatchObject({ letters: [{ to: "ada@example.com" }] });
    const html = await (await read(edge, "localhost:8787", "text/html")).text();
    expect(html).not.toContain("<script>alert");
    expect(html).toContain(`<a href="http://localhost:8787/verify?token=x">`);
  });

  it("is not there under another name that leads to this machine", async () => {
    const edge = await startTestEdge({ bindings: local });
    expect((await read(edge, "rebound.evil.example")).status).toBe(404);
  });

  it("is not there where mail really leaves, and cannot be configured for another site than localhost", async () => {
    const edge = await startTestEdge();
    expect((await read(edge, "chelar.example")).status).toBe(404);
    await expect(startTestEdge({ bindings: { MAIL: local.MAIL } })).rejects.toThrow(/MAIL is not accepted/);
  });
});
