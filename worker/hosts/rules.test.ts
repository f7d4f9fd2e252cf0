import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { choosePlace, findDrift, type HostRoom, type Need, retryDelayMs, SETTLE_MS } from "./rules.ts";

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
});
