import { describe, expect, it } from "vitest";
import {
  imageSizeMiB,
  isAtLimit,
  isDue,
  isNews,
  looksHeld,
  mountAt,
  mountFaults,
  parseMountInfo,
  parseQgroups,
  parseSubvolumes,
} from "./rules.ts";

const MOUNTINFO = `54 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
110 54 254:0 /volumes/tnt_a/data /mounts/tnt_a rw,nosuid,nodev,relatime - ext4 /dev/vda rw
111 54 254:0 /volumes/tnt\\040b/data /mounts/with\\040space rw,relatime shared:7 master:2 - ext4 /dev/vda rw
112 110 0:40 / /mounts/tnt_a ro,nosuid,nodev - fuse.gocryptfs chelar ro
`;

describe("reading what is mounted", () => {
  const mounts = parseMountInfo(MOUNTINFO);
  it("decodes names and tells options from propagation", () => {
    expect(mounts[2]).toEqual({
      mountPoint: "/mounts/with space",
      options: ["rw", "relatime"],
      fileSystem: "ext4",
    });
  });
  it("sees the mount that lies on top, as a program would", () => {
    expect(mountAt(mounts, "/mounts/tnt_a")?.fileSystem).toBe("fuse.gocryptfs");
    expect(mountAt(mounts, "/mounts/tnt")).toBeUndefined();
  });
  it("names everything that a data mount lacks", () => {
    expect(mounts.map(mountFaults)).toEqual([["nosuid", "nodev"], [], ["nosuid", "nodev"], []]);
  });
});

describe("the file of a host's volumes", () => {
  it("never promises more than the disk below it has", () => {
    expect(imageSizeMiB(10_000, undefined)).toBe(8_000);
    expect(imageSizeMiB(2 ** 30, undefined)).toBe(2 ** 20);
    expect(imageSizeMiB(10_000, 9_000)).toBe(9_000);
    expect(() => imageSizeMiB(10_000, 10_001)).toThrow("10000 MiB are free");
    expect(() => imageSizeMiB(300, undefined)).toThrow("at least 256 MiB");
  });
});

describe("reading what btrfs says", () => {
  it("finds subvolumes by their paths, odd ones included", () => {
    const text = "ID 256 gen 9 top level 5 path tnt_a/live\nID 261 gen 12 top level 5 path tnt_a/snapshots/x y\n";
    expect(parseSubvolumes(text)).toEqual([
      { id: "256", path: "tnt_a/live" },
      { id: "261", path: "tnt_a/snapshots/x y" },
    ]);
  });
  it("finds usage and limit, and takes no limit for no end", () => {
    const text = `Qgroupid    Referenced    Exclusive     Max referenced  Path
--------    ----------    ---------     --------------  ----
0/5              16384        16384               none  <toplevel>
0/256         67092480     67092480           67108864  tnt_a/live
`;
    expect(parseQgroups(text)).toEqual(
      new Map([
        ["5", { usedBytes: 16_384, limitBytes: Number.POSITIVE_INFINITY }],
        ["256", { usedBytes: 67_092_480, limitBytes: 67_108_864 }],
      ]),
    );
  });
});

describe("a volume at its limit", () => {
  const MIB = 2 ** 20;
  it("is one whose next write may be refused, and not one that is merely well used", () => {
    const at = (usedMiB: number, limitMiB: number) =>
      isAtLimit({ usedBytes: usedMiB * MIB, limitBytes: limitMiB * MIB });
    expect([at(60, 64), at(62.7, 64), at(63.98, 64), at(70, 64)]).toEqual([false, false, true, true]);
    expect([at(4_080, 4_096), at(4_090, 4_096)]).toEqual([false, true]);
  });
  it("is held until it has had room at many looks in a row: a little room now and then lets nobody go", () => {
    const held = (looks: boolean[], before?: number) => looks.reduce(looksHeld, before) ?? 0;
    const room = (count: number): boolean[] => Array(count).fill(false);
    expect(held(room(1))).toBe(0);
    expect(held([true, ...room(19)])).toBeGreaterThan(0);
    expect(held([true, ...room(20)])).toBe(0);
    expect(held([true, ...room(19), true, ...room(19)])).toBeGreaterThan(0);
  });
});

describe("the next snapshot or copy", () => {
  it("is due when the last one is old enough, when there is none, and when the last one is of a future that was no time", () => {
    const [now, minute] = [1_750_000_000_000, 60_000];
    expect(isDue(null, 30, now)).toBe(true);
    expect([isDue(now - 29 * minute, 30, now), isDue(now - 30 * minute, 30, now)]).toEqual([false, true]);
    expect([isDue(now + minute, 30, now), isDue(now + 2 * minute, 30, now)]).toEqual([false, true]);
  });
});

describe("what an agent has stored", () => {
  it("is told when it is new, when it grew by a hundredth of its quota, and when anything else about it changed", () => {
    const told = { usedBytes: 5_000, limitBytes: 10_000, strays: 0, snapshots: ["20261122T104501Z"] };
    expect(isNews(null, told)).toBe(true);
    expect([told, { ...told, usedBytes: 5_099 }].map((now) => isNews(told, now))).toEqual([false, false]);
    for (const change of [{ usedBytes: 5_100 }, { usedBytes: 4_900 }, { strays: 1 }, { snapshots: [] }]) {
      expect(isNews(told, { ...told, ...change }), JSON.stringify(change)).toBe(true);
    }
  });
});
