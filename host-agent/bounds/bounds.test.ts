import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Kept } from "../journal-data.ts";
import type { TenantRecord } from "../journal-records.ts";
import { createLog } from "../log.ts";
import { tenantLayout } from "../tenants/layout.ts";
import { startBounds } from "./index.ts";
import { closedBridges, closing, counted, type Egress, levelOf, receivedBytes } from "./rules.ts";

const MIB = 2 ** 20;

describe("what leaves an agent", () => {
  it("is counted once, whatever the looks, and across bridges that are made anew", () => {
    const sends = fc.array(fc.record({ bytes: fc.nat(1_000_000), isNew: fc.boolean() }), { maxLength: 40 });
    fc.assert(
      fc.property(sends, (story) => {
        let [egress, counter, all] = [counted(undefined, 0, "2026-11-22"), 0, 0];
        for (const { bytes, isNew } of story) {
          // The kernel's new bridge begins at zero, and whatever it shows then is all its own.
          if (isNew) counter = 0;
          if (isNew) egress = counted(egress, counter, "2026-11-22");
          counter += bytes;
          all += bytes;
          egress = counted(egress, counter, "2026-11-22");
        }
        expect(egress.bytes).toBe(all);
      }),
    );
  });

  it("begins anew with the day, and not when the clock is set back", () => {
    const late: Egress = { day: "2026-11-22", bytes: 900, counter: 1_000, told: "near" };
    expect(counted(late, 1_100, "2026-11-23")).toEqual({ day: "2026-11-23", bytes: 100, counter: 1_100, told: "open" });
    expect(counted(late, 1_100, "2026-11-21")).toEqual({
      day: "2026-11-22",
      bytes: 1_000,
      counter: 1_100,
      told: "near",
    });
  });

  it("is told before the bound and closed at it", () => {
    expect([79, 80, 99, 100, 101].map((mib) => levelOf(mib * MIB, 100))).toEqual([
      ...["open", "near", "near", "closed", "closed"],
    ]);
    expect(levelOf(10 ** 15, undefined)).toBe("open");
  });
});

it("reads the kernel's table and the routing rules as they are printed", () => {
  const table = `Inter-|   Receive
 face |bytes    packets
    lo:     160       2    0
  chl3: 4294967296  12    0
chl12:77 1 0`;
  expect([...receivedBytes(table)]).toEqual([
    ["lo", 160],
    ["chl3", 4_294_967_296],
    ["chl12", 77],
  ]);
  const rules = `0:\tfrom all lookup local
1:\tfrom 10.213.0.0/16 to 10.213.0.0/16 prohibit proto 219
20000:\tfrom all iif chl3 prohibit proto 220
20000:\tfrom all iif chl4 [detached] prohibit proto 220
20000:\tfrom all iif eth0 prohibit proto 99`;
  expect(closedBridges(rules)).toEqual(["chl3", "chl4"]);
});

describe("the bounds of a host", () => {
  function host() {
    const layout = tenantLayout({
      tenantId: "tnt_a",
      uid: 200_000,
      slot: 3,
      pool: "10.213.0.0/16",
      stateDir: "/s",
      runDir: "/r",
    });
    const record = { id: "tnt_a", slot: 3, goal: "running", generation: 2, spec: {} } as unknown as TenantRecord;
    const world = {
      sent: 0,
      nowMs: Date.UTC(2026, 10, 22),
      rules: [] as string[],
      told: [] as string[],
      kept: { strays: 0 } as Partial<Kept>,
    };
    const start = () => {
      const bounds = startBounds({
        journal: {
          tenants: { all: () => [record] },
          data: { get: () => world.kept as Kept, put: (_, change) => void Object.assign(world.kept, change) },
          reports: { add: (one) => void world.told.push("detail" in one ? (one.detail ?? "") : "") },
        },
        tenantOf: () => ({ layout, spec: { limits: { egressMiBPerDay: 100 } } }) as never,
        run: async (_, [__, ___, verb = "", ...more]) => {
          if (verb === "add") world.rules.push(`20000: from all iif ${more[3]} prohibit proto 220`);
          if (verb === "del") world.rules = world.rules.filter((rule) => !rule.includes(`iif ${more[3]} `));
          return world.rules.join("\n");
        },
        ...{ log: createLog(() => {}), nowMs: () => world.nowMs, readInterfaces: async () => `chl3: ${world.sent} 1` },
      });
      onTestFinished(bounds.stop);
      return bounds;
    };
    return { world, start };
  }

  it("gives notice, closes at the bound, stays closed over a restart, and opens with the next day", async () => {
    const { world, start } = host();
    let bounds = start();
    await bounds.look();
    world.sent = 85 * MIB;
    await bounds.look();
    expect([world.told, world.rules]).toEqual([["It has sent 85 of 100 MiB that it may send today."], []]);
    world.sent = 101 * MIB;
    await bounds.look();
    await bounds.look();
    expect(world.told).toHaveLength(2);
    expect(world.rules).toEqual(["20000: from all iif chl3 prohibit proto 220"]);
    bounds.stop();
    // A restart of the host: no rules, and the kernel counts from zero.
    Object.assign(world, { rules: [], sent: 0 });
    bounds = start();
    await bounds.look();
    expect([world.rules.length, world.told.length, bounds.egressMiB("tnt_a")]).toEqual([1, 2, 101]);
    world.nowMs += 24 * 3_600_000;
    await bounds.look();
    expect([world.rules, bounds.egressMiB("tnt_a")]).toEqual([[], 0]);
  });

  it("closes nobody else's bridge, and opens one that was left closed", async () => {
    const { world, start } = host();
    world.rules = ["20000: from all iif chl9 prohibit proto 220"];
    await start().look();
    expect(world.rules).toEqual([]);
  });
});

it("is a rule of the kernel's that names one bridge", () => {
  expect(closing("chl3").join(" ")).toBe("priority 20000 iif chl3 prohibit protocol 220");
});
