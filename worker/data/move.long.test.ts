import { and, eq, isNull } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { alerts, hosts, outbox, tenantDataWishes, tenantEvents, tenants } from "../../schema/db/index.ts";
import { Client, OPERATOR_TOKEN, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { proveGone } from "../testing/leaving.ts";

const MINUTE_MS = 60_000;
const capacity = { memoryMiB: 1_000_000, diskMiB: 1_000_000, tenants: 4_000 };

let edge: TestEdge;
let owner: Client;
/** Where the agent lives, and where it can go. */
let from: TestHost;
let to: TestHost;
let id: string;

/** Both hosts say what they have, and that they are there. */
const speak = async (...who: TestHost[]) => {
  for (const host of who) {
    const there = host === from ? [{ tenantId: id, generation: host.generations.get(id) ?? 1, state }] : [];
    const word = { type: "host.inventory" as const, tenants: there, images: [], versions: {}, capacity };
    expect((await host.post(edge, await host.report(word))).status).toBe(200);
  }
};
let state: "running" | "stopped" = "running";
const row = async () => (await edge.db.select().from(tenants).where(eq(tenants.id, id)))[0];
const moveTo = async () =>
  (await edge.db.select().from(tenantDataWishes).where(eq(tenantDataWishes.tenantId, id)))[0]?.moveTo ?? null;
const act = async (what: string) => (await owner.request("POST", `/api/v1/tenants/${id}/${what}`)).status;
const observe = async (host: TestHost, observed: "running" | "stopped" | "asleep") => {
  const generation = (await row())?.generation ?? 0;
  await host.post(edge, await host.report({ type: "tenant.state", tenantId: id, generation, state: observed }));
};
const store = async (host: TestHost, more: object) => {
  const facts = { usedBytes: 1, limitBytes: 100, strays: 0, snapshots: [], ...more };
  const words = await host.report({ type: "tenant.storage", tenantId: id, ...facts });
  expect((await host.post(edge, words)).status).toBe(200);
};
const backup = (number: number) => ({
  backup: { snapshot: "20261122T104501Z", at: 1, bytes: 1, number, verifiedAt: 1 },
});
const restored = (number: number) => ({ restored: { number, from: "backup", at: 1, tookMs: 1, ok: true } });
const heard = (host: TestHost) =>
  host.commands.flatMap((it) =>
    "tenantId" in it && it.tenantId === id ? [it.type + ("moved" in it ? " moved" : "")] : [],
  );
const openAlerts = async () =>
  (await edge.db.select().from(alerts).where(isNull(alerts.resolvedAt))).map(
    ({ kind, subject }) => `${kind} ${subject}`,
  );
const hostId = (host: TestHost) => host.enrolment.hostId;
/** Minutes pass, in which the edge's clock runs; `speakers` are there. */
const pass = async (minutes: number, ...speakers: TestHost[]) => {
  for (let gone = 0; gone < minutes; gone += 1) {
    edge.world.forward(MINUTE_MS);
    await speak(...speakers);
    await edge.tick();
  }
};

beforeEach(async () => {
  const all = [await TestHost.make(), await TestHost.make()];
  edge = await startTestEdge({
    fetch: (input, init) => {
      const host = all.find(({ endpoint }) =>
        String(input instanceof Request ? input.url : input).startsWith(endpoint),
      );
      return host ? host.fetch(input, init) : Promise.reject(new TypeError("no such host"));
    },
  });
  await edge.db.update(hosts).set({ state: "removed" });
  await edge.db.update(alerts).set({ resolvedAt: 1 });
  for (const host of all) {
    host.now = edge.world.now;
    expect((await host.enrol(edge)).ok).toBe(true);
  }
  owner = await new Client(edge).signUp();
  id = (await owner.create()).body.id;
  state = "running";
  const home = (await row())?.hostId;
  from = all.find((host) => hostId(host) === home) as TestHost;
  to = all.find((host) => hostId(host) !== home) as TestHost;
  await speak(from, to);
  await observe(from, "running");
  await store(from, backup(0));
  expect(await act("move")).toBeLessThan(300);
  expect(await moveTo()).toBe(hostId(to));
});

const stoppedAndCopied = async () => {
  await observe(from, "stopped");
  state = "stopped";
  await store(from, backup(1));
};

describe("a move", () => {
  it.each(["start", "restart"])(
    "is over at its owner's %s: nothing of it comes back with a later stop",
    async (what) => {
      await stoppedAndCopied();
      expect(await act(what)).toBeLessThan(300);
      expect(await moveTo()).toBeNull();
      expect(await act("stop")).toBeLessThan(300);
      await observe(from, "stopped");
      await edge.tick();
      expect((await row())?.hostId).toBe(hostId(from));
    },
  );

  it("is over when its owner asks for a former state", async () => {
    const asked = await owner.request("POST", `/api/v1/tenants/${id}/restore`, { from: "backup" });
    expect(asked.status).toBeLessThan(300);
    expect(await moveTo()).toBeNull();
  });

  it("that was left open under an agent that is wanted otherwise is forgotten", async () => {
    await edge.db.update(tenants).set({ desired: "running" }).where(eq(tenants.id, id));
    await edge.tick();
    expect(await moveTo()).toBeNull();
  });

  it("leaves nothing for its former host in the outbox", async () => {
    from.down = true;
    await stoppedAndCopied();
    await edge.db.update(outbox).set({ deliveredAt: null }).where(eq(outbox.tenantId, id));
    await edge.tick();
    expect((await row())?.hostId).toBe(hostId(to));
    const isDue = and(eq(outbox.tenantId, id), isNull(outbox.deliveredAt));
    expect(await edge.db.select().from(outbox).where(isDue)).toEqual([]);
  });

  it("that finds its new server full goes on where it is, says so, and holds up nothing", async () => {
    await stoppedAndCopied();
    await edge.db
      .update(hosts)
      .set({ memoryMiB: 1 })
      .where(eq(hosts.id, hostId(to)));
    await edge.tick();
    expect(await row()).toMatchObject({ hostId: hostId(from), desired: "running" });
    expect(await moveTo()).toBeNull();
    const steps = await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, id));
    expect(steps.map(({ step }) => step)).toContain("owner.stayed");
  });
});

describe("what an agent has left behind", () => {
  it("is halted at once, and destroyed when its copy has proven itself, also while it sleeps", async () => {
    await stoppedAndCopied();
    await edge.tick();
    expect((await row())?.hostId).toBe(hostId(to));
    state = "running";
    await pass(1, from, to);
    expect(heard(from)).toEqual(["tenant.halt"]);
    await observe(to, "asleep");
    await pass(1, from, to);
    expect(heard(from)).not.toContain("tenant.purge moved");
    await store(to, restored(1));
    await pass(1, from, to);
    expect(heard(from).at(-1)).toBe("tenant.purge moved");
  });

  it("goes when its owner has deleted the agent, wherever that lived", async () => {
    await stoppedAndCopied();
    await edge.tick();
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await proveGone(edge, to, id, (await row())?.generation);
    await pass(1, from, to);
    expect(heard(from)).toEqual(["tenant.purge"]);
  });

  it("is kept, and an operator asked, when our database does not know of a move", async () => {
    await edge.db
      .update(tenants)
      .set({ hostId: hostId(to) })
      .where(eq(tenants.id, id));
    await store(to, restored(1));
    await pass(1, from, to);
    expect(heard(from)).toEqual(["tenant.halt"]);
    expect(await openAlerts()).toContain(`left_behind ${id}`);
  });
});

describe("a host that is silent", () => {
  it("is lost after it was seen so for long, and what comes back with it is kept until an operator's word", async () => {
    await pass(9, to);
    expect((await row())?.hostId).toBe(hostId(from));
    await pass(3, to);
    expect((await row())?.hostId).toBe(hostId(to));
    await store(to, restored(1));
    await pass(1, from, to);
    expect(heard(from)).toEqual(["tenant.halt"]);
    expect(await openAlerts()).toEqual([`left_behind ${id}`]);

    const authorization = `Bearer ${OPERATOR_TOKEN}`;
    const path = `/api/v1/operator/hosts/${hostId(from)}/strangers/${id}`;
    expect((await edge.send(path, { method: "DELETE", headers: { authorization } })).status).toBe(202);
    expect(heard(from).at(-1)).toBe("tenant.purge moved");
    expect(await openAlerts()).toEqual([]);
  });

  it("is not lost when it was the edge that was away", async () => {
    edge.world.forward(600 * MINUTE_MS);
    await speak(to);
    await edge.tick();
    edge.world.forward(600 * MINUTE_MS);
    await speak(to);
    await edge.tick();
    expect((await row())?.hostId).toBe(hostId(from));
    await pass(2, from, to);
    expect(await openAlerts()).toEqual([]);
  });
});
