import fc from "fast-check";
import { expect, test } from "vitest";
import { newId } from "../../schema/protocol/index.ts";
import { lowestFreeSlot } from "../journal-rules.ts";
import { parsePool, tenantLayout } from "./layout.ts";

const inputs = { pool: "10.213.0.0/16", stateDir: "/var/lib/chelar", runDir: "/run/chelar" };

test("lays out a tenant word for word", () => {
  expect(tenantLayout({ ...inputs, tenantId: "tnt_abcdefghijklmnopqrstuvwxyz", uid: 200_000, slot: 17 })).toEqual({
    tenantId: "tnt_abcdefghijklmnopqrstuvwxyz",
    uid: 200_000,
    slot: 17,
    network: "chl17",
    subnet: "10.213.1.16/28",
    gateway: "10.213.1.17",
    address: "10.213.1.18",
    containerName: "chelar-tnt_abcdefghijklmnopqrstuvwxyz",
    hostname: "agent-abcdefghijkl",
    volumeDir: "/var/lib/chelar/volumes/tnt_abcdefghijklmnopqrstuvwxyz",
    dataDir: "/var/lib/chelar/mounts/tnt_abcdefghijklmnopqrstuvwxyz",
    configDir: "/var/lib/chelar/config/tnt_abcdefghijklmnopqrstuvwxyz",
    envDir: "/run/chelar/env/tnt_abcdefghijklmnopqrstuvwxyz",
  });
});

test("gives two slots nothing in common, and keeps every bridge's name within the kernel's 15 characters", () => {
  const { slots } = parsePool(inputs.pool);
  const slot = fc.integer({ min: 0, max: slots - 1 });
  fc.assert(
    fc.property(slot, slot, (a, b) => {
      fc.pre(a !== b);
      const [one, other] = [a, b].map((slot) => tenantLayout({ ...inputs, tenantId: newId("tnt"), uid: 1, slot }));
      for (const key of ["network", "subnet", "gateway", "address", "dataDir"] as const) {
        expect(one?.[key]).not.toBe(other?.[key]);
      }
      expect(one?.network.length).toBeLessThanOrEqual(15);
    }),
  );
});

test.each([-1, 1.5, 4096, Number.NaN])("refuses slot %s, which lies outside the pool", (slot) => {
  expect(() => tenantLayout({ ...inputs, tenantId: newId("tnt"), uid: 1, slot })).toThrow(RangeError);
});

test.each(["", "10.0.0.0", "10.0.0.0/7", "10.0.0.0/25", "10.0.0.1/16", "256.0.0.0/16", "::/16", "10.0.0.0/16 "])(
  "refuses the pool %j",
  (pool) => {
    expect(() => parsePool(pool)).toThrow(RangeError);
  },
);

test("gives the lowest free slot, and none when all are taken", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat({ max: 20 })), (taken) => {
      const sorted = [...taken].sort((a, b) => a - b);
      const free = Array.from({ length: 21 }, (_, slot) => slot).find((slot) => !taken.includes(slot)) ?? null;
      expect(lowestFreeSlot(sorted, 21)).toBe(free);
    }),
  );
});
