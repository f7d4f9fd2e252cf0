import { and, eq, isNull } from "drizzle-orm";
import { decodeJwt } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { alerts, deletionReceipts, hosts, outbox, slugLocks, tenants } from "../../schema/db/index.ts";
import { Client, OPERATOR_TOKEN, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { deletionOf, idOf, leftOf, leftOfAgent, proveGone } from "../testing/leaving.ts";

const HOUR_MS = 3_600_000;

let edge: TestEdge;
/** Never comes back; and one that goes on. */
let lost: TestHost;
let other: TestHost;
beforeEach(async () => {
  const all = [await TestHost.make(), await TestHost.make()];
  edge = await startTestEdge({
    fetch: (input, init) => {
      const host = all.find(({ endpoint }) => String(input).startsWith(endpoint));
      return host ? host.fetch(input, init) : Promise.reject(new TypeError("no such host"));
    },
  });
  [lost, other] = all as [TestHost, TestHost];
  for (const host of all) host.now = edge.world.now;
  // Hosts of the tests before have spoken later than it is now.
  await edge.db.update(hosts).set({ state: "removed" });
  await edge.db.update(alerts).set({ resolvedAt: 1 });
});

/** In a region of its own, since the database is the whole file's. */
async function agentOn(host: TestHost, owner: Client): Promise<{ id: string; name: string }> {
  const region = randomText().replace(/[^a-z]/g, "x");
  if (!host.enrolment) expect((await host.enrol(edge, { region })).ok).toBe(true);
  const [row] = await edge.db.select().from(hosts).where(eq(hosts.id, host.enrolment.hostId));
  const { status, body } = await owner.create(undefined, { region: row?.region });
  expect(status).toBe(201);
  return body;
}
const speak = async (host: TestHost) => host.post(edge, await host.report());
const abandon = async () => {
  const path = `/api/v1/operator/hosts/${lost.enrolment.hostId}/abandon`;
  return edge.send(path, { method: "POST", headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
};
const waits = () =>
  edge.db
    .select()
    .from(alerts)
    .where(and(eq(alerts.kind, "deletion_waits"), isNull(alerts.resolvedAt)));
const receiptOf = async (id: string) =>
  (await edge.db.select().from(deletionReceipts).where(eq(deletionReceipts.tenantId, id)))[0]?.receipt ?? null;
const wordsOf = async (id: string) =>
  decodeJwt<{ host: string | null; remains: { what: string }[] }>((await receiptOf(id)) ?? "");

describe("a deletion whose host never comes back", () => {
  it("is told to the operator after an hour, and no longer when it has ended", async () => {
    const owner = await new Client(edge).signUp();
    const { id } = await agentOn(lost, owner);
    lost.down = true;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await edge.tick();
    expect(await waits()).toEqual([]);
    edge.world.forward(HOUR_MS + 1_000);
    await edge.tick();
    expect(await waits()).toMatchObject([{ subject: lost.enrolment.hostId }]);
    expect((await waits())[0]?.detail).toContain(`host remove ${lost.name} --lost`);
    lost.down = false;
    await proveGone(edge, lost, id);
    await edge.tick();
    expect(await waits()).toEqual([]);
  });

  it("ends by the operator's word alone, with a receipt that says what is not proven", async () => {
    const owner = await new Client(edge).signUp();
    const { id, name } = await agentOn(lost, owner);
    lost.down = true;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    edge.world.forward(200 * 24 * HOUR_MS);
    await edge.tick();
    expect(await receiptOf(id)).toBeNull();
    expect((await abandon()).status).toBe(200);
    await edge.tick();
    const words = await wordsOf(id);
    expect(words.host).toBeNull();
    expect(words.remains[0]?.what).toContain(`on ${lost.name}, which is lost: not proven`);
    expect(await edge.db.select().from(outbox).where(eq(outbox.tenantId, id))).toEqual([]);
    expect(await edge.db.select().from(slugLocks).where(eq(slugLocks.slug, name))).toHaveLength(1);
    edge.world.forward(11 * 60_000);
    await edge.tick();
    expect(await leftOfAgent(edge.db, id)).toEqual([]);
    expect(await waits()).toEqual([]);
    // It came back after all: nobody listens, and what it says of the deletion changes no receipt.
    const before = await receiptOf(id);
    lost.down = false;
    expect((await lost.post(edge, await lost.report())).status).toBe(403);
    expect(await receiptOf(id)).toBe(before);
  });

  it("lets an account go, whose receipt counts what is not proven", async () => {
    const owner = await new Client(edge).signUp();
    const userId = await idOf(owner);
    const gone = await agentOn(other, owner);
    const held = await agentOn(lost, owner);
    lost.down = true;
    await owner.request("DELETE", "/api/v1/account", { password: owner.password });
    await proveGone(edge, other, gone.id);
    edge.world.forward(HOUR_MS);
    await edge.tick();
    expect((await deletionOf(edge.db, userId))?.doneAt).toBeNull();
    expect((await abandon()).status).toBe(200);
    await edge.tick();
    // Its last letter goes out.
    await edge.tick();
    const { receipt } = (await deletionOf(edge.db, userId)) ?? {};
    const words = decodeJwt<{ steps: { step: string; checked: string }[]; remains: { what: string }[] }>(receipt ?? "");
    expect(words.steps.find(({ step }) => step === "agents")?.checked).toContain("not proven to be gone is what lost");
    expect(words.steps.find(({ step }) => step === "agents")?.checked).toContain("1 of 2");
    expect(words.remains[0]?.what).toContain("lost servers");
    expect((await wordsOf(held.id)).host).toBeNull();
    expect((await wordsOf(gone.id)).host).not.toBeNull();
    expect(await leftOf(edge.db, { id: userId, email: owner.email })).toEqual([]);
  });

  it("is not given up by mistake: a host that speaks is refused, and an agent that is wanted stays", async () => {
    const owner = await new Client(edge).signUp();
    const { id } = await agentOn(lost, owner);
    await speak(lost);
    expect(await (await abandon()).json()).toMatchObject({ code: "host_not_empty" });
    edge.world.forward(HOUR_MS);
    expect((await abandon()).status).toBe(200);
    await edge.tick();
    const [row] = await edge.db.select().from(tenants).where(eq(tenants.id, id));
    expect(row).toMatchObject({ desired: "running", purgedAt: null });
    expect(await receiptOf(id)).toBeNull();
    // Deleted afterwards, it ends as well.
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await edge.tick();
    expect((await wordsOf(id)).host).toBeNull();
  });
});
