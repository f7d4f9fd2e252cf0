import { and, eq, isNotNull, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { alerts, audit, hosts, outbox, tenants } from "../../schema/db/index.ts";
import { type CommandOutcome, generateSealingKey, newId, publicPart } from "../../schema/protocol/index.ts";
import { atomically } from "../db.ts";
import { Client, OPERATOR_TOKEN, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { STRANGER_GRACE_MS } from "./rules.ts";
import type { TenantRow } from "./store.ts";

/** What one host that was broken into, or a thief of one enrolment token, can do to everybody else: nothing. */
let edge: TestEdge;
let owner: Client;
let sound: TestHost;
let broken: TestHost;
/** What the broken one waits for before it answers. */
let hold: Promise<unknown> = Promise.resolve();
/** How often the broken one was called. */
let calls = 0;

beforeAll(async () => {
  [sound, broken] = await Promise.all([TestHost.make(), TestHost.make()]);
  const reach = async (input: RequestInfo | URL, init?: RequestInit) => {
    const isBroken = String(input).startsWith(broken.endpoint);
    if (isBroken) calls += 1;
    if (isBroken) await hold;
    return (isBroken ? broken : sound).fetch(input, init);
  };
  edge = await startTestEdge({ fetch: reach as typeof fetch });
  await sound.enrol(edge);
  owner = await new Client(edge).signUp();
});

/** The one with more free memory gets the next agent. */
const enrolBroken = (more: object = {}) =>
  broken.enrol(edge, { capacity: { memoryMiB: 2_000_000, diskMiB: 1_000_000, tenants: 4_000 }, ...more });
const makeDue = () => edge.db.update(outbox).set({ deliveredAt: null, nextAttemptAt: 0 });
const rowOf = async (id: string) => (await edge.db.select().from(tenants).where(eq(tenants.id, id)))[0];

describe("a host that lies", () => {
  it("cannot push a generation to where the database can no longer be read", async () => {
    await enrolBroken();
    const { id } = (await owner.create()).body;
    expect((await rowOf(id))?.hostId).toBe(broken.enrolment.hostId);
    const lie: CommandOutcome = { status: "refused", reason: "generation_stale", have: Number.MAX_SAFE_INTEGER };
    broken.answer = () => lie;
    await owner.request("POST", `/api/v1/tenants/${id}/stop`);
    broken.answer = null;
    expect((await rowOf(id))?.generation).toBe(2);
    expect((await owner.request("GET", "/api/v1/tenants")).status).toBe(200);
  });

  it.each([
    ["a step that took longer than there is time", { tookMs: 2 ** 60 }],
    ["a moment that no calendar has", { at: Number.MAX_SAFE_INTEGER }],
  ])("cannot make an agent's story unreadable with %s", async (_what, more) => {
    await enrolBroken();
    const { id } = (await owner.create()).body;
    const seq = 1_000;
    const step = { type: "tenant.progress", tenantId: id, generation: 1, step: "volume", status: "done" } as const;
    expect((await broken.post(edge, await broken.sign([{ ...step, seq, at: 1, ...more }]))).status).toBe(403);
    expect((await owner.request("GET", `/agents/${id}`)).status).toBe(200);
  });

  it("cannot take the operator's list away with the date of its inventory", async () => {
    await enrolBroken();
    const capacity = { memoryMiB: 1, diskMiB: 1, tenants: 1 };
    const lists = { type: "host.inventory" as const, tenants: [], images: [], versions: {}, capacity };
    await broken.post(edge, await broken.sign([{ ...lists, seq: 1, at: Number.MAX_SAFE_INTEGER }]));
    const list = await edge.send("/api/v1/hosts", { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    expect(list.status).toBe(200);
  });

  it("cannot stop deliveries to the others with a key that nothing can be sealed to", async () => {
    await edge.db.update(hosts).set({ state: "draining" }).where(eq(hosts.id, broken.enrolment.hostId));
    const { id: other } = (await owner.create()).body;
    expect((await rowOf(other))?.hostId).toBe(sound.enrolment.hostId);
    broken = await TestHost.make();
    await enrolBroken({ sealing: { kty: "OKP", crv: "X25519", x: "A".repeat(43) } });
    const secrets = { ANTHROPIC_API_KEY: "sk-ant-aaaaaaaaaaaaaaaaaaaa" };
    for (let n = 0; n < 6; n += 1) await owner.create(undefined, { secrets });
    await makeDue();
    const before = sound.commands.length;
    await edge.tick();
    expect(sound.commands.length).toBeGreaterThan(before);
    const due = await edge.db
      .select()
      .from(outbox)
      .where(and(eq(outbox.hostId, broken.enrolment.hostId), isNotNull(outbox.tenantId)));
    expect(due.every(({ attempts, nextAttemptAt }) => attempts > 0 && nextAttemptAt > 0)).toBe(true);
  });
});

describe("a host that takes a command and never answers", () => {
  it("does not keep what is due elsewhere waiting, however much of it there is", async () => {
    const [mine] = await edge.db.select().from(tenants).where(eq(tenants.hostId, sound.enrolment.hostId));
    await edge.db.update(outbox).set({ deliveredAt: 0 });
    await edge.db.update(hosts).set({ state: "draining" }).where(eq(hosts.id, broken.enrolment.hostId));
    broken = await TestHost.make();
    await enrolBroken();
    const { hostId } = broken.enrolment;
    const ids = Array.from({ length: 250 }, () => newId("tnt"));
    const late = { generation: 1, createdAt: 0, attempts: 1, nextAttemptAt: 1 };
    await atomically(edge.db, [
      ...ids.map((id) => edge.db.insert(tenants).values({ ...(mine as TenantRow), id, slug: id, hostId })),
      ...ids.map((tenantId) => edge.db.insert(outbox).values({ ...late, hostId, tenantId })),
      edge.db.insert(outbox).values({ ...late, hostId: sound.enrolment.hostId, tenantId: mine?.id, nextAttemptAt: 2 }),
    ]);
    const { promise: never, reject: letGo } = Promise.withResolvers<CommandOutcome>();
    hold = never;
    const before = sound.commands.length;
    const round = edge.tick();
    await vi.waitFor(() => expect(sound.commands.length).toBeGreaterThan(before), 5_000);
    calls = 0;
    letGo(new Error("gone"));
    await round;
    hold = Promise.resolve();
    // Whoever did not answer is not waited for again in this round: other rooms have their turn after it.
    expect(calls).toBe(0);
  });
});

describe("a host that lists thousands of agents which nobody knows", () => {
  it("fills neither the operator's list nor the edge's turn with them", async () => {
    await edge.db.update(outbox).set({ deliveredAt: 0 });
    broken = await TestHost.make();
    await enrolBroken();
    const strangers = Array.from({ length: 500 }, () => newId("tnt"));
    const states = strangers.map((tenantId) => ({ tenantId, generation: 1, state: "running" as const }));
    const capacity = { memoryMiB: 1, diskMiB: 1, tenants: 1 };
    const lists = { type: "host.inventory" as const, images: [], versions: {}, capacity };
    await broken.post(edge, await broken.report({ ...lists, tenants: states }));
    const noted = async () =>
      (await edge.db.select().from(alerts).where(eq(alerts.kind, "stranger"))).filter(({ detail }) =>
        detail.startsWith(`${broken.name} `),
      ).length;
    await edge.tick();
    expect(await noted()).toBe(20);
    await edge.tick();
    expect(await noted()).toBe(40);
    await edge.db
      .update(audit)
      .set({ at: sql`${audit.at} - ${STRANGER_GRACE_MS}` })
      .where(eq(audit.action, "drift.stranger"));
    broken.down = true;
    calls = 0;
    await edge.tick();
    expect(calls).toBe(1);
  });
});

describe("the thief of an enrolment token", () => {
  it("cannot take over a host by its public key, to have its agents' secrets sealed to himself", async () => {
    const thief = await TestHost.make();
    const response = await thief.enrol(edge, {
      name: sound.name,
      signing: publicPart(sound.signing),
      sealing: publicPart(await generateSealingKey()),
    });
    expect(response.status).toBe(403);
    const row = (await edge.db.select().from(hosts).where(eq(hosts.id, sound.enrolment.hostId)))[0];
    expect(JSON.parse(row?.sealingKey ?? "")).toEqual(publicPart(sound.sealing));
    expect(row).toMatchObject({ epoch: 1, endpoint: sound.endpoint });
  });

  it("learns without a good token not even which hosts there are", async () => {
    const token = `chelar-enrol.${"A".repeat(43)}`;
    const stranger = await TestHost.make();
    const known = await stranger.enrol(edge, { token, name: sound.name });
    const unknown = await stranger.enrol(edge, { token });
    expect([known.status, await known.text()]).toEqual([unknown.status, await unknown.text()]);
  });
});
