import { describe, expect, it } from "vitest";
import type { TenantStatus } from "../../schema/protocol/index.ts";
import { readCell } from "./cell.ts";
import { cellOf, isNews } from "./rules.ts";

const STATUS = `Name:\tdocker-init
Uid:\t100004\t100004\t100004\t100004
CapInh:\t0000000000000000
CapBnd:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
`;
const MOUNTS = `540 430 0:50 / / ro,relatime master:1 - overlay overlay rw
541 540 0:53 / /proc rw,nosuid - proc proc rw
542 540 0:54 / /dev rw,nosuid - tmpfs tmpfs rw
543 540 0:60 / /tmp rw,nosuid,nodev,noexec - tmpfs tmpfs rw
544 540 0:61 / /data rw,nosuid,nodev - fuse.gocryptfs x rw
545 540 0:62 / /config ro - ext4 x rw
`;
const TOLD = {
  ...{ type: "tenant.status", at: 1_000_000, tenantId: `tnt_${"a".repeat(26)}` },
  ...{ memoryMiB: 100, cpuPercent: 1, pids: 3, requests: 0, runtime: null },
} as const satisfies Omit<TenantStatus, "seq">;

describe("what the kernel says of a container", () => {
  it("is told as it is, and not as it was asked for", () => {
    expect(cellOf({ status: STATUS, mounts: MOUNTS, namespaces: ["net"] })).toEqual({
      ...{ uid: 100_004, capabilities: 0, noNewPrivileges: true, seccomp: "filter", readOnlyRoot: true },
      ...{ writable: ["/tmp", "/data"], namespaces: ["net"] },
    });
    const weak = STATUS.replace("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb").replace(
      "Seccomp:\t2",
      "Seccomp:\t0",
    );
    expect(cellOf({ status: weak, mounts: MOUNTS.replace("/ ro", "/ rw"), namespaces: [] })).toMatchObject({
      ...{ capabilities: 14, seccomp: "off", readOnlyRoot: false, writable: ["/", "/tmp", "/data"] },
    });
  });

  it("counts the last mount on a path, which covers the others", () => {
    const covered = `${MOUNTS}546 540 0:63 / / rw - ext4 x rw\n`;
    expect(cellOf({ status: STATUS, mounts: covered, namespaces: [] })?.readOnlyRoot).toBe(false);
  });

  it("is read of a real process, and nothing of one that has ended", async () => {
    expect(await readCell(process.pid)).toMatchObject({ uid: process.getuid?.(), namespaces: [] });
    expect(await readCell(2 ** 22 + 1)).toBeNull();
  });
});

describe("how an agent is, is told", () => {
  const told = (ms: number, change: Partial<Omit<TenantStatus, "seq">> = {}) =>
    isNews(TOLD, { ...TOLD, at: TOLD.at + ms, ...change });

  it("when a wall of its cell has become another", () => {
    const cell = cellOf({ status: STATUS, mounts: MOUNTS, namespaces: ["net"] }) ?? undefined;
    expect(told(1_000, { cell })).toBe(true);
    expect(isNews({ ...TOLD, cell }, { ...TOLD, cell: cell && { ...cell } })).toBe(false);
  });

  it("when it was asked for something, but not at every single request", () => {
    expect(told(60_000, { requests: 1 })).toBe(false);
    expect(told(300_000, { requests: 1 })).toBe(true);
    expect(told(300_000)).toBe(false);
  });
});
