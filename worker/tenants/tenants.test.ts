import { and, eq, inArray } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, hosts, outbox, rateLimit, secrets, tenantEvents, tenants, user } from "../../schema/db/index.ts";
import { importSealingKey, openSecrets } from "../../schema/protocol/index.ts";
import { Client, randomText, startTestEdge } from "../testing/edge.ts";
import { proveGone } from "../testing/leaving.ts";
import { type Settled, startSettled } from "../testing/settled.ts";

let { edge, host, owner } = {} as Settled;
let stranger: Client;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
  stranger = await new Client(edge).signUp();
});

const KEY = "sk-ant-canary0123456789abcdef";

describe("creating an agent", () => {
  it("commits tenant, audit and outbox together and delivers the signed command to its host", async () => {
    const { status, body } = await owner.create();
    expect(status).toBe(201);
    expect(body).toMatchObject({ state: "pending", generation: 1 });
    expect(host.commands.at(-1)).toMatchObject({
      type: "tenant.apply",
      generation: 1,
      desired: "running",
      restarts: 0,
      // Also of an agent without secrets: its volume has a key.
      secretsJwe: expect.any(String),
      tenant: { id: body.id, slug: body.name, hostname: `${body.name}.agents.example` },
    });
    const rows = await edge.db.select().from(outbox).where(eq(outbox.tenantId, body.id));
    expect(rows).toHaveLength(1);
    expect(rows[0]?.deliveredAt).not.toBeNull();
    const trail = await edge.db.select().from(audit).where(eq(audit.subject, body.id));
    expect(trail.map(({ action }) => action)).toEqual(["tenant.create"]);
  });

  it.each([
    ["too short", { name: "ab" }, 422, "invalid_name"],
    ["too long", { name: "a".repeat(33) }, 422, "invalid_name"],
    ["endless", { name: "a".repeat(5_000) }, 422, "invalid_name"],
    ["with capitals", { name: "Abcdef" }, 422, "invalid_name"],
    ["with a dot", { name: "abc.def" }, 422, "invalid_name"],
    ["that looks like punycode", { name: "xn--abc" }, 422, "invalid_name"],
    ["of spaces", { name: "   " }, 422, "invalid_name"],
    ["that is a number", { name: 7 }, 422, "invalid_name"],
    ["that is missing", { name: undefined }, 422, "invalid_name"],
    ["that is the platform's", { name: "admin" }, 422, "name_reserved"],
    ["fine, but the runtime is unknown", { runtime: "cobol" }, 422, "unknown_runtime"],
    ["fine, but the runtime is missing", { runtime: undefined }, 422, "unknown_runtime"],
    ["fine, but a field is unknown", { hostId: "hst_x" }, 400, "invalid_body"],
    ["fine, but a key is of no provider", { secrets: { PATH: KEY } }, 422, "invalid_secret"],
    ["fine, but a key has a line break", { secrets: { ANTHROPIC_API_KEY: `${KEY}\n` } }, 422, "invalid_secret"],
    ["fine, but a key has a NUL", { secrets: { ANTHROPIC_API_KEY: `${KEY}\0` } }, 422, "invalid_secret"],
    ["fine, but a key is empty", { secrets: { ANTHROPIC_API_KEY: "" } }, 422, "invalid_secret"],
    ["fine, but a key is another provider's", { secrets: { OPENAI_API_KEY: KEY } }, 422, "invalid_secret"],
    ["fine, but a key is huge", { secrets: { ANTHROPIC_API_KEY: KEY.repeat(400) } }, 422, "invalid_secret"],
  ])("refuses a name %s", async (_what, change, status, code) => {
    const before = await owner.json<{ tenants: unknown[] }>("GET", "/api/v1/tenants");
    const response = await owner.request("POST", "/api/v1/tenants", {
      name: `t${randomText()}`,
      runtime: "echo",
      ...change,
    });
    const text = await response.text();
    expect([response.status, JSON.parse(text).code]).toEqual([status, code]);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(text).not.toContain("canary");
    const after = await owner.json<{ tenants: unknown[] }>("GET", "/api/v1/tenants");
    expect(after.body.tenants).toHaveLength(before.body.tenants.length);
  });

  it.each([
    ["no JSON", "{", 400, "invalid_body"],
    ["no object", "[]", 400, "invalid_body"],
    ["nothing", "", 400, "invalid_body"],
    ["over 64 KiB", JSON.stringify({ name: "a".repeat(65_536) }), 413, "body_too_large"],
  ])("refuses a body that is %s", async (_what, body, status, code) => {
    const answer = await owner.json<{ code: string }>("POST", "/api/v1/tenants", body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  it("stops reading a body without a stated length at 64 KiB", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 16_384;
        controller.enqueue(new Uint8Array(16_384).fill(0x20));
        if (sent > 10 * 2 ** 20) controller.close();
      },
    });
    const response = await edge.send("/api/v1/tenants", {
      method: "POST",
      headers: { "content-type": "application/json", origin: edge.config.dashboardOrigin, cookie: owner.cookie },
      body: endless,
    });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([413, "body_too_large"]);
    expect(sent).toBeLessThan(2 ** 20);
  });

  it("refuses a body of another type", async () => {
    const response = await owner.request("POST", "/api/v1/tenants", "name=x", { "content-type": "text/plain" });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
      415,
      "unsupported_media_type",
    ]);
  });

  it("gives a name that five want at the same moment to exactly one", async () => {
    const name = `t${randomText()}`;
    const answers = await Promise.all(Array.from({ length: 5 }, () => owner.create(name)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409]);
    expect(answers.find(({ status }) => status === 409)?.body.code).toBe("name_taken");
    const rows = await edge.db.select().from(tenants).where(eq(tenants.slug, name));
    expect(rows).toHaveLength(1);
    const all = await edge.db
      .select()
      .from(outbox)
      .where(eq(outbox.tenantId, rows[0]?.id ?? ""));
    expect(all).toHaveLength(1);
  });

  it("seals a key so that only this host can open it, and keeps no plaintext", async () => {
    const { body } = await owner.create(undefined, { secrets: { ANTHROPIC_API_KEY: KEY } });
    const command = host.commands.at(-1);
    if (command?.type !== "tenant.apply" || command.secretsJwe === null) throw new Error("no sealed secrets");
    const opened = await openSecrets(command.secretsJwe, await importSealingKey(host.sealing), body.id);
    expect(opened?.env).toEqual({ ANTHROPIC_API_KEY: KEY });
    const stored = await edge.db.select().from(secrets).where(eq(secrets.tenantId, body.id));
    const trail = await edge.db.select().from(audit).where(eq(audit.subject, body.id));
    expect(JSON.stringify([stored, trail, body])).not.toContain("canary");
  });
});

describe("capacity", () => {
  it("says no_capacity and leaves nothing behind when no host has room", async () => {
    const name = `t${randomText()}`;
    await edge.db.update(hosts).set({ state: "draining" });
    try {
      const { status, body } = await owner.create(name, { secrets: { ANTHROPIC_API_KEY: KEY } });
      expect([status, body.code]).toEqual([503, "no_capacity"]);
      expect(await edge.db.select().from(tenants).where(eq(tenants.slug, name))).toHaveLength(0);
    } finally {
      await edge.db.update(hosts).set({ state: "enrolled" });
    }
  });

  it("gives the last place to exactly one of five, and no half of it to the others", async () => {
    const taken = (await edge.db.select().from(tenants)).length;
    const count = async () => (await edge.db.select().from(audit).where(eq(audit.action, "tenant.create"))).length;
    const before = await count();
    await edge.db.update(hosts).set({ maxTenants: taken + 1 });
    try {
      const answers = await Promise.all(Array.from({ length: 5 }, () => owner.create()));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 503, 503, 503, 503]);
      expect(await edge.db.select().from(tenants)).toHaveLength(taken + 1);
      expect(await count()).toBe(before + 1);
    } finally {
      await edge.db.update(hosts).set({ maxTenants: 4_000 });
    }
  });

  it("is not filled by making and deleting: as many again may be on their way out, until a host has purged them", async () => {
    const small = await startTestEdge({ fetch: host.fetch as typeof fetch, bindings: { MAX_TENANTS_PER_OWNER: "2" } });
    const person = await new Client(small).signUp();
    const made: string[] = [];
    for (let n = 0; n < 4; n += 1) {
      const { status, body } = await person.create();
      expect(status).toBe(201);
      made.push(body.id);
      await person.request("DELETE", `/api/v1/tenants/${body.id}`);
    }
    expect(await person.create()).toMatchObject({ status: 409, body: { code: "too_many_tenants" } });
    await proveGone(small, host, made[0] ?? "");
    expect((await person.create()).status).toBe(201);
  });

  it("is asked of by one person a hundred times a day", async () => {
    const limited = await startTestEdge({ fetch: host.fetch as typeof fetch, bindings: { AUTH_RATE_LIMIT: "on" } });
    const person = await new Client(limited).signUp();
    const [row] = await limited.db.select({ id: user.id }).from(user).where(eq(user.email, person.email));
    const key = `create ${row?.id}`;
    await limited.db.insert(rateLimit).values({ id: key, key, count: 99, lastRequest: limited.world.now() });
    expect((await person.create()).status).toBe(201);
    expect(await person.create()).toMatchObject({ status: 429, body: { code: "rate_limited" } });
    limited.world.forward(24 * 3_600_000);
    expect((await person.create()).status).toBe(201);
  });

  it("never gives an owner more agents than the plan allows, however many are asked for at once", async () => {
    const small = await startTestEdge({ fetch: host.fetch as typeof fetch, bindings: { MAX_TENANTS_PER_OWNER: "2" } });
    const person = await new Client(small).signUp();
    const answers = await Promise.all(Array.from({ length: 5 }, () => person.create()));
    const refused = answers.filter(({ status }) => status !== 201);
    expect(answers.length - refused.length).toBe(2);
    expect(new Set(refused.map(({ body }) => body.code))).toEqual(new Set(["too_many_tenants"]));
  });
});

describe("an agent of somebody else", () => {
  it.each([
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/start"],
    ["POST", "/stop"],
    ["POST", "/restart"],
    ["GET", "/events"],
    ["GET", "/secrets"],
  ])("answers %s %s as if there were none", async (method, path) => {
    const { body } = await owner.create();
    const theirs = await stranger.request(method, `/api/v1/tenants/${body.id}${path}`);
    const none = await stranger.request(method, `/api/v1/tenants/tnt_aaaaaaaaaaaaaaaaaaaaaaaaaa${path}`);
    expect(theirs.status).toBe(404);
    expect(await theirs.text()).toBe(await none.text());
  });

  it("keeps its secrets unwritable and its row unchanged", async () => {
    const { body } = await owner.create();
    const put = await stranger.request("PUT", `/api/v1/tenants/${body.id}/secrets/ANTHROPIC_API_KEY`, { value: KEY });
    expect(put.status).toBe(404);
    const read = await owner.json<{ generation: number }>("GET", `/api/v1/tenants/${body.id}`);
    expect(read.body.generation).toBe(1);
  });
});

describe("wishes", () => {
  const wish = (id: string, path: string, method = "POST") =>
    owner.json<{ state: string; generation: number; code: string }>(method, `/api/v1/tenants/${id}${path}`);

  it("stop, start and restart each make one generation; the same wish again makes none", async () => {
    const { id } = (await owner.create()).body;
    expect((await wish(id, "/stop")).body).toMatchObject({ state: "stopping", generation: 2 });
    expect((await wish(id, "/stop")).body.generation).toBe(2);
    expect((await wish(id, "/start")).body.generation).toBe(3);
    expect((await wish(id, "/start")).body.generation).toBe(3);
    expect((await wish(id, "/restart")).body.generation).toBe(4);
    expect(host.commands.at(-1)).toMatchObject({ generation: 4, restarts: 1, desired: "running" });
  });

  it("deletes once, purges on the host, and refuses every other wish from then on", async () => {
    const { id } = (await owner.create()).body;
    expect(await wish(id, "", "DELETE")).toMatchObject({ status: 202, body: { state: "deleting", generation: 2 } });
    expect(host.commands.at(-1)).toEqual({ type: "tenant.purge", tenantId: id, generation: 2 });
    expect(await wish(id, "", "DELETE")).toMatchObject({ status: 202, body: { generation: 2 } });
    for (const path of ["/start", "/stop", "/restart"]) {
      expect(await wish(id, path)).toMatchObject({ status: 409, body: { code: "tenant_deleting" } });
    }
    const put = await owner.json<{ code: string }>("PUT", `/api/v1/tenants/${id}/secrets/ANTHROPIC_API_KEY`, {
      value: KEY,
    });
    expect([put.status, put.body.code]).toEqual([409, "tenant_deleting"]);
  });

  it("lets four restarts at once all count, each with its own audit and outbox row", async () => {
    const { id } = (await owner.create()).body;
    const answers = await Promise.all(Array.from({ length: 4 }, () => wish(id, "/restart")));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
    const row = (await edge.db.select().from(tenants).where(eq(tenants.id, id)))[0];
    expect([row?.generation, row?.restarts]).toEqual([5, 4]);
    const trail = await edge.db.select().from(audit).where(eq(audit.subject, id));
    const queued = await edge.db.select().from(outbox).where(eq(outbox.tenantId, id));
    expect([trail.length, queued.length]).toEqual([5, 5]);
    expect(new Set(queued.map(({ generation }) => generation)).size).toBe(5);
  });

  it("a changed key raises version, generation and restarts, and is read back without its value", async () => {
    const { id } = (await owner.create(undefined, { secrets: { ANTHROPIC_API_KEY: KEY } })).body;
    const put = await owner.json<Record<string, unknown>>("PUT", `/api/v1/tenants/${id}/secrets/ANTHROPIC_API_KEY`, {
      value: `${KEY}-second`,
    });
    expect(put.body).toMatchObject({ name: "ANTHROPIC_API_KEY", version: 2, lastFour: "cond" });
    const list = await owner.request("GET", `/api/v1/tenants/${id}/secrets`);
    expect(await list.text()).not.toContain("canary");
    expect(host.commands.at(-1)).toMatchObject({ generation: 2, restarts: 1 });
  });
});

describe("the surroundings", () => {
  it("asks for a session, by a problem", async () => {
    const response = await edge.send("/api/v1/tenants");
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([401, "unauthenticated"]);
  });

  it.each(["https://evil.example", "https://x.agents.example", "null"])(
    "refuses a change that %s asks for",
    async (origin) => {
      const response = await owner.request("POST", "/api/v1/tenants", { name: "abc", runtime: "echo" }, { origin });
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([403, "csrf_refused"]);
    },
  );

  it("refuses a change with a cookie and without an origin", async () => {
    const response = await edge.send("/api/v1/tenants", {
      method: "POST",
      headers: { cookie: owner.cookie, "content-type": "application/json" },
      body: "{}",
    });
    expect(response.status).toBe(403);
  });

  it("puts the browser's safety belts on every answer", async () => {
    for (const path of ["/", "/sign-in", "/api/v1/tenants", "/nothing-here"]) {
      const { headers } = await edge.send(path);
      expect(headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'");
      expect(headers.get("content-security-policy")).not.toContain("unsafe");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("strict-transport-security")).toContain("max-age=");
    }
  });
});

describe("the story of an agent", () => {
  async function readEvents(response: Response, until: (text: string) => boolean): Promise<string> {
    const reader = (response.body as ReadableStream<Uint8Array>)
      .pipeThrough(new TextDecoderStream() as never)
      .getReader();
    let text = "";
    while (!until(text)) {
      const { value, done } = (await reader.read()) as { value?: string; done: boolean };
      if (done) break;
      text += value;
    }
    await reader.cancel();
    return text;
  }
  const progress = (tenantId: string, step: "volume" | "network" | "health") =>
    ({ type: "tenant.progress", tenantId, generation: 1, step, status: "done", tookMs: 3 }) as const;

  it("streams steps and states while they happen, and resumes after the last id that was seen", async () => {
    const { id } = (await owner.create()).body;
    await host.post(edge, await host.report(progress(id, "volume"), progress(id, "network")));
    const watch = (headers: Record<string, string> = {}) =>
      edge.sendOnly(`/api/v1/tenants/${id}/events`, { headers: { cookie: owner.cookie, ...headers } });

    const live = await watch();
    expect(live.headers.get("content-type")).toContain("text/event-stream");
    const reading = readEvents(live, (text) => text.includes('"state":"running"'));
    await host.post(
      edge,
      await host.report(progress(id, "health"), {
        type: "tenant.state",
        tenantId: id,
        generation: 1,
        state: "running",
      }),
    );
    const text = await reading;
    expect([...text.matchAll(/"step":"([^"]+)"/g)].map(([, step]) => step)).toEqual([
      "owner.create",
      "volume",
      "network",
      "health",
    ]);

    const rows = await edge.db
      .select()
      .from(tenantEvents)
      .where(and(eq(tenantEvents.tenantId, id), inArray(tenantEvents.step, ["volume"])));
    const resumed = await readEvents(await watch({ "last-event-id": String(rows[0]?.id) }), (t) =>
      t.includes("event: state"),
    );
    expect([...resumed.matchAll(/"step":"([^"]+)"/g)].map(([, step]) => step)).toEqual(["network", "health"]);
  });
});
