import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, deletionReceipts, secrets, tenantDataWishes, tenants } from "../../schema/db/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { lastWords, linesOf, proveGone } from "../testing/leaving.ts";

const WINDOW_MS = 3_600_000;

let edge: TestEdge;
let owner: Client;
let hosts: TestHost[];
beforeAll(async () => {
  hosts = [await TestHost.make(), await TestHost.make()];
  edge = await startTestEdge({
    bindings: { UNDO_DELETION_HOURS: "1" },
    fetch: (input, init) => {
      const host = hosts.find(({ endpoint }) => String(input).startsWith(endpoint));
      return host ? host.fetch(input, init) : Promise.reject(new TypeError("no such host"));
    },
  });
  for (const host of hosts) {
    host.now = edge.world.now;
    expect((await host.enrol(edge)).ok).toBe(true);
  }
  owner = await new Client(edge).signUp();
});

const rowOf = async (id: string) => {
  const [row] = await edge.db.select().from(tenants).where(eq(tenants.id, id));
  if (!row) throw new Error(`no ${id}`);
  return row;
};
const wishesOf = async (id: string) =>
  (await edge.db.select().from(tenantDataWishes).where(eq(tenantDataWishes.tenantId, id)))[0];
const hostOf = (row: { hostId: string }) => hosts.find((it) => it.enrolment.hostId === row.hostId) as TestHost;
const act = async (id: string, what: string, body?: object) =>
  (await owner.request("POST", `/api/v1/tenants/${id}/${what}`, body)).status;
const destroy = async (id: string) => (await owner.request("DELETE", `/api/v1/tenants/${id}`)).status;

/** Alive, on a host, with a copy that it could be restored and moved from, to another host that is heard of. */
async function agent(): Promise<string> {
  for (const host of hosts) await host.post(edge, await host.report());
  const { id } = (await owner.create()).body;
  const host = hostOf(await rowOf(id));
  const backup = { snapshot: "20261122T104501Z", at: 1, bytes: 1, number: 0, verifiedAt: 1 };
  const storage = { type: "tenant.storage", tenantId: id, usedBytes: 1, limitBytes: 100, strays: 0 } as const;
  await host.post(edge, await host.report({ ...storage, snapshots: [], backup }));
  return id;
}

describe("a deletion and what is asked for at the same time", () => {
  it.each([
    ["another deletion", (id: string) => destroy(id)],
    ["a move", (id: string) => act(id, "move")],
    ["a restore", (id: string) => act(id, "restore", { from: "backup" })],
    ["a start", (id: string) => act(id, "start")],
  ])("%s: it is deleted once, and nothing of the other goes on behind it", async (_, other) => {
    const id = await agent();
    const [deleted, answered] = await Promise.all([destroy(id), other(id)]);
    expect(deleted).toBeLessThan(300);
    expect([200, 202, 409]).toContain(answered);
    expect((await wishesOf(id))?.moveTo ?? null).toBeNull();
    edge.world.forward(WINDOW_MS + 1_000);
    await edge.tick();
    expect(await rowOf(id)).toMatchObject({ desired: "deleted" });
    const lines = await linesOf(edge.db, id);
    // The owner's word, and the one of the clock that its time is over.
    expect(lines.filter((line) => line === "tenant.delete")).toHaveLength(2);
    await edge.tick();
    const { generation, hostId } = await rowOf(id);
    await proveGone(edge, hostOf({ hostId }), id, generation);
    expect((await rowOf(id)).purgedAt).not.toBeNull();
  });

  it("an undoing in the last moment comes in time or too late, and never leaves half an agent", async () => {
    const outcomes = new Set<string>();
    for (let n = 0; n < 4; n += 1) {
      const id = await agent();
      await destroy(id);
      edge.world.forward(WINDOW_MS + 1_000);
      const [undone] = await Promise.all(
        n % 2 === 0 ? [act(id, "undelete"), edge.tick()] : [edge.tick().then(() => act(id, "undelete"))],
      );
      const { desired } = await rowOf(id);
      const sealed = await edge.db.select().from(secrets).where(eq(secrets.tenantId, id));
      expect([desired, sealed.length > 0, undone]).toEqual(
        desired === "deleted" ? ["deleted", false, 409] : ["running", true, 202],
      );
      outcomes.add(desired);
    }
    expect(outcomes).toContain("deleted");
  });
});

describe("a host's word that an agent is gone", () => {
  const leaving = async () => {
    const id = await agent();
    await destroy(id);
    edge.world.forward(WINDOW_MS + 1_000);
    await edge.tick();
    return { id, row: await rowOf(id) };
  };
  const isProven = async (id: string) =>
    (await rowOf(id)).purgedAt !== null ||
    (await edge.db.select().from(deletionReceipts).where(eq(deletionReceipts.tenantId, id))).length > 0;

  it("is worth nothing about another host's agent, however well it is signed", async () => {
    const { id, row } = await leaving();
    const liar = hosts.find((it) => it !== hostOf(row)) as TestHost;
    await proveGone(edge, liar, id, row.generation);
    expect(await isProven(id)).toBe(false);
    // Nor when it brings the true host's words before that one has said them.
    const [proof, state] = await lastWords(hostOf(row), { tenantId: id, generation: row.generation });
    await liar.post(edge, await liar.report(proof, state));
    expect(await isProven(id)).toBe(false);
  });

  it("ends an agent once, also when it is said twice in one breath", async () => {
    const { id, row } = await leaving();
    const words = await lastWords(hostOf(row), { tenantId: id, generation: row.generation });
    const report = await hostOf(row).report(...words, ...words);
    expect((await hostOf(row).post(edge, report)).status).toBe(200);
    expect((await rowOf(id)).purgedAt).not.toBeNull();
    expect((await linesOf(edge.db, id)).filter((line) => line === "tenant.purged")).toHaveLength(1);
  });

  it("is worth nothing about a stay before the agent came back to it", async () => {
    const { id, row } = await leaving();
    const line = { at: 1, actor: "system", action: "tenant.moved", subject: id };
    const detail = { generation: row.generation, from: "hst_elsewhere", restore: 1, lost: false };
    await edge.db.insert(audit).values({ ...line, detail: JSON.stringify(detail) });
    await proveGone(edge, hostOf(row), id, row.generation - 1);
    expect(await isProven(id)).toBe(false);
    await proveGone(edge, hostOf(row), id, row.generation);
    expect(await isProven(id)).toBe(true);
  });
});
