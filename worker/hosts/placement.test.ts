import { and, eq, isNull } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { alerts, audit, hosts, tenants } from "../../schema/db/index.ts";
import { newId } from "../../schema/protocol/index.ts";
import { Client, OPERATOR_TOKEN, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

let near: TestHost;
let far: TestHost;
let edge: TestEdge;
let owner: Client;

beforeAll(async () => {
  [near, far] = await Promise.all([TestHost.make(), TestHost.make()]);
  edge = await startTestEdge({
    fetch: ((input: RequestInfo, init?: RequestInit) =>
      (String(input).startsWith(near.endpoint) ? near : far).fetch(input, init)) as typeof fetch,
  });
  await near.enrol(edge, { region: "near" });
  await far.enrol(edge, { region: "far" });
  owner = await new Client(edge).signUp();
});

const hostOf = async (id: string) => (await edge.db.select().from(tenants).where(eq(tenants.id, id)))[0]?.hostId;
const setHost = (host: TestHost, change: Partial<typeof hosts.$inferInsert>) =>
  edge.db.update(hosts).set(change).where(eq(hosts.id, host.enrolment.hostId));
const noCapacity = () =>
  edge.db
    .select()
    .from(alerts)
    .where(and(eq(alerts.kind, "no_capacity"), isNull(alerts.resolvedAt)));
const operator = { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } };

describe("a new agent", () => {
  it("is placed in the region that was asked for", async () => {
    for (const [region, host] of [
      ["far", far],
      ["near", near],
    ] as const) {
      expect(await hostOf((await owner.create(undefined, { region })).body.id)).toBe(host.enrolment.hostId);
    }
  });

  it("is never placed on a server that is draining, however much room it has", async () => {
    const [{ memoryMiB } = { memoryMiB: 0 }] = await edge.db.select().from(hosts).limit(1);
    await setHost(far, { state: "draining", memoryMiB: 10_000_000 });
    expect(await hostOf((await owner.create()).body.id)).toBe(near.enrolment.hostId);
    await setHost(far, { state: "enrolled", memoryMiB });
  });

  it("that was placed before its server began to drain, and is written after, goes elsewhere or nowhere", async () => {
    const [chosen, drained] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let waiting = 0;
    const slow = await startTestEdge({
      fetch: far.fetch as typeof fetch,
      async onWrite(statements) {
        if (!statements.some((sql) => /insert into .{0,3}tenants\b/i.test(sql))) return;
        if (++waiting === 2) chosen.resolve();
        await drained.promise;
      },
    });
    const [{ memoryMiB } = { memoryMiB: 0 }] = await edge.db.select().from(hosts).limit(1);
    await setHost(far, { memoryMiB: 10_000_000 });
    const creations = [{ region: "far" }, {}].map(async (where) =>
      (await new Client(slow).signUp()).create(undefined, where),
    );
    await chosen.promise;
    const drain = (action: string) =>
      edge.send(`/api/v1/operator/hosts/${far.enrolment.hostId}/${action}`, { method: "POST", ...operator });
    expect((await drain("drain")).status).toBe(200);
    drained.resolve();
    const [there, anywhere] = await Promise.all(creations);
    // It was the only one in its region, so there is no such region any more.
    expect(there?.body.code).toBe("unknown_region");
    expect(await hostOf(anywhere?.body.id ?? "")).toBe(near.enrolment.hostId);
    expect((await drain("reopen")).status).toBe(200);
    await setHost(far, { memoryMiB });
  });

  it("is refused for a region without a server, which are named, and for one that is no region", async () => {
    const nowhere = await owner.create(undefined, { region: "nowhere" });
    expect(nowhere).toMatchObject({ status: 422, body: { code: "unknown_region" } });
    expect(JSON.stringify(nowhere.body)).toContain("far, near");
    expect((await owner.create(undefined, { region: "../x" })).status).toBe(400);
  });

  it("never takes more disk than a server has, also when two ask at once", async () => {
    const [{ diskMiB } = { diskMiB: 0 }] = await edge.db.select().from(hosts).limit(1);
    // One agent is there; there is room for one more, of 64 MiB each.
    await setHost(far, { diskMiB: 128 });
    const answers = await Promise.all([1, 2, 3].map(() => owner.create(undefined, { region: "far" })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 503, 503]);
    expect(answers.find(({ status }) => status === 503)?.body.code).toBe("no_capacity");
    await setHost(far, { diskMiB });
  });

  it("that found no room is told to the operator once, however often, until there is room again", async () => {
    const [before] = await noCapacity();
    expect(before).toMatchObject({ subject: "far", times: 2 });
    await setHost(far, { state: "draining" });
    await setHost(near, { memoryMiB: 0 });
    for (let n = 0; n < 3; n += 1) expect((await owner.create()).body.code).toBe("no_capacity");
    const response = await edge.send("/api/v1/operator/alerts", operator);
    const listed = (await response.json()) as { alerts: object[] };
    expect(listed.alerts).toContainEqual(
      expect.objectContaining({ kind: "no_capacity", subject: "anywhere", times: 3 }),
    );
    await setHost(far, { state: "enrolled" });
    await setHost(near, { memoryMiB: 1_000_000 });
    await owner.create();
    await owner.create(undefined, { region: "far" });
    expect(await noCapacity()).toEqual([]);
  });
});

describe("a server that has fallen silent", () => {
  const silentFor = (host: TestHost, ms: number) => {
    const at = edge.world.now() - ms;
    return setHost(host, { lastReportAt: at, enrolledAt: at });
  };

  it("gets no agent while another speaks, however much room it has", async () => {
    await setHost(far, { memoryMiB: 10_000_000 });
    expect(await hostOf((await owner.create()).body.id)).toBe(far.enrolment.hostId);
    await silentFor(far, 100_000);
    expect(await hostOf((await owner.create()).body.id)).toBe(near.enrolment.hostId);
    expect((await owner.create(undefined, { region: "far" })).body.code).toBe("no_capacity");
  });

  it("gets agents when all are silent: then it is the edge that was away", async () => {
    await silentFor(near, 110_000);
    expect(await hostOf((await owner.create()).body.id)).toBe(far.enrolment.hostId);
    for (const host of [near, far]) await silentFor(host, 0);
    expect((await owner.create(undefined, { region: "far" })).status).toBe(201);
  });
});

describe("an agent that the edge has never heard of", () => {
  const stranger = newId("tnt");
  const purge = (tenantId: string, headers = operator.headers as Record<string, string>) =>
    edge.send(`/api/v1/operator/hosts/${near.enrolment.hostId}/strangers/${tenantId}`, { method: "DELETE", headers });

  it("is an alert, and is destroyed by the operator's word alone, which is in the audit", async () => {
    const mine = (await owner.create(undefined, { region: "near" })).body.id;
    const capacity = { memoryMiB: 1, diskMiB: 1, tenants: 1 };
    const state = "running" as const;
    await near.post(
      edge,
      await near.report({
        ...{ type: "host.inventory", images: [], versions: {}, capacity },
        tenants: [stranger, mine].map((tenantId) => ({ tenantId, generation: 7, state })),
      }),
    );
    await edge.tick();
    const kinds = async () =>
      (await edge.db.select().from(alerts).where(isNull(alerts.resolvedAt))).map(({ kind, subject }) => [
        kind,
        subject,
      ]);
    expect(await kinds()).toEqual([["stranger", stranger]]);
    expect((await purge(stranger, {})).status).toBe(401);
    expect((await purge(mine)).status).toBe(409);
    expect((await purge(newId("tnt"))).status).toBe(404);
    near.down = true;
    expect((await purge(stranger)).status).toBe(503);
    near.down = false;
    expect((await purge(stranger)).status).toBe(202);
    expect(near.commands.at(-1)).toEqual({ type: "tenant.purge", tenantId: stranger, generation: 8 });
    expect(await kinds()).toEqual([]);
    const trail = await edge.db.select().from(audit).where(eq(audit.subject, stranger));
    expect(trail.map(({ actor, action }) => `${actor} ${action}`)).toContain("operator stranger.purge");
  });
});

describe("a server whose disk is nearly full", () => {
  const tell = async (freeMiB: number) => {
    const inventory = { tenants: [], images: [], versions: {}, capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 } };
    const disk = { freeMiB, reserveMiB: 2_048 };
    await far.post(edge, await far.report({ type: "host.inventory", ...inventory, disk }));
    const shortOf = and(eq(alerts.kind, "disk_short"), isNull(alerts.resolvedAt));
    return (await edge.db.select().from(alerts).where(shortOf)).map(({ subject }) => subject);
  };

  it("is told to the operator and gets no agent, until it has room again", async () => {
    expect(await tell(2_047)).toEqual([far.enrolment.hostId]);
    expect((await owner.create(undefined, { region: "far" })).body.code).toBe("no_capacity");
    expect(await tell(2_048)).toEqual([]);
    expect((await owner.create(undefined, { region: "far" })).status).toBe(201);
  });
});

describe("a server whose container engine does not answer", () => {
  const inventory = { tenants: [], images: [], versions: {}, capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 } };
  const tell = async (engine: "answers" | "away") => {
    await far.post(edge, await far.report({ type: "host.inventory", ...inventory, engine }));
    const away = and(eq(alerts.kind, "engine_away"), isNull(alerts.resolvedAt));
    return (await edge.db.select().from(alerts).where(away)).map(({ subject }) => subject);
  };
  const create = async () => (await owner.create(undefined, { region: "far" })).status;

  it("is told to the operator and gets no agent, until it answers again; not for a moment of it", async () => {
    expect([await tell("away"), await create()]).toEqual([[], 201]);
    expect([await tell("answers"), await tell("away")]).toEqual([[], []]);
    expect([await tell("away"), await create()]).toEqual([[far.enrolment.hostId], 503]);
    expect([await tell("answers"), await create()]).toEqual([[], 201]);
  });
});
