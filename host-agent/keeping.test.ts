import { expect, onTestFinished, test } from "vitest";
import type { TenantRecord } from "./journal.ts";
import type { Kept } from "./journal-data.ts";
import { startKeeping } from "./keeping.ts";
import { silentLog } from "./log.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");
const MINUTE_MS = 60_000;

/** Tenants whose volumes hold a little, and whom of them each round has looked at. */
function keepingOf(records: readonly Partial<TenantRecord>[]) {
  const all = records.map((record, slot) => ({
    ...{ id: `tnt_${slot}`, goal: "running", uid: 200_000 + slot, slot, spec: {}, asleep: null, asleepSinceMs: null },
    ...record,
  })) as unknown as TenantRecord[];
  let looked: string[] = [];
  const volumes = {
    recount: async () => false,
    usage: async () => new Map(all.map(({ id }) => [id, { usedBytes: 1, limitBytes: 100 }])),
    freeze: async (layout: { tenantId: string }) => void looked.push(layout.tenantId),
    snapshots: { list: async () => [] },
  };
  const keeping = startKeeping({
    journal: {
      tenants: { all: () => all, get: (id: string) => all.find((record) => record.id === id) },
      data: { get: () => ({ strays: 0, told: null }) as unknown as Kept, put: () => {} },
    } as never,
    ports: { volumes, copies: { isThere: false } } as never,
    tenantOf: ({ id, spec }) => ({ spec, layout: { tenantId: id, dataDir: "/nowhere" } }) as never,
    keyOf: async () => null,
    log: silentLog,
    nowMs: () => NOW,
  });
  onTestFinished(() => keeping.stop());
  return async () => {
    looked = [];
    await keeping.round();
    return looked;
  };
}

const since = (minutes: number) => ({ asleep: "stopped", asleepSinceMs: NOW - minutes * MINUTE_MS }) as const;

test("of those who have slept for a while, each is looked at in one round of ten", async () => {
  const round = keepingOf(Array.from({ length: 25 }, () => since(60)));
  const rounds: string[][] = [];
  for (let n = 0; n < 10; n++) rounds.push(await round());
  expect(rounds.flat().sort()).toEqual(Array.from({ length: 25 }, (_, slot) => `tnt_${slot}`).sort());
  expect(Math.max(...rounds.map((looked) => looked.length))).toBeLessThanOrEqual(3);
});

test("who is awake, frozen or has only just fallen asleep is looked at in every round", async () => {
  const round = keepingOf([{}, { ...since(60), asleep: "paused" }, since(0), since(60)]);
  for (let n = 0; n < 3; n++) expect(await round()).toEqual(expect.arrayContaining(["tnt_0", "tnt_1", "tnt_2"]));
});
