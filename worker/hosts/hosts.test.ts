import { and, eq, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, hosts, outbox, secrets, slugLocks, tenantEvents, tenants } from "../../schema/db/index.ts";
import { generateSigningKey, newId, publicPart } from "../../schema/protocol/index.ts";
import { Client, OPERATOR_TOKEN } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { proveGone } from "../testing/leaving.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { STRANGER_GRACE_MS } from "./rules.ts";

let { edge, host, owner } = {} as Settled;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

const rowOf = async (id: string) => (await edge.db.select().from(tenants).where(eq(tenants.id, id)))[0];
const hostRow = async (it = host) =>
  (await edge.db.select().from(hosts).where(eq(hosts.id, it.enrolment.hostId)))[0] as typeof hosts.$inferSelect;
const outboxOf = (id: string) => edge.db.select().from(outbox).where(eq(outbox.tenantId, id));
const codeOf = async (response: Response) => ((await response.json()) as { code: string }).code;

describe("enrolment", () => {
  it("gives tokens to the operator only", async () => {
    for (const authorization of ["", "Bearer ", "Bearer wrong", OPERATOR_TOKEN, `Bearer ${OPERATOR_TOKEN}x`]) {
      for (const [method, path] of [
        ["POST", "/api/v1/operator/hosts/tokens"],
        ["GET", "/api/v1/hosts"],
      ]) {
        const response = await edge.send(path as string, { method, headers: authorization ? { authorization } : {} });
        expect(response.status).toBe(401);
      }
    }
  });

  it("takes a token once, even when two servers show it at the same moment", async () => {
    const [first, second] = await Promise.all([TestHost.make(), TestHost.make()]);
    const token = await host.token(edge);
    const answers = await Promise.all([first.enrol(edge, { token }), second.enrol(edge, { token })]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 403]);
    const winner = answers[0]?.status === 201 ? first : second;
    expect((await (winner === first ? second : first).enrol(edge, { token })).status).toBe(403);
    await edge.db.update(hosts).set({ state: "removed" }).where(eq(hosts.id, winner.enrolment.hostId));
  });

  it("refuses a token that has expired or never was, in the same words", async () => {
    const token = await host.token(edge);
    const late = await TestHost.make();
    edge.world.forward(11 * 60_000);
    const expired = await late.enrol(edge, { token });
    edge.world.forward(-11 * 60_000);
    const unknown = await late.enrol(edge, { token: `chelar-enrol.${"A".repeat(43)}` });
    expect([expired.status, unknown.status]).toEqual([403, 403]);
    expect(await expired.text()).toBe(await unknown.text());
  });

  it("refuses a known name with another key, and keeps the one that is enrolled", async () => {
    const thief = await TestHost.make();
    const response = await thief.enrol(edge, { name: host.name });
    expect([response.status, await codeOf(response)]).toEqual([403, "enrolment_refused"]);
    expect(JSON.parse((await hostRow()).signingKey)).toEqual(publicPart(host.signing));
  });

  it("a server that enrols again keeps its id and starts an epoch in which its old reports are worthless", async () => {
    const again = await TestHost.make();
    await again.enrol(edge);
    const { hostId, epoch } = again.enrolment;
    const old = await again.report({ type: "host.inventory", tenants: [], images: [], versions: {}, capacity });
    await again.enrol(edge);
    expect(again.enrolment).toMatchObject({ hostId, epoch: epoch + 1 });
    expect((await again.post(edge, old)).status).toBe(403);
    await edge.db.update(hosts).set({ state: "removed" }).where(eq(hosts.id, hostId));
  });

  it.each([
    ["a name that is a path", { name: "../x" }],
    ["no keys", { signing: {} }],
    ["a private key", { signing: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43), d: "A".repeat(43) } }],
    ["an endpoint of another scheme", { endpoint: "ftp://x" }],
    ["a word too much", { admin: true }],
  ])("refuses %s", async (_what, more) => {
    const response = await (await TestHost.make()).enrol(edge, more);
    expect([response.status, await codeOf(response)]).toEqual([400, "invalid_body"]);
  });
});

const capacity = { memoryMiB: 1, diskMiB: 1, tenants: 1 };
const state = (tenantId: string, generation: number, value: "creating" | "running" | "failed" | "purged" | "stopped") =>
  ({ type: "tenant.state", tenantId, generation, state: value }) as const;
const step = (tenantId: string, name: "volume" | "network") =>
  ({ type: "tenant.progress", tenantId, generation: 1, step: name, status: "done" }) as const;

describe("delivery", () => {
  it("loses nothing while the host is away, and delivers the newest word when it speaks again", async () => {
    host.down = true;
    const { id } = (await owner.create()).body;
    await owner.request("POST", `/api/v1/tenants/${id}/stop`);
    const waiting = await outboxOf(id);
    expect(waiting.every(({ deliveredAt, attempts }) => deliveredAt === null && attempts > 0)).toBe(true);
    expect(waiting[0]?.lastError).toBe("host_unreachable");
    host.down = false;
    const before = host.commands.length;
    await host.post(
      edge,
      await host.report({ type: "host.inventory", tenants: [], images: [], versions: {}, capacity }),
    );
    const told = host.commands.slice(before);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ generation: 2, desired: "stopped" });
    expect((await outboxOf(id)).every(({ deliveredAt }) => deliveredAt !== null)).toBe(true);
  });

  it("delivers what is due when the clock ticks, also without a word of the host", async () => {
    host.down = true;
    const { id } = (await owner.create()).body;
    host.down = false;
    await edge.db.update(outbox).set({ nextAttemptAt: 0 }).where(eq(outbox.tenantId, id));
    await edge.tick();
    expect(host.generations.get(id)).toBe(1);
  });

  it("believes no result that the host has not signed for exactly this command", async () => {
    const honest = host.signing;
    const forger = await generateSigningKey();
    (host as { signing: typeof forger }).signing = forger;
    const { id } = (await owner.create()).body;
    (host as { signing: typeof forger }).signing = honest;
    expect((await outboxOf(id))[0]).toMatchObject({ deliveredAt: null, lastError: "result_invalid" });
    await edge.db.update(outbox).set({ nextAttemptAt: 0 }).where(eq(outbox.tenantId, id));
    await edge.tick();
    expect((await outboxOf(id))[0]?.deliveredAt).not.toBeNull();
  });

  it("believes no signed result about another command", async () => {
    host.resultIsAbout = "an older command";
    const { id } = (await owner.create()).body;
    host.resultIsAbout = null;
    expect((await outboxOf(id))[0]).toMatchObject({ deliveredAt: null, lastError: "result_invalid" });
  });

  it("does no harm when two deliver the same tenant at once", async () => {
    const { id } = (await owner.create()).body;
    await edge.db.update(outbox).set({ deliveredAt: null, nextAttemptAt: 0 }).where(eq(outbox.tenantId, id));
    await Promise.all([edge.tick(), edge.tick()]);
    expect(host.generations.get(id)).toBe(1);
    expect((await outboxOf(id)).every(({ deliveredAt }) => deliveredAt !== null)).toBe(true);
  });

  it("overtakes a host that has seen a newer generation, and says so in the audit", async () => {
    const { id } = (await owner.create()).body;
    host.generations.set(id, 40);
    await owner.request("POST", `/api/v1/tenants/${id}/stop`);
    expect((await rowOf(id))?.generation).toBe(41);
    expect(host.commands.at(-1)).toMatchObject({ generation: 41, desired: "stopped" });
    const trail = await edge.db.select().from(audit).where(eq(audit.subject, id));
    expect(trail.map(({ action }) => action)).toContain("drift.overtake");
  });

  it("refuses to send a secret that was moved from another row, and keeps the row waiting", async () => {
    const one = (await owner.create(undefined, { secrets: { ANTHROPIC_API_KEY: "sk-ant-aaaaaaaaaaaaaaaaaaaa" } })).body;
    const two = (await owner.create()).body;
    const ofOne = and(eq(secrets.tenantId, one.id), eq(secrets.name, "ANTHROPIC_API_KEY"));
    await edge.db.update(secrets).set({ tenantId: two.id }).where(ofOne);
    await owner.request("POST", `/api/v1/tenants/${two.id}/restart`);
    expect((await outboxOf(two.id)).at(-1)).toMatchObject({ deliveredAt: null, lastError: "secret_unreadable" });
    expect(host.generations.get(two.id)).toBe(1);
    await edge.db.delete(secrets).where(eq(secrets.tenantId, two.id));
  });
});

describe("reports", () => {
  it("change nothing when they come again, and are acknowledged again", async () => {
    const { id } = (await owner.create()).body;
    const compact = await host.report(step(id, "volume"), step(id, "network"), state(id, 1, "running"));
    const first = await host.post(edge, compact);
    const again = await host.post(edge, compact);
    expect([first.status, again.status]).toEqual([200, 200]);
    expect(await host.ackOf(again, compact)).toBe(await host.ackOf(first, compact));
    const events = await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, id));
    expect(events.map((event) => event.step)).toEqual(["owner.create", "volume", "network"]);
    expect(await rowOf(id)).toMatchObject({ observed: "running", observedGeneration: 1 });
  });

  it("take each number once when the same report arrives five times at once", async () => {
    const { id } = (await owner.create()).body;
    const compact = await host.report(step(id, "volume"), step(id, "network"));
    const answers = await Promise.all(Array.from({ length: 5 }, () => host.post(edge, compact)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const events = await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, id));
    expect(events).toHaveLength(3);
  });

  it("do not turn the clock back when an older one is shown again", async () => {
    const { id } = (await owner.create()).body;
    const older = await host.report(state(id, 1, "creating"));
    await host.post(edge, older);
    await host.post(edge, await host.report(state(id, 1, "running")));
    const seq = (await hostRow()).reportSeq;
    expect((await host.post(edge, older)).status).toBe(200);
    expect([await rowOf(id), (await hostRow()).reportSeq]).toMatchObject([{ observed: "running" }, seq]);
  });

  it("that arrive together leave the newest word, whichever is first", async () => {
    const { id } = (await owner.create()).body;
    for (let round = 0; round < 8; round += 1) {
      const older = await host.report(state(id, 1, "creating"));
      const newer = await host.report(state(id, 1, "running"));
      await Promise.all([host.post(edge, newer), host.post(edge, older)]);
      expect(await rowOf(id)).toMatchObject({ observed: "running" });
    }
  });

  it("may hold the inventory of a full host", async () => {
    const { id } = (await owner.create()).body;
    const known = Array.from({ length: 2_000 }, () => ({ tenantId: id, generation: 1, state: "running" as const }));
    const compact = await host.report({ type: "host.inventory", tenants: known, images: [], versions: {}, capacity });
    expect(compact.length).toBeGreaterThan(64 * 1024);
    expect((await host.post(edge, compact)).status).toBe(200);
    const huge = await host.post(edge, "A".repeat(2 ** 21));
    expect([huge.status, await codeOf(huge)]).toEqual([413, "body_too_large"]);
  });

  it("about an older generation change nothing, and one that was never given is not believed", async () => {
    const { id } = (await owner.create()).body;
    await owner.request("POST", `/api/v1/tenants/${id}/stop`);
    await host.post(edge, await host.report(state(id, 2, "stopped")));
    await host.post(edge, await host.report(state(id, 1, "running"), state(id, 99, "running")));
    expect(await rowOf(id)).toMatchObject({ observed: "stopped", observedGeneration: 2 });
  });

  it("cannot speak about another host's tenant", async () => {
    const { id } = (await owner.create()).body;
    const liar = await TestHost.make();
    await liar.enrol(edge, { capacity: { memoryMiB: 0, diskMiB: 0, tenants: 0 } });
    const response = await liar.post(edge, await liar.report(step(id, "volume"), state(id, 1, "failed")));
    expect(response.status).toBe(200);
    expect(await rowOf(id)).toMatchObject({ observed: "pending" });
    const events = await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, id));
    expect(events).toHaveLength(1);
  });

  it("of any forgery are refused alike, and change nothing", async () => {
    const { id } = (await owner.create()).body;
    const stranger = await TestHost.make();
    stranger.enrolment = host.enrolment;
    const seqBefore = (await hostRow()).reportSeq;
    const next = { ...state(id, 1, "failed"), seq: seqBefore + 1, at: Date.now() };
    const forgeries = [
      await stranger.sign([next]),
      await host.sign([next], { aud: "https://elsewhere.example" }),
      await host.sign([next], { epoch: host.enrolment.epoch + 1 }),
      await host.sign([next], { exp: 1, iat: 0, nbf: 0 }),
      await host.sign([next], { iss: "hst_aaaaaaaaaaaaaaaaaaaaaaaaaa" }),
      "a.b.c",
      "",
      "{}",
    ];
    const bodies = new Set<string>();
    for (const compact of forgeries) {
      const response = await host.post(edge, compact);
      expect(response.status).toBe(403);
      bodies.add(await response.text());
    }
    expect(bodies.size).toBe(1);
    expect(await rowOf(id)).toMatchObject({ observed: "pending" });
    expect((await hostRow()).reportSeq).toBe(seqBefore);
  });

  it("of a purge end the tenant and its secrets, but only when its deletion was wanted", async () => {
    const { id, name } = (
      await owner.create(undefined, { secrets: { ANTHROPIC_API_KEY: "sk-ant-bbbbbbbbbbbbbbbbbbbb" } })
    ).body;
    await host.post(edge, await host.report(state(id, 1, "purged")));
    expect(await rowOf(id)).toMatchObject({ observed: "pending", purgedAt: null });

    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    // Nor by a bare word, without the signed one about what was looked at.
    await host.post(edge, await host.report(state(id, 2, "purged")));
    expect(await rowOf(id)).toMatchObject({ observed: "pending", purgedAt: null });
    await proveGone(edge, host, id);
    expect((await rowOf(id))?.purgedAt).not.toBeNull();
    expect(await edge.db.select().from(secrets).where(eq(secrets.tenantId, id))).toHaveLength(0);
    expect((await owner.request("GET", `/api/v1/tenants/${id}`)).status).toBe(404);
    // Nobody else inherits its visitors; its former owner may have it again.
    const other = await new Client(edge).signUp();
    expect((await other.create(name)).body.code).toBe("name_taken");
    expect((await owner.create(name)).status).toBe(201);
  });

  it("of a purge change nothing when they are older than what was heard already", async () => {
    const { id, name } = (
      await owner.create(undefined, { secrets: { ANTHROPIC_API_KEY: "sk-ant-bbbbbbbbbbbbbbbbbbbb" } })
    ).body;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await host.post(edge, await host.report(state(id, 2, "stopped")));
    const sealed = () => edge.db.select().from(secrets).where(eq(secrets.tenantId, id));
    const before = (await sealed()).length;
    await host.post(edge, await host.report(state(id, 1, "purged")));
    expect(await rowOf(id)).toMatchObject({ observed: "stopped", purgedAt: null, slug: name });
    expect(await sealed()).toHaveLength(before);
    expect(await edge.db.select().from(slugLocks).where(eq(slugLocks.slug, name))).toHaveLength(0);
  });

  it("show the owner how far the image of the agent's host is", async () => {
    const { id } = (await owner.create()).body;
    const images = [{ runtime: "echo", state: "building", fraction: 0.4, detail: "Installing" } as const];
    await host.post(edge, await host.report({ type: "host.inventory", tenants: [], images, versions: {}, capacity }));
    const { body } = await owner.json<{ image: object }>("GET", `/api/v1/tenants/${id}`);
    expect(body.image).toEqual({ state: "building", fraction: 0.4, detail: "Installing" });
    const list = await edge.send("/api/v1/hosts", { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    const { hosts: listed } = (await list.json()) as { hosts: { id: string; images: object[] }[] };
    expect(listed.find((it) => it.id === host.enrolment.hostId)?.images).toEqual(images);
  });
});

describe("a host's verdict on its own walls", () => {
  const row = { id: "mount", layer: 4, from: "inside", source: "CIS Docker 5.4", tries: "mount", evidence: "EPERM" };
  const posture = (outcome: "held" | "breached") => ({
    type: "host.posture" as const,
    tookMs: 8_000,
    attacks: [{ ...row, from: "inside" as const, outcome }],
    gates: [{ name: "docker", have: "20.10.24", need: ">= 29.5.1", ok: false }],
  });
  const read = (id: string, by = owner) =>
    by.json<{ posture: { held: number; breached: number; attacks: object[] } | null }>(
      "GET",
      `/api/v1/tenants/${id}/posture`,
    );

  it("is shown to the owner of an agent on it, the newest one, and to nobody else", async () => {
    const { id } = (await owner.create()).body;
    expect((await read(id)).body).toEqual({ posture: null });
    await host.post(edge, await host.report(posture("held")));
    await host.post(edge, await host.report(posture("breached")));
    const { body } = await read(id);
    expect(body.posture).toMatchObject({ held: 0, breached: 1, attacks: [{ id: "mount", held: false }] });
    expect((await read(id, await new Client(edge).signUp())).status).toBe(404);
  });

  it("is not believed from another host's key", async () => {
    const { id } = (await owner.create()).body;
    await host.post(edge, await host.report(posture("held")));
    const stranger = await TestHost.make();
    stranger.enrolment = host.enrolment;
    const seq = (await hostRow()).reportSeq + 1;
    const forged = await stranger.sign([{ ...posture("breached"), seq, at: Date.now() }]);
    expect((await host.post(edge, forged)).status).toBe(403);
    expect((await read(id)).body.posture).toMatchObject({ held: 1, breached: 0 });
  });
});

describe("reconcile", () => {
  it("tells a host again about a tenant that it has lost, as drift, and is quiet when all is well", async () => {
    const { id } = (await owner.create()).body;
    await host.post(edge, await host.report(state(id, 1, "running")));
    await edge.db.update(tenants).set({ updatedAt: Date.now() - 3_600_000 });
    await edge.db.update(outbox).set({ createdAt: Date.now() - 3_600_000, deliveredAt: Date.now() - 3_600_000 });
    const drifts = async () =>
      (await edge.db.select().from(audit).where(eq(audit.subject, id))).filter(({ action }) =>
        action.startsWith("drift."),
      );

    const knows = [{ tenantId: id, generation: 1, state: "running" } as const];
    await host.post(
      edge,
      await host.report({ type: "host.inventory", tenants: knows, images: [], versions: {}, capacity }),
    );
    await edge.tick();
    expect(await drifts()).toHaveLength(0);

    host.generations.delete(id);
    await host.post(
      edge,
      await host.report({ type: "host.inventory", tenants: [], images: [], versions: {}, capacity }),
    );
    await edge.tick();
    expect((await drifts()).map(({ action }) => action)).toEqual(["drift.missing"]);
    expect(host.generations.get(id)).toBe(1);
    // It was told a moment ago: a second pass waits for its effect.
    await edge.tick();
    expect(await drifts()).toHaveLength(1);
  });

  const inventoryWith = (tenantId: string, value: "running" | "stopped", generation = 5) =>
    host.report({
      type: "host.inventory",
      tenants: [{ tenantId, generation, state: value }],
      images: [],
      versions: {},
      capacity,
    });
  const driftsOf = async (id: string) =>
    (await edge.db.select().from(audit).where(eq(audit.subject, id))).map(({ action }) => action);

  it("ends an agent that it has never heard of after a grace period, tells the operator, and spares its data", async () => {
    const id = newId("tnt");
    await host.post(edge, await inventoryWith(id, "running"));
    await edge.tick();
    await edge.tick();
    expect(await driftsOf(id)).toEqual(["drift.stranger"]);
    const about = () => host.commands.filter((command) => "tenantId" in command && command.tenantId === id);
    expect(about()).toEqual([]);
    const longer = () =>
      edge.db
        .update(audit)
        .set({ at: sql`${audit.at} - ${STRANGER_GRACE_MS}` })
        .where(eq(audit.subject, id));
    await longer();
    await edge.tick();
    expect(about()).toEqual([{ type: "tenant.halt", tenantId: id, generation: 6 }]);
    // The host needs a moment to say that it is done.
    await edge.tick();
    expect(about()).toHaveLength(1);
    expect(await driftsOf(id)).toEqual(["drift.stranger", "drift.halted"]);
    await host.post(edge, await inventoryWith(id, "stopped", 6));
    await longer();
    await edge.tick();
    expect(about()).toHaveLength(1);
  });

  it("purges again what an old copy of a host's journal has brought back long after its deletion", async () => {
    const { id } = (await owner.create()).body;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await proveGone(edge, host, id);
    const longAgo = Date.now() - 40 * 24 * 3_600_000;
    await edge.db.update(tenants).set({ updatedAt: longAgo, purgedAt: longAgo }).where(eq(tenants.id, id));
    await edge.db.delete(outbox).where(eq(outbox.tenantId, id));
    await host.post(edge, await inventoryWith(id, "running", 1));
    await edge.tick();
    expect(host.commands.at(-1)).toEqual({ type: "tenant.purge", tenantId: id, generation: 2 });
    expect(await driftsOf(id)).toContain("drift.left_over");
  });
});

it("how often a host's walls were changed by somebody else is shown to the operator", async () => {
  const drift = { iptables: 3, ufw: 0 };
  await host.post(
    edge,
    await host.report({ type: "host.inventory", tenants: [], images: [], versions: {}, capacity, drift }),
  );
  const list = await edge.send("/api/v1/hosts", { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
  const { hosts: listed } = (await list.json()) as { hosts: { id: string; inventory: { drift: object } }[] };
  expect(listed.find(({ id }) => id === host.enrolment.hostId)?.inventory.drift).toEqual(drift);
});
