import { and, eq, isNull } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { alerts, hosts, outbox } from "../../schema/db/index.ts";
import { generateSigningKey, keyId, newId } from "../../schema/protocol/index.ts";
import { Client, OPERATOR_TOKEN, startTestEdge, type TestEdge, testBindings } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

let host: TestHost;
let edge: TestEdge;
let owner: Client;
const fetcher = (...args: Parameters<typeof fetch>) => host.fetch(...args);

beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({ fetch: fetcher as typeof fetch });
  await host.enrol(edge);
  owner = await new Client(edge).signUp();
});

const inventory = {
  type: "host.inventory" as const,
  ...{ tenants: [], images: [], versions: {}, capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 } },
};
const codeOf = async (response: Response) => ((await response.json()) as { code: string }).code;
const hostRow = async () =>
  (await edge.db.select().from(hosts).where(eq(hosts.id, host.enrolment.hostId)))[0] as typeof hosts.$inferSelect;
const openAlerts = async () =>
  (await edge.db.select().from(alerts)).filter(({ resolvedAt }) => resolvedAt === null).map(({ kind }) => kind);
/** The same edge, deployed with other bindings. */
const deploy = async (bindings: Record<string, string>) =>
  startTestEdge({ fetch: fetcher as typeof fetch, bindings: { ...(await testBindings()), ...bindings } });

describe("an enrolment", () => {
  const refusal = async (compact: string) => {
    const response = await (await TestHost.make()).postEnrolment(edge, compact);
    return [response.status, await codeOf(response)];
  };

  it("is refused when it is not signed with the key that it brings", async () => {
    const thief = await TestHost.make();
    const compact = await thief.signEnrolment(edge, {}, {}, await generateSigningKey());
    expect(await refusal(compact)).toEqual([403, "enrolment_refused"]);
  });

  it("is refused when it was signed for another edge", async () => {
    const compact = await (await TestHost.make()).signEnrolment(edge, {}, { aud: "https://edge.evil" });
    expect(await refusal(compact)).toEqual([403, "enrolment_refused"]);
  });

  it("is refused when whoever relays it calls this edge by his own name", async () => {
    const lured = await TestHost.make();
    const body = await lured.signEnrolment(edge, {}, { aud: "https://edge.evil" });
    const headers = { "content-type": "application/jose" };
    const response = await edge.send("https://edge.evil/api/hosts/enrol", { method: "POST", headers, body });
    expect([response.status, await codeOf(response)]).toEqual([403, "enrolment_refused"]);
  });

  it("is refused when it comes again, with its token and without a good one", async () => {
    const fresh = await TestHost.make();
    const compact = await fresh.signEnrolment(edge, {});
    expect((await fresh.postEnrolment(edge, compact)).status).toBe(201);
    expect(await refusal(compact)).toEqual([403, "enrolment_refused"]);
    await edge.db.update(hosts).set({ state: "removed" }).where(eq(hosts.id, fresh.enrolment.hostId));
  });

  it("is refused when it is old, and says what time it is here", async () => {
    const late = await TestHost.make();
    const now = Math.floor(edge.world.now() / 1000);
    const compact = await late.signEnrolment(edge, {}, { iat: now - 600, nbf: now - 600, exp: now - 540 });
    const response = await late.postEnrolment(edge, compact);
    expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("clock is wrong")]);
  });

  it("is refused as plain JSON", async () => {
    const response = await edge.send("/api/hosts/enrol", { method: "POST", body: "{}" });
    expect([response.status, await codeOf(response)]).toEqual([415, "unsupported_media_type"]);
  });
});

describe("the edge's command key", () => {
  it("reaches a host signed with the old one, signs for it from its answer on, and the old one ends", async () => {
    const bindings = await testBindings();
    const now = JSON.parse(bindings.COMMAND_KEYS as string);
    const key = await generateSigningKey();
    const kid = await keyId(key);
    const next = { version: now.version + 1, current: kid, keys: [{ kid, ...key }] };
    const knows = () => host.enrolment.keyset.keys.map((it) => it.kid);

    const both = await deploy({ COMMAND_KEYS_NEXT: JSON.stringify(next) });
    host.down = true;
    await both.tick();
    expect(knows()).toEqual([now.current]);
    host.down = false;
    both.world.forward(20_000);
    await both.tick();
    expect(knows()).toEqual([now.current, kid]);

    const only = await deploy({ COMMAND_KEYS: JSON.stringify({ ...next, version: now.version + 2 }) });
    await only.tick();
    expect(knows()).toEqual([kid]);
    expect(JSON.parse((await hostRow()).keyset as string)).toEqual({ version: now.version + 2, kids: [kid] });
    // Of three deployments each told once, and the clock ticking on tells nothing.
    const told = host.commands.filter(({ type }) => type === "host.apply").length;
    await only.tick();
    expect(host.commands.filter(({ type }) => type === "host.apply")).toHaveLength(told);

    // An edge with older keys that is still at work, or was restored, says nothing to a host that knows newer ones.
    await edge.tick();
    expect(knows()).toEqual([kid]);
    expect(await openAlerts()).toContain("keyset_behind");
    const waiting = and(eq(outbox.hostId, host.enrolment.hostId), isNull(outbox.tenantId), isNull(outbox.deliveredAt));
    expect(await edge.db.select().from(outbox).where(waiting)).toEqual([]);
    edge = only;
    owner = await new Client(edge).signUp();
  });

  it("is told again to a host whose own word shows that it has lost it", async () => {
    const { keyset } = host.enrolment;
    const report = await host.report(inventory);
    expect(await host.ackOf(await host.post(edge, report), report)).not.toBeNull();
    await edge.db
      .update(hosts)
      .set({ keyset: JSON.stringify({ version: 1, kids: ["lost"] }) })
      .where(eq(hosts.id, host.enrolment.hostId));
    const before = host.commands.length;
    await edge.tick();
    expect(host.commands.slice(before)).toEqual([expect.objectContaining({ type: "host.apply", keyset })]);
  });

  it("is in no answer to the operator, and no answer is for anybody else", async () => {
    const authorization = `Bearer ${OPERATOR_TOKEN}`;
    const response = await edge.send("/api/v1/operator/keys", { headers: { authorization } });
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ current: edge.config.commandKeys.current, next: null });
    for (const { d } of edge.config.commandKeys.keys) expect(text).not.toContain(d);
    for (const path of ["keys", "alerts"]) {
      expect((await edge.send(`/api/v1/operator/${path}`)).status).toBe(401);
    }
  });
});

describe("a host that speaks", () => {
  it("is acknowledged with a signature over exactly what it has said", async () => {
    const [one, other] = [await host.report(inventory), await host.report(inventory)];
    const response = await host.post(edge, one);
    const again = await host.post(edge, one);
    expect(await host.ackOf(response, one)).toBeGreaterThan(0);
    expect(await host.ackOf(again, other)).toBeNull();
  });

  it("may ask after its journal with nothing to say, and hears what the edge has seen", async () => {
    const asked = await host.sign([]);
    expect(await host.ackOf(await host.post(edge, asked), asked)).toBe((await hostRow()).reportSeq);
  });

  it("whose words overtake each other on the way is heard without an alarm, and nothing old becomes new", async () => {
    const was = { lastSeq: (await hostRow()).reportSeq, keyset: { version: 1, kids: ["before"] } };
    const [asked, early] = [await host.sign([], was), await host.report(inventory)];
    host.now = () => Date.now() + 5_000;
    const late = await host.report(inventory);
    expect(await host.ackOf(await host.post(edge, late), late)).toBe((await hostRow()).reportSeq);
    const before = await hostRow();
    for (const compact of [early, asked]) {
      expect(await host.ackOf(await host.post(edge, compact), compact)).toBe(before.reportSeq);
    }
    expect(await hostRow()).toEqual(before);
    expect(await openAlerts()).not.toContain("host_rolled_back");
  });

  it("with an old copy of its journal is reported to the operator, told nothing, and gets no agent", async () => {
    const { reportSeq, reportSignedAt } = await hostRow();
    host.now = () => (reportSignedAt + 1) * 1_000;
    const old = await host.sign([], { lastSeq: reportSeq - 1 });
    const before = host.commands.length;
    expect(await host.ackOf(await host.post(edge, old), old)).toBe(reportSeq);
    expect(await openAlerts()).toContain("host_rolled_back");
    expect(host.commands).toHaveLength(before);
    expect((await owner.create()).body.code).toBe("no_capacity");
    await host.enrol(edge);
    expect(await openAlerts()).not.toContain("host_rolled_back");
    expect((await owner.create()).status).toBe(201);
  });

  it("does not make a failing command run again with every word; one that was away hears all at once", async () => {
    host.answer = () => ({ status: "refused", reason: "journal_unavailable" });
    const { id } = (await owner.create()).body;
    const attempts = async () => (await edge.db.select().from(outbox).where(eq(outbox.tenantId, id)))[0]?.attempts ?? 0;
    await edge.db
      .update(outbox)
      .set({ nextAttemptAt: edge.world.now() + 60_000 })
      .where(eq(outbox.tenantId, id));
    const before = await attempts();
    for (let n = 0; n < 5; n += 1) await host.post(edge, await host.report(inventory));
    expect(await attempts()).toBe(before);
    host.answer = null;
    await edge.db.update(hosts).set({ lastReportAt: edge.world.now() - 91_000 });
    await host.post(edge, await host.report(inventory));
    expect(host.generations.get(id)).toBe(1);
  });

  it("is believed about its keys only under its own signature", async () => {
    const honest = host.signing;
    const before = (await hostRow()).keyset;
    (host as { signing: typeof honest }).signing = await generateSigningKey();
    const forged = await host.sign([], { keyset: { version: 1, kids: [newId("tok")] } });
    (host as { signing: typeof honest }).signing = honest;
    expect((await host.post(edge, forged)).status).toBe(403);
    expect((await hostRow()).keyset).toBe(before);
  });
});
