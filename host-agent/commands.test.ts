import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type Command, envelopeHash, newId, verifyLedger } from "../schema/protocol/index.ts";
import { createCommandDesk } from "./commands.ts";
import { openJournal } from "./journal.ts";
import { silentLog } from "./log.ts";
import { applyCommand, createTestEdge, enrolledJournal, random, testDirectory } from "./testing.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");

async function setUp(directory = testDirectory(onTestFinished)) {
  const edge = await createTestEdge();
  const path = join(directory, "journal.db");
  const clock = { ms: NOW };
  const open = async () => {
    const journal = enrolledJournal(path, edge);
    const taken: string[] = [];
    const desk = await createCommandDesk({
      identity: edge.identity,
      journal,
      log: silentLog,
      nowMs: () => clock.ms,
      random,
      onAccepted: (command) => taken.push(command.type),
    });
    const answer = async (compact: string) => edge.outcome(await desk(compact), clock.ms);
    return { journal, answer, taken };
  };
  return { edge, path, clock, open };
}

describe("replay", () => {
  test("answers the same envelope with the same result, and takes it on once", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const envelope = await edge.sign(applyCommand(newId("tnt")), NOW);
    expect(await answer(envelope)).toEqual({ status: "accepted" });
    const reports = journal.reports.lastSeq();
    expect(await answer(envelope)).toEqual({ status: "accepted" });
    expect(journal.reports.lastSeq()).toBe(reports);
    journal.close();
  });

  test("remembers a command after a restart", async () => {
    const { edge, open } = await setUp();
    const first = await open();
    const tenantId = newId("tnt");
    const old = await edge.sign(applyCommand(tenantId), NOW);
    await first.answer(old);
    await first.answer(await edge.sign(applyCommand(tenantId, { generation: 2, desired: "stopped" }), NOW));
    first.journal.close();
    const second = await open();
    expect(await second.answer(old)).toEqual({ status: "accepted" });
    expect(second.journal.tenants.get(tenantId)).toMatchObject({ generation: 2, goal: "stopped" });
    second.journal.close();
  });

  test("refuses other bytes under a used jti", async () => {
    const { edge, open } = await setUp();
    const { answer, journal, taken } = await open();
    const jti = Buffer.alloc(16, 7).toString("base64url");
    await answer(await edge.sign(applyCommand(newId("tnt")), NOW, { jti }));
    const other = newId("tnt");
    expect(await answer(await edge.sign(applyCommand(other), NOW, { jti }))).toEqual({
      status: "refused",
      reason: "jti_reused",
    });
    expect(journal.tenants.get(other)).toBeUndefined();
    expect(taken).toHaveLength(1);
    journal.close();
  });

  test("takes one of two twins that arrive at once", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    const envelope = await edge.sign(applyCommand(tenantId), NOW);
    const twin = await edge.sign(applyCommand(tenantId), NOW);
    const outcomes = await Promise.all([answer(envelope), answer(envelope), answer(twin)]);
    expect(outcomes.map((outcome) => outcome?.status).sort()).toEqual(["accepted", "accepted", "already_applied"]);
    expect(journal.reports.pending(100, 1e6).filter(({ type }) => type === "tenant.progress")).toHaveLength(1);
    journal.close();
  });

  test("keeps the replay window shut when the clock jumps ahead and back", async () => {
    const { edge, open, clock } = await setUp();
    const { answer, journal } = await open();
    const jti = Buffer.alloc(16, 9).toString("base64url");
    await answer(await edge.sign(applyCommand(newId("tnt")), NOW, { jti }));
    clock.ms = NOW + 600_000;
    await answer(await edge.sign(applyCommand(newId("tnt")), clock.ms));
    clock.ms = NOW;
    expect(await answer(await edge.sign(applyCommand(newId("tnt")), NOW, { jti }))).toMatchObject({
      reason: "jti_reused",
    });
    journal.close();
  });

  test("forgets a jti a day after its envelope expired", async () => {
    const { edge, open, clock, path } = await setUp();
    const { answer, journal } = await open();
    await answer(await edge.sign(applyCommand(newId("tnt")), NOW));
    clock.ms = NOW + 25 * 3_600_000;
    await answer(await edge.sign(applyCommand(newId("tnt")), clock.ms));
    journal.close();
    const count = new DatabaseSync(path).prepare("SELECT count(*) AS count FROM commands").get();
    expect(count).toEqual({ count: 1 });
  });
});

describe("generations", () => {
  test("calls the same word with freshly sealed secrets already applied", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    const sealed = async () =>
      edge.sign(applyCommand(tenantId, { secretsJwe: await edge.seal(tenantId, 1, { A: "1" }) }), NOW);
    expect(await answer(await sealed())).toEqual({ status: "accepted" });
    expect(await answer(await sealed())).toEqual({ status: "already_applied" });
    journal.close();
  });

  test("refuses an older word: a stop that a start has overtaken", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    const stop = await edge.sign(applyCommand(tenantId, { generation: 2, desired: "stopped" }), NOW);
    await answer(await edge.sign(applyCommand(tenantId, { generation: 3 }), NOW));
    expect(await answer(stop)).toEqual({ status: "refused", reason: "generation_stale", have: 3 });
    expect(journal.tenants.get(tenantId)?.goal).toBe("running");
    journal.close();
  });

  test.each([
    ["another desired state", applyCommand, { desired: "stopped" as const }],
    ["secrets where there were none", applyCommand, { secretsJwe: "e.e.e.e.e" }],
    ["more restarts", applyCommand, { restarts: 1 }],
  ])("refuses one generation with %s", async (_, build, change) => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    await answer(await edge.sign(build(tenantId), NOW));
    expect(await answer(await edge.sign(build(tenantId, change), NOW))).toEqual({
      status: "refused",
      reason: "generation_conflict",
      have: 1,
    });
    journal.close();
  });

  test("takes no word for a tenant after its purge", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    await answer(await edge.sign({ type: "tenant.purge", tenantId, generation: 4 }, NOW));
    const outcomes = [
      await answer(await edge.sign(applyCommand(tenantId, { generation: 5 }), NOW)),
      await answer(await edge.sign({ type: "tenant.purge", tenantId, generation: 6 }, NOW)),
      await answer(await edge.sign({ type: "tenant.purge", tenantId, generation: 3 }, NOW)),
    ];
    expect(outcomes).toEqual([
      { status: "refused", reason: "tenant_purged", have: 4 },
      { status: "already_applied" },
      { status: "refused", reason: "generation_stale", have: 4 },
    ]);
    journal.close();
  });
});

describe("keys", () => {
  test("changes the keyset at once, keeps it over a restart, and never goes back", async () => {
    const { edge, open } = await setUp();
    const first = await open();
    const other = { kid: "next", x: edge.keyset.keys[0]?.x ?? "" };
    const keysets = [2, 1].map((version) => ({ version, keys: [...edge.keyset.keys, other] }));
    const apply = (generation: number, index: number) =>
      edge.sign({ type: "host.apply", generation, keyset: keysets[index] as (typeof keysets)[0] }, NOW);
    expect(await first.answer(await apply(1, 0))).toEqual({ status: "accepted" });
    expect(await first.answer(await apply(1, 0))).toEqual({ status: "already_applied" });
    expect(await first.answer(await apply(2, 1))).toEqual({ status: "refused", reason: "keyset_stale", have: 2 });
    first.journal.close();
    const second = await open();
    expect(second.journal.keyset()).toEqual(keysets[0]);
    expect(() => second.journal.adopt({ epoch: 2, keyset: edge.keyset }, 200_000)).toThrow(/keyset 1/);
    second.journal.close();
  });

  test("refuses a retired key from the moment of its retirement", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const next = await createTestEdge();
    const command = { type: "host.apply" as const, generation: 1, keyset: { version: 2, keys: next.keyset.keys } };
    expect(await answer(await edge.sign(command, NOW))).toEqual({ status: "accepted" });
    expect(await answer(await edge.sign(applyCommand(newId("tnt")), NOW))).toBeNull();
    journal.close();
  });

  test("keeps the control plane's addresses over a restart, and an edge that names none changes nothing", async () => {
    const { edge, open } = await setUp();
    const first = await open();
    const controlPlane = { networks: ["203.0.113.0/24"], https: ["203.0.113.7/32"] };
    const apply = (generation: number, more: object) =>
      edge.sign({ type: "host.apply", generation, keyset: edge.keyset, ...more }, NOW);
    expect(first.journal.controlPlane()).toBeNull();
    expect(await first.answer(await apply(1, { controlPlane }))).toEqual({ status: "accepted" });
    expect(await first.answer(await apply(1, {}))).toMatchObject({ reason: "generation_conflict" });
    first.journal.close();
    const second = await open();
    expect(await second.answer(await apply(2, {}))).toEqual({ status: "accepted" });
    expect(second.journal.controlPlane()).toEqual(controlPlane);
    second.journal.close();
  });

  test("refuses a command of another epoch", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    expect(await answer(await edge.sign(applyCommand(newId("tnt")), NOW, { epoch: 2 }))).toBeNull();
    journal.close();
  });
});

describe("the ledger", () => {
  test("holds every command that was taken on about an agent, in one chain over restarts and enrolments, and no other", async () => {
    const { edge, open } = await setUp();
    const [tenantId, other] = [newId("tnt"), newId("tnt")];
    const first = await open();
    const envelopes = [
      await edge.sign(applyCommand(tenantId), NOW),
      await edge.sign(applyCommand(tenantId, { generation: 2, desired: "stopped" }), NOW),
    ];
    for (const envelope of envelopes) await first.answer(envelope);
    // Heard before, refused, and about somebody else.
    await first.answer(envelopes[0] as string);
    await first.answer(await edge.sign(applyCommand(tenantId, { generation: 1, restarts: 3 }), NOW));
    await first.answer(await edge.sign(applyCommand(other), NOW));
    first.journal.close();
    const second = await open();
    second.journal.adopt({ ...edge.identity, epoch: 2 }, 200_000);
    const purge = { type: "tenant.purge", tenantId, generation: 3 } as const;
    await second.journal.accept([
      { jti: "p".repeat(22), hash: "h".repeat(43), expSeconds: 9e9, atMs: NOW, command: purge },
    ]);
    const entries = second.journal.reports
      .pending(1_000, 1e9)
      .flatMap((report) => (report.type === "tenant.command" && report.tenantId === tenantId ? [report.entry] : []));
    expect(entries.map(({ number, epoch, type, generation }) => [number, epoch, type, generation])).toEqual([
      [1, 1, "tenant.apply", 1],
      [2, 1, "tenant.apply", 2],
      [3, 2, "tenant.purge", 3],
    ]);
    expect(entries[0]?.commandHash).toBe(await envelopeHash(envelopes[0] as string));
    expect(await verifyLedger(tenantId, entries)).toEqual({ ok: true });
    second.journal.close();
  });
});

describe("the journal", () => {
  test("gives up its file to one agent at a time", async () => {
    const { open, path } = await setUp();
    const { journal } = await open();
    expect(() => openJournal(path)).toThrow(/another host agent/);
    journal.close();
    openJournal(path).close();
  });

  test("writes what comes together in one transaction, and without the one that cannot be written", async () => {
    const { edge, clock, open } = await setUp();
    const { answer, journal, taken } = await open();
    const ids = [newId("tnt"), newId("tnt"), newId("tnt")];
    const real = journal.accept.bind(journal);
    const sizes: number[] = [];
    vi.spyOn(journal, "accept").mockImplementation((batch) => {
      sizes.push(batch.length);
      if (batch.some(({ command }) => "tenant" in command && command.tenant.id === ids[1])) throw new Error("no");
      return real(batch);
    });
    const envelopes = await Promise.all(ids.map((id) => edge.sign(applyCommand(id), NOW)));
    vi.useFakeTimers({ toFake: ["setImmediate"] });
    onTestFinished(() => void vi.useRealTimers());
    let looksAtClock = 0;
    const look = () => {
      looksAtClock += 1;
      return NOW;
    };
    Object.defineProperty(clock, "ms", { get: look });
    const answers = envelopes.map(answer);
    // Each looks twice: when it verifies, and when it stands in line.
    while (looksAtClock < 2 * ids.length) await new Promise((resolve) => setTimeout(resolve, 1));
    vi.runAllTimers();
    const outcomes = await Promise.all(answers);
    expect(outcomes.map((outcome) => outcome?.status).sort()).toEqual(["accepted", "accepted", "refused"]);
    expect(sizes).toEqual([3, 1, 1, 1]);
    expect(taken).toHaveLength(2);
    expect(journal.tenants.get(ids[1] ?? "")).toBeUndefined();
    journal.close();
  });

  test("takes no late word about a generation that was overtaken", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    for (const generation of [1, 2]) await answer(await edge.sign(applyCommand(tenantId, { generation }), NOW));
    const said = journal.reports.lastSeq();
    const late = { steps: [{ step: "route", status: "done" }], state: { state: "running" } } as const;
    expect(journal.tenants.note({ tenantId, generation: 1, atMs: NOW, ...late })).toBe(false);
    expect(journal.reports.lastSeq()).toBe(said);
    expect(journal.tenants.get(tenantId)).toMatchObject({ generation: 2, state: "creating" });
    journal.close();
  });

  test("acts on nothing once the edge has seen more of the epoch than it holds", async () => {
    const { edge, open } = await setUp();
    const { answer, journal, taken } = await open();
    journal.confirm(Number.MAX_SAFE_INTEGER);
    expect(await answer(await edge.sign(applyCommand(newId("tnt")), NOW))).toEqual({
      status: "refused",
      reason: "journal_unavailable",
    });
    expect(taken).toEqual([]);
    journal.adopt({ ...edge.identity, epoch: 2 }, 200_000);
    expect(journal.reports.lastSeq()).toBeGreaterThanOrEqual(2 ** 32);
    journal.close();
  });

  test("takes no command before the edge has confirmed that it is the newest", async () => {
    const { edge, path, open } = await setUp();
    (await open()).journal.close();
    const journal = openJournal(path);
    const taken: Command[] = [];
    const desk = await createCommandDesk({
      ...{ identity: edge.identity, journal, log: silentLog, nowMs: () => NOW, random, confirmWithinMs: 5 },
      onAccepted: (command) => void taken.push(command),
    });
    const say = async (command: Command) => edge.outcome(await desk(await edge.sign(command, NOW)), NOW);
    const commands: Command[] = [
      applyCommand(newId("tnt")),
      { type: "tenant.purge", tenantId: newId("tnt"), generation: 1 },
      { type: "host.apply", generation: 1, keyset: { ...edge.keyset, version: 2 } },
      { type: "host.probe" },
    ];
    for (const command of commands) {
      expect(await say(command)).toEqual({ status: "refused", reason: "journal_unavailable" });
    }
    expect(taken).toEqual([]);
    journal.confirm(0);
    for (const command of commands) expect(await say(command)).toEqual({ status: "accepted" });
    journal.close();
  });

  test("brings no agent back that an old copy of it still knows, once the host is enrolled again", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    await answer(await edge.sign(applyCommand(tenantId), NOW));
    journal.tenants.place(tenantId, 8);
    journal.confirm(Number.MAX_SAFE_INTEGER);
    journal.adopt({ ...edge.identity, epoch: 2 }, 200_000);
    // Nobody says any more that it is wanted. Who is, the edge tells again.
    expect(journal.tenants.all()).toEqual([]);
    const word = {
      jti: "x".repeat(22),
      hash: "x".repeat(43),
      expSeconds: 0,
      atMs: NOW,
      command: applyCommand(tenantId),
    };
    expect(journal.accept([word])).toEqual([{ status: "accepted" }]);
    expect(journal.tenants.place(tenantId, 8)).toEqual({ uid: 200_000 + 65_536, slot: 0 });
    journal.close();
  });

  test("keeps its agents when the host is enrolled again for another reason", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    await answer(await edge.sign(applyCommand(tenantId), NOW));
    journal.adopt({ ...edge.identity, epoch: 2 }, 200_000);
    expect(journal.tenants.all().map(({ id }) => id)).toEqual([tenantId]);
    journal.close();
  });

  test("tells an edge that asks again, also when the clock was set back since it last did", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    await answer(await edge.sign(applyCommand(tenantId), NOW));
    const told = () => journal.reports.pending(100, 1e6).filter(({ type }) => type === "tenant.state").length;
    for (const [atMs, total] of [
      [NOW, 2],
      [NOW + 1_000, 2],
      [NOW - 86_400_000, 3],
    ] as const) {
      journal.tenants.repeatState(tenantId, atMs);
      expect(told()).toBe(total);
    }
    journal.close();
  });

  test("holds no byte of a purged tenant's secrets, whose key lies beside it", async () => {
    const { edge, open, path } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    const secretsJwe = "SEALED".repeat(500);
    await answer(await edge.sign(applyCommand(tenantId, { secretsJwe }), NOW));
    await answer(await edge.sign({ type: "tenant.purge", tenantId, generation: 2 }, NOW));
    const isLeft = () => [path, `${path}-wal`].map((file) => readFileSync(file).includes("SEALED"));
    expect(isLeft()).toContain(true);
    // Before the word that nothing is left, and while the journal is open: its log is part of it.
    journal.tenants.note({ tenantId, generation: 2, atMs: NOW, state: { state: "purged" }, receipt: "signed" });
    expect(isLeft()).toEqual([false, false]);
    journal.close();
    expect(readFileSync(path).includes("SEALED")).toBe(false);
  });

  test("vouches for nothing when an agent has only moved away, also when it is back", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const tenantId = newId("tnt");
    await answer(await edge.sign(applyCommand(tenantId), NOW));
    await answer(await edge.sign({ type: "tenant.purge", tenantId, generation: 2, moved: true }, NOW));
    journal.tenants.note({ tenantId, generation: 2, atMs: NOW, state: { state: "purged" }, receipt: "signed" });
    await answer(await edge.sign(applyCommand(tenantId, { generation: 3 }), NOW));
    journal.tenants.note({ tenantId, generation: 3, atMs: NOW, state: { state: "running" } });
    journal.tenants.repeatState(tenantId, NOW);
    const said = journal.reports.pending(100, 1e6).map((it) => ("state" in it ? it.state : it.type));
    expect(said).not.toContain("purged");
    expect(said).not.toContain("tenant.receipt");
    journal.close();
  });

  test("lists its tenants as they are, after every change and after one that did not come true", async () => {
    const { edge, open } = await setUp();
    const { answer, journal } = await open();
    const { tenants } = journal;
    const [id, other] = [newId("tnt"), newId("tnt")];
    const listed = () => tenants.all().find((record) => record.id === id);
    const bedtime = { tenantId: id, generation: 1, depth: "stopped", sinceMs: NOW, wakeAtMs: null, atMs: NOW } as const;
    const state = (word: "running" | "purged", generation: number) =>
      tenants.note({ tenantId: id, generation, atMs: NOW, state: { state: word } });
    const changes: (() => unknown)[] = [
      async () => answer(await edge.sign(applyCommand(id), NOW)),
      () => tenants.place(id, 2),
      () => state("running", 1),
      () => tenants.sleep(bedtime),
      () => tenants.awake(id, { running: true, atMs: NOW }),
      async () => answer(await edge.sign(applyCommand(id, { generation: 2, restarts: 1 }), NOW)),
      async () => answer(await edge.sign({ type: "tenant.halt", tenantId: id, generation: 3 }, NOW)),
      async () => answer(await edge.sign({ type: "tenant.purge", tenantId: id, generation: 4 }, NOW)),
    ];
    for (const change of changes) {
      const before = listed();
      await change();
      expect(listed()).toEqual(tenants.get(id));
      expect(listed()).not.toEqual(before);
    }
    const acceptance = { hash: "x".repeat(43), expSeconds: 0, atMs: NOW, command: applyCommand(other) };
    const broken = [
      { ...acceptance, jti: "a".repeat(22) },
      { ...acceptance, jti: null as never },
    ];
    expect(() => journal.accept(broken)).toThrow();
    expect(tenants.all()).toHaveLength(1);
    state("purged", 4);
    expect(tenants.all()).toEqual([]);
    journal.close();
  });

  test("gives no UID twice, also not after the journal was lost and the host enrolled again", async () => {
    const { edge, open, path } = await setUp();
    const { answer, journal } = await open();
    const ids = [newId("tnt"), newId("tnt"), newId("tnt")];
    for (const id of ids) await answer(await edge.sign(applyCommand(id), NOW));
    const given = ids.map((id) => journal.tenants.place(id, 2));
    expect(given).toEqual([{ uid: 200_000, slot: 0 }, { uid: 200_001, slot: 1 }, null]);
    journal.close();
    for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
    const fresh = openJournal(path);
    fresh.adopt({ ...edge.identity, epoch: 2 }, 200_000);
    fresh.accept([
      { jti: "x".repeat(22), hash: "x".repeat(43), expSeconds: 0, atMs: NOW, command: applyCommand(newId("tnt")) },
    ]);
    const [tenant] = fresh.tenants.all();
    expect(fresh.tenants.place(tenant?.id ?? "", 2)?.uid).toBe(200_000 + 65_536);
    fresh.close();
  });

  test.skipIf(process.getuid?.() !== 0)(
    "neither does nor acknowledges what a full disk kept it from writing",
    async () => {
      const directory = testDirectory(onTestFinished);
      const small = join(directory, "small");
      mkdirSync(small);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k", "chelar-test", small]);
      onTestFinished(() => void execFileSync("umount", ["--lazy", small]));
      const { edge, open } = await setUp(small);
      const { answer, journal, taken } = await open();
      const filler = join(small, "filler");
      for (let bytes = 512 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
        try {
          writeFileSync(filler, Buffer.alloc(bytes), { flag: "a" });
        } catch {}
      }
      const tenantId = newId("tnt");
      const envelope = await edge.sign(applyCommand(tenantId), NOW);
      expect(await answer(envelope)).toEqual({ status: "refused", reason: "journal_unavailable" });
      expect(taken).toEqual([]);
      expect(journal.tenants.get(tenantId)).toBeUndefined();
      rmSync(filler);
      expect(await answer(envelope)).toEqual({ status: "accepted" });
      expect(journal.tenants.get(tenantId)?.generation).toBe(1);
      journal.close();
    },
  );
});
