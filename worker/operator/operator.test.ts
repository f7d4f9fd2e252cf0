import { desc, eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, hosts, outbox, tenants, user } from "../../schema/db/index.ts";
import { Client, OPERATOR_TOKEN, randomText } from "../testing/edge.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import type { AuditEntry, Overview } from "./types.ts";

let { edge, host, owner } = {} as Settled;
let operator: Client;
let operatorId: string;
let tenantId: string;

const HTML = { accept: "text/html" };
const TOKEN = { authorization: `Bearer ${OPERATOR_TOKEN}` };
const form = (client: Client, path: string, body: Record<string, string> = {}) =>
  client.request("POST", path, new URLSearchParams(body).toString(), {
    ...HTML,
    "content-type": "application/x-www-form-urlencoded",
  });
const page = (client: Client, path: string) => client.request("GET", path, undefined, HTML);
const api = async <T>(path: string): Promise<T> =>
  (await (await edge.send(`/api/v1/operator/${path}`, { headers: TOKEN })).json()) as T;

async function newOperator(): Promise<Client> {
  const client = await new Client(edge).signUp();
  await edge.db.update(user).set({ role: "operator" }).where(eq(user.email, client.email));
  return client;
}
const idOf = async (client: Client) =>
  (await edge.db.select({ id: user.id }).from(user).where(eq(user.email, client.email)))[0]?.id ?? "";
const say = async (state: "running" | "failed", detail?: string) => {
  const [row] = await edge.db.select().from(tenants).where(eq(tenants.id, tenantId));
  const report = { type: "tenant.state" as const, tenantId, generation: row?.generation ?? 1, state, detail };
  expect((await host.post(edge, await host.report(report))).status).toBe(200);
};

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
  operator = await newOperator();
  operatorId = await idOf(operator);
  tenantId = (await owner.create()).body.id;
});

describe("who may look", () => {
  const PAGES = ["", "/audit", "/audit/export", "/sweeps", "/hosts/hst_x"];
  const ACTIONS = ["/agents/x/retry", "/outbox/x/retry", "/hosts/x/drain", "/hosts/x/reopen"];

  it("is nobody without the role: there is nothing at these addresses", async () => {
    const nobody = new Client(edge);
    for (const client of [owner, nobody]) {
      for (const path of PAGES) expect((await page(client, `/operator${path}`)).status).toBe(404);
      for (const path of ACTIONS) expect((await form(client, `/operator${path}`)).status).toBe(404);
    }
    const known = await (await page(owner, "/operator")).text();
    const unknown = await (await page(owner, "/operatorx")).text();
    expect(known).toBe(unknown);
  });

  it("is not whoever holds an API key of an operator", async () => {
    const made = await operator.json<{ key: string }>("POST", "/api/v1/keys", {
      ...{ name: "k", scopes: ["tenants:read", "tenants:write"], expiresInDays: 1 },
    });
    const headers = { authorization: `Bearer ${made.body.key}` };
    expect((await edge.send("/api/v1/tenants", { headers })).status).toBe(200);
    expect((await edge.send("/api/v1/operator/overview", { headers })).status).toBe(401);
    expect((await edge.send("/operator", { headers: { ...headers, ...HTML } })).status).toBe(404);
  });

  it("over the API is the token and an operator's session, and nobody else", async () => {
    const status = async (client: Client) => (await client.request("GET", "/api/v1/operator/overview")).status;
    expect([await status(operator), await status(owner), await status(new Client(edge))]).toEqual([200, 404, 401]);
    expect((await edge.send("/api/v1/operator/overview", { headers: TOKEN })).status).toBe(200);
    const wrong = { authorization: `${TOKEN.authorization}x`, cookie: operator.cookie };
    expect((await edge.send("/api/v1/operator/overview", { headers: wrong })).status).toBe(401);
  });

  it("reads for a working day and acts for half an hour, and then signs in again", async () => {
    const old = await newOperator();
    edge.world.forward(31 * 60_000);
    expect((await page(old, "/operator")).status).toBe(200);
    for (const answer of [
      await form(old, `/operator/agents/${tenantId}/retry`),
      await page(old, "/operator/audit/export"),
    ]) {
      expect([answer.status, answer.headers.get("location")]).toMatchObject([
        303,
        expect.stringMatching(/^\/sign-in\?again&next=%2Foperator/),
      ]);
    }
    expect((await old.request("POST", `/api/v1/operator/agents/${tenantId}/retry`)).status).toBe(403);
    edge.world.forward(12 * 3_600_000);
    expect((await page(old, "/operator")).status).toBe(303);
    // Back to now, for those who come after.
    edge.world.forward(-31 * 60_000 - 12 * 3_600_000);
  });

  it("is told that a password alone protects little", async () => {
    expect(await (await page(operator, "/operator")).text()).toContain(
      "A password is all that stands before this page",
    );
  });
});

describe("at a glance", () => {
  it("shows a failed agent with its reason, and has it tried again, once", async () => {
    await say("failed", "The image could not be made.");
    const before = await (await page(operator, "/operator")).text();
    expect(before).toContain("1 agent failed.");
    expect(before).toContain("The image could not be made.");
    expect(before).toContain(owner.email);

    const generation = host.generations.get(tenantId) ?? 0;
    const retried = await form(operator, `/operator/agents/${tenantId}/retry`);
    expect([retried.status, retried.headers.get("location")]).toEqual([303, "/operator"]);
    expect(host.generations.get(tenantId)).toBe(generation + 1);
    expect(host.commands.at(-1)).toMatchObject({ type: "tenant.apply", generation: generation + 1 });
    const [written] = await edge.db.select().from(audit).where(eq(audit.action, "tenant.retry"));
    expect(written).toMatchObject({ actor: operatorId, subject: tenantId });

    // Told already: a second press finds nothing that failed, and restarts nobody's work.
    expect((await form(operator, `/operator/agents/${tenantId}/retry`)).status).toBe(409);
    expect(host.generations.get(tenantId)).toBe(generation + 1);
    await say("running");
    expect((await form(operator, `/operator/agents/${tenantId}/retry`)).status).toBe(409);
  });

  it("shows what a host does not take, and says it again", async () => {
    host.down = true;
    await owner.request("POST", `/api/v1/tenants/${tenantId}/restart`);
    const [waiting] = await edge.db.select().from(outbox).orderBy(desc(outbox.id)).limit(1);
    expect(waiting?.deliveredAt).toBeNull();
    expect((await form(operator, `/operator/outbox/${waiting?.hostId}/retry`, { agent: "tnt_nobody" })).status).toBe(
      409,
    );

    const seen = await api<Overview>("overview");
    expect(seen.outbox).toMatchObject({ depth: 1, stuck: [{ tenantId, host: host.name, error: "host_unreachable" }] });
    const again = () => form(operator, `/operator/outbox/${waiting?.hostId}/retry`, { agent: tenantId });
    expect((await again()).status).toBe(503);
    host.down = false;
    expect((await again()).status).toBe(303);
    expect((await api<Overview>("overview")).outbox).toMatchObject({ depth: 0, stuck: [] });
  });

  it("shows a host with its room, versions, drift and walls, and takes it out of placement", async () => {
    const attack = {
      id: "a",
      layer: 3,
      from: "inside",
      source: "CIS 1",
      tries: "reach a neighbour",
      evidence: "no answer",
    };
    await host.post(
      edge,
      await host.report(
        {
          ...{ type: "host.inventory", tenants: [], images: [], capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 } },
          ...{ versions: { docker: "29.5.1" }, drift: { firewall: 2 } },
        } as never,
        {
          ...{ type: "host.posture", tookMs: 1, gates: [{ name: "docker", have: "29.5.1", need: "29.5.1", ok: true }] },
          attacks: [
            { ...attack, outcome: "held" },
            { ...attack, id: "b", tries: "reach the metadata", outcome: "breached", evidence: "it answered 200" },
          ],
        } as never,
      ),
    );
    const { hostId } = host.enrolment;
    const glance = await (await page(operator, "/operator")).text();
    expect(glance).toContain(`${host.name} was got through by 1 attack.`);
    expect(glance).toContain(`${host.name} had its walls changed 2 times`);
    const own = await (await page(operator, `/operator/hosts/${hostId}`)).text();
    for (const text of ["29.5.1", "reach the metadata", "it answered 200"]) expect(own).toContain(text);
    expect(own).not.toContain("reach a neighbour");

    expect((await form(operator, `/operator/hosts/${hostId}/drain`)).status).toBe(303);
    expect((await owner.create()).body.code).toBe("no_capacity");
    expect((await form(operator, `/operator/hosts/${hostId}/reopen`)).status).toBe(303);
    const said = await edge.db.select().from(audit).where(eq(audit.subject, hostId));
    expect(said.filter(({ actor }) => actor === operatorId).map(({ action }) => action)).toEqual([
      ...["host.drain", "host.reopen"],
    ]);
    expect(JSON.stringify(await edge.db.select().from(hosts))).not.toContain("draining");
  });
});

it("shows each run of the reaper, also when it has found nothing", async () => {
  const swept = await edge.send("/api/v1/operator/sweeps", { method: "POST", headers: TOKEN });
  const { found } = await swept.json<{ found: number }>();
  const html = await (await page(operator, "/operator/sweeps")).text();
  expect(html).toContain(found === 0 ? "found nothing" : `found ${found}, removed 0`);
});

describe("the audit", () => {
  const entries = async (query: string) => (await api<{ entries: AuditEntry[] }>(`audit?${query}`)).entries;

  it("is found by who, what, about whom and when, by address as well as by id", async () => {
    const mine = await entries(`who=${encodeURIComponent(operator.email)}`);
    expect(mine.length).toBeGreaterThan(0);
    expect(new Set(mine.map(({ actor }) => actor))).toEqual(new Set([operatorId]));
    expect((await entries("what=tenant.create")).every(({ action }) => action === "tenant.create")).toBe(true);
    expect((await entries(`what=tenant&about=${tenantId}`)).map(({ action }) => action)).toContain("tenant.retry");
    const today = new Date(edge.world.now()).toISOString().slice(0, 10);
    expect((await entries(`since=${today}`)).length).toBeGreaterThan(0);
    expect(await entries("until=2020-01-01")).toEqual([]);
  });

  it("is read page by page, each entry once", async () => {
    const all = (await entries("limit=200")).map(({ id }) => id);
    const paged: number[] = [];
    for (let below: number | null = null; ; ) {
      const from: string = below === null ? "" : `&below=${below}`;
      const step = await api<{ entries: AuditEntry[]; next: number | null }>(`audit?limit=3${from}`);
      paged.push(...step.entries.map(({ id }) => id));
      below = step.next;
      if (below === null) break;
    }
    expect(paged).toEqual(all);
  });

  it("leaves the house whole, as CSV and as JSON, and says of itself that it did", async () => {
    const about = `x${randomText()}`;
    const rows = Array.from({ length: 1_203 }, (_, at) => ({
      at,
      actor: "system",
      action: "test.row",
      subject: about,
    }));
    for (let from = 0; from < rows.length; from += 200) {
      await edge.db.insert(audit).values(rows.slice(from, from + 200).map((row) => ({ ...row, detail: '=cmd|"x"' })));
    }
    const csv = await page(operator, `/operator/audit/export?about=${about}&format=csv`);
    expect(csv.headers.get("content-disposition")).toBe('attachment; filename="chelar-audit.csv"');
    const lines = (await csv.text()).trimEnd().split("\r\n");
    expect(lines[0]).toBe('"id","at","actor","action","subject","detail"');
    expect(lines).toHaveLength(1 + rows.length);
    expect(lines[1]).toContain(`"'=cmd|""x"""`);

    const json = await page(operator, `/operator/audit/export?about=${about}&format=json`);
    expect((await json.json<unknown[]>()).length).toBe(rows.length);
    expect(await (await page(operator, `/operator/audit/export?about=nobody&format=json`)).json()).toEqual([]);

    const said = await edge.db.select().from(audit).where(eq(audit.action, "audit.export"));
    expect(said).toHaveLength(3);
    expect(said[0]).toMatchObject({ actor: operatorId, detail: expect.stringContaining(about) });
  });

  it("shows what it holds as text, never as markup", async () => {
    const evil = "<script>alert(1)</script>";
    await edge.db.insert(audit).values({ at: 1, actor: evil, action: evil, subject: evil, detail: evil });
    const html = await (await page(operator, `/operator/audit?who=${encodeURIComponent(evil)}`)).text();
    expect(html).not.toContain(evil);
    expect(html).toContain("&lt;script&gt;");
  });
});
