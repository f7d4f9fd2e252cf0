import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  choosePlace,
  decideLeftBehind,
  decideStranger,
  findDrift,
  type HostRoom,
  type Need,
  overtakingGeneration,
  retryDelayMs,
  SETTLE_MS,
  STRANGER_GRACE_MS,
} from "./rules.ts";

const room: fc.Arbitrary<HostRoom> = fc.record({
  id: fc.string({ minLength: 1, maxLength: 4 }),
  region: fc.constantFrom("fsn", "hel"),
  memoryMiB: fc.nat(8192),
  diskMiB: fc.nat(8192),
  maxTenants: fc.nat(10),
  usedMemoryMiB: fc.nat(8192),
  usedDiskMiB: fc.nat(8192),
  usedTenants: fc.nat(10),
});

const need: fc.Arbitrary<Need> = fc.record({
  memoryMiB: fc.nat(4096),
  diskMiB: fc.nat(4096),
  region: fc.constantFrom(null, "fsn", "hel", "nowhere"),
});

describe("choosePlace", () => {
  it("never overbooks, and finds a place whenever there is one", () => {
    fc.assert(
      fc.property(fc.uniqueArray(room, { selector: ({ id }) => id }), need, (rooms, need) => {
        const fits = (it: HostRoom) =>
          it.usedMemoryMiB + need.memoryMiB <= it.memoryMiB &&
          it.usedDiskMiB + need.diskMiB <= it.diskMiB &&
          it.usedTenants < it.maxTenants &&
          (need.region === null || need.region === it.region);
        const id = choosePlace(rooms, need);
        const chosen = rooms.find((it) => it.id === id);
        expect(chosen ? fits(chosen) : rooms.every((it) => !fits(it))).toBe(true);
      }),
    );
  });
});

describe("retryDelayMs", () => {
  it("grows with the attempts, stays between one second and five minutes, and is never the same for all", () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
        const delay = retryDelayMs(attempts, random);
        expect(delay).toBeGreaterThanOrEqual(1_000);
        expect(delay).toBeLessThanOrEqual(300_000);
        expect(retryDelayMs(attempts + 1, random)).toBeGreaterThanOrEqual(delay);
      }),
    );
    expect(retryDelayMs(3, 0)).not.toBe(retryDelayMs(3, 1));
  });
});

describe("findDrift", () => {
  const now = 10_000_000;
  const settled = {
    id: "t",
    desired: "running" as const,
    generation: 3,
    updatedAt: now - 2 * SETTLE_MS,
    observed: "running",
    observedGeneration: 3,
  };
  const seen = { at: now, tenants: [{ tenantId: "t", generation: 3, state: "running" as const }] };
  const kinds = (...args: Parameters<typeof findDrift>) => findDrift(...args).map(({ kind }) => kind);

  it("is silent when the host has what is wanted", () => expect(kinds([settled], seen, now)).toEqual([]));
  it("leaves a fresh change alone", () =>
    expect(kinds([{ ...settled, updatedAt: now, observedGeneration: 2 }], seen, now)).toEqual([]));
  it("names a generation that the host has not answered", () =>
    expect(kinds([{ ...settled, observedGeneration: 2 }], null, now)).toEqual(["unheard"]));
  it("names a tenant that the host does not know", () =>
    expect(kinds([settled], { ...seen, tenants: [] }, now)).toEqual(["missing"]));
  it("names what is still there though it should be gone", () =>
    expect(kinds([{ ...settled, desired: "deleted" }], seen, now)).toEqual(["left_over"]));
  it("believes no inventory that is older than the change", () =>
    expect(kinds([settled], { at: settled.updatedAt, tenants: [] }, now)).toEqual([]));
  it("says nothing of who is there while it has no inventory", () => expect(kinds([settled], null, now)).toEqual([]));
});

describe("an agent that the edge has never heard of", () => {
  const [now, longAgo] = [10 * STRANGER_GRACE_MS, STRANGER_GRACE_MS];
  it.each([
    ["noted when it is first seen, whatever it does", { state: "stopped", firstSeenAt: null, haltedAt: null }, "note"],
    ["left in peace for an hour", { state: "running", firstSeenAt: now - 1, haltedAt: null }, "wait"],
    ["ended after that", { state: "running", firstSeenAt: longAgo, haltedAt: null }, "halt"],
    ["not told twice at once", { state: "running", firstSeenAt: longAgo, haltedAt: now - 1 }, "wait"],
    ["told again when it goes on", { state: "running", firstSeenAt: longAgo, haltedAt: now - SETTLE_MS }, "halt"],
    ["left alone when it has ended", { state: "stopped", firstSeenAt: longAgo, haltedAt: null }, "rest"],
  ] as const)("is %s", (_, seen, step) => expect(decideStranger(seen, now)).toBe(step));
});

describe("what an agent has left behind", () => {
  const moved = { isDeleted: false, departure: { restore: 3, lost: false }, restored: { number: 3, ok: true } };
  it.each([
    ["destroyed when its copy is open elsewhere", {}, "purge_moved"],
    ["destroyed by a later copy just as well", { restored: { number: 4, ok: true } }, "purge_moved"],
    ["kept while the copy is not open yet", { restored: null }, "wait"],
    ["kept while an older copy is open", { restored: { number: 2, ok: true } }, "wait"],
    ["kept when the copy could not be opened", { restored: { number: 3, ok: false } }, "wait"],
    ["the operator's to judge when the host was lost", { departure: { restore: 3, lost: true } }, "ask"],
    ["the operator's to judge when nobody remembers the move", { departure: null }, "ask"],
    ["destroyed with its agent, remembered or not", { isDeleted: true, departure: null, restored: null }, "purge"],
  ] as const)("is %s", (_, change, step) => expect(decideLeftBehind({ ...moved, ...change })).toBe(step));
});

it("a host that names an impossible generation is not followed there", () => {
  expect([overtakingGeneration(3, 7), overtakingGeneration(7, 3)]).toEqual([8, 8]);
  expect([overtakingGeneration(3, 1_000_003), overtakingGeneration(3, 1_000_004)]).toEqual([1_000_004, null]);
  expect(overtakingGeneration(3, Number.MAX_SAFE_INTEGER)).toBeNull();
});
