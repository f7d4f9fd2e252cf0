import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { newId, type Report, type UnnumberedReport, verifyEnvelope } from "../schema/protocol/index.ts";
import type { Acceptance } from "./journal.ts";
import { silentLog } from "./log.ts";
import { startReportSender } from "./reports.ts";
import { createTestEdge, enrolledJournal, random, type TestEdge, testDirectory } from "./testing.ts";

const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 5 });
const tenantId = newId("tnt");
const progress = (at: number): UnnumberedReport => ({
  type: "tenant.progress",
  at,
  tenantId,
  generation: 1,
  step: "image",
  status: "progress",
});
const inventory = (at: number): UnnumberedReport => ({
  type: "host.inventory",
  at,
  tenants: [],
  images: [],
  versions: {},
  capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 },
});

type Exchange = { edge: TestEdge; body: string; honest: string };
type Misbehaviour = Response | "lose answer" | null;

/** An edge that verifies what comes and acknowledges it, or does what `misbehave` says. */
async function setUp(misbehave: (call: number, it: Exchange) => Misbehaviour | Promise<Misbehaviour> = () => null) {
  const edge = await createTestEdge();
  const path = join(testDirectory(onTestFinished), "journal.db");
  const journal = enrolledJournal(path, edge);
  const batches: Report[][] = [];
  let calls = 0;
  let inFlight = 0;
  const fetchFake = async (_url: unknown, init?: RequestInit) => {
    calls += 1;
    inFlight += 1;
    expect(inFlight).toBe(1);
    try {
      const body = String(init?.body);
      const reports = await open(edge, body);
      const honest = await edge.ack(body, reports.at(-1)?.seq ?? 0);
      const bad = await misbehave(calls, { edge, body, honest });
      if (bad instanceof Response) return bad;
      batches.push(reports);
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (bad) throw new TypeError("connection lost");
      return new Response(honest);
    } finally {
      inFlight -= 1;
    }
  };
  const start = () => {
    const sender = startReportSender({
      journal,
      identity: edge.identity,
      edgeUrl: "http://edge.test",
      log: silentLog,
      nowMs: Date.now,
      random,
      fetch: fetchFake as typeof fetch,
    });
    onTestFinished(() => sender.stop());
    return sender;
  };
  return { edge, journal, path, batches, start, calls: () => calls };
}

async function open(edge: TestEdge, compact: string): Promise<Report[]> {
  const verdict = await verifyEnvelope("report", compact, {
    nowSeconds: Math.floor(Date.now() / 1_000),
    issuer: edge.identity.hostId,
    audience: edge.identity.edge,
    epoch: edge.identity.epoch,
    keys: edge.hostKeys,
  });
  if (!verdict.ok) throw new Error(`report refused: ${JSON.stringify(verdict.refusal)}`);
  return verdict.claims.reports;
}

test("delivers in order, without gaps, and keeps nothing that was acknowledged", async () => {
  const { journal, batches, start } = await setUp();
  for (let at = 0; at < 350; at++) journal.reports.add(progress(at));
  start();
  await until(() => expect(batches.flat()).toHaveLength(350));
  const seqs = batches.flat().map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] ?? 0) + index));
  expect(batches.flat().map(({ at }) => at)).toEqual(seqs.map((_, index) => index));
  await until(() => expect(journal.reports.pending(1, 1e6)).toEqual([]));
});

test("brings home what waited for an outage's end in few calls: 1,000 of the longest words in twenty", async () => {
  const { journal, batches, start, calls } = await setUp();
  const longest = { ...progress(1), detail: "x".repeat(500) } as UnnumberedReport;
  for (let n = 0; n < 1_000; n++) journal.reports.add(longest);
  start();
  await until(() => expect(batches.flat()).toHaveLength(1_000));
  expect(calls()).toBeLessThanOrEqual(20);
});

test("sends what is new at once, and what came meanwhile together", async () => {
  const { journal, batches, start } = await setUp();
  start();
  journal.reports.add(progress(1));
  await until(() => expect(batches).toHaveLength(1));
  for (let at = 2; at < 12; at++) journal.reports.add(progress(at));
  await until(() => expect(batches.flat()).toHaveLength(11));
  expect(batches.length).toBeLessThanOrEqual(3);
});

test("a step waits for the word that comes right behind it, and nothing else waits", async () => {
  const { journal, batches, start } = await setUp();
  start();
  await until(() => expect(batches).toEqual([[]]));
  journal.reports.add(progress(1));
  setTimeout(() => {
    journal.reports.add({ type: "tenant.state", at: 2, tenantId, generation: 1, state: "running" });
    journal.reports.add(progress(3));
  }, 5);
  await until(() => expect(batches.flat()).toHaveLength(3));
  expect(batches[1]?.map(({ type }) => type)).toEqual(["tenant.progress", "tenant.state", "tenant.progress"]);
  journal.reports.add(progress(4));
  await until(() => expect(batches).toHaveLength(3));
});

test("repeats until the edge has acknowledged: refusals, errors and lost answers lose nothing", async () => {
  const refusals = [503, 429, 403].map((status) => new Response("", { status }));
  const faults = [...refusals, "lose answer" as const];
  const { journal, batches, start } = await setUp((call) => faults[call - 1] ?? null);
  journal.reports.add(progress(1));
  start();
  await until(() => expect(journal.reports.pending(1, 1e6)).toEqual([]));
  expect(batches.map((batch) => batch.length)).toEqual([1, 1]);
});

test("goes on when the journal could not be read for a moment", async () => {
  const { journal, batches, start } = await setUp();
  vi.spyOn(journal.reports, "pending").mockImplementationOnce(() => {
    throw new Error("disk I/O error");
  });
  journal.reports.add(progress(1));
  start();
  await until(() => expect(batches).toHaveLength(1));
});

test("carries on after a restart where the edge left off", async () => {
  const { edge, journal, path } = await setUp();
  journal.reports.add(progress(1));
  journal.reports.add(progress(2));
  const [first] = journal.reports.pending(10, 1e6);
  journal.reports.acknowledge(first?.seq ?? 0);
  journal.close();
  const again = enrolledJournal(path, edge);
  again.reports.add(progress(3));
  const pending = again.reports.pending(10, 1e6);
  expect(pending.map(({ at }) => at)).toEqual([2, 3]);
  expect(pending.map(({ seq }) => seq - (first?.seq ?? 0))).toEqual([1, 2]);
  again.close();
});

test("never repeats a number, also when everything was acknowledged before the restart", async () => {
  const { edge, journal, path } = await setUp();
  journal.reports.add(progress(1));
  const last = journal.reports.lastSeq();
  journal.reports.acknowledge(last);
  journal.close();
  const again = enrolledJournal(path, edge);
  again.reports.add(progress(2));
  expect(again.reports.lastSeq()).toBe(last + 1);
  again.close();
});

test("keeps one inventory at most, however long the edge is away", async () => {
  const { journal } = await setUp();
  journal.reports.add(progress(1));
  for (let at = 0; at < 50; at++) journal.reports.add(inventory(at));
  expect(journal.reports.pending(100, 1e6).map(({ type, at }) => [type, at])).toEqual([
    ["tenant.progress", 1],
    ["host.inventory", 49],
  ]);
  journal.close();
});

test("fits an inventory of as many tenants as a host may have into one envelope", async () => {
  const { journal, batches, start } = await setUp();
  const tenants = Array.from({ length: 500 }, () => ({
    tenantId: newId("tnt"),
    generation: 1_000_000,
    state: "suspended" as const,
  }));
  journal.reports.add({ ...inventory(1), tenants } as UnnumberedReport);
  start();
  await until(() => expect(batches).toHaveLength(1));
});

test("stops acting when the edge knows more of this epoch than the journal does", async () => {
  const { journal, start } = await setUp(async (_, it) => new Response(await it.edge.ack(it.body, 5_000)));
  const probe = {
    jti: "j".repeat(22),
    hash: "h".repeat(43),
    expSeconds: 9e9,
    atMs: 0,
    command: { type: "host.probe" },
  };
  const accept = () => journal.accept([probe as Acceptance]);
  expect(accept()).toEqual([{ status: "accepted" }]);
  start();
  await until(() => expect(accept).toThrow(/old copy/));
});

test("asks after its journal at every start, also when there is nothing to report", async () => {
  const { batches, start, calls } = await setUp();
  start();
  await until(() => expect(batches).toEqual([[]]));
  expect(calls()).toBe(1);
});

const forgeries: Record<string, (it: Exchange) => Promise<string>> = {
  "in the clear": async () => JSON.stringify({ ackedSeq: 1 }),
  "of another report": ({ edge }) => edge.ack("another report", 1),
  "for another host": ({ edge, body }) => edge.ack(body, 1, { aud: newId("hst") }),
  "of an older epoch": ({ edge, body }) => edge.ack(body, 1, { epoch: 9 }),
  "that is old": ({ edge, body }) => edge.ack(body, 1, { iat: 1, nbf: 1, exp: 61 }),
  "of another edge": async ({ body }) => (await createTestEdge()).ack(body, 1),
  "larger than any": async ({ honest }) => honest + "A".repeat(1_000_000),
};

test.each(Object.entries(forgeries))("forgets nothing for an acknowledgement %s", async (_, forge) => {
  let forged = 0;
  const { journal, batches, start } = await setUp(async (_call, it) => {
    forged += 1;
    return forged > 2 ? null : new Response(await forge(it));
  });
  journal.reports.add(progress(1));
  start();
  await until(() => expect(forged).toBe(2));
  expect(journal.reports.pending(1, 1e6)).toHaveLength(1);
  await until(() => expect(journal.reports.pending(1, 1e6)).toEqual([]));
  expect(batches).toHaveLength(1);
});

test("cuts a detail that is too long instead of losing the report", async () => {
  const { journal } = await setUp();
  journal.reports.add({ ...progress(1), detail: "x".repeat(5_000) } as UnnumberedReport);
  expect(journal.reports.pending(1, 1e6)[0]).toMatchObject({ detail: "x".repeat(500) });
  journal.close();
});
