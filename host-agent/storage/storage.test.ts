import { describe, expect, it } from "vitest";
import { mountAt, mountFaults, parseMountInfo } from "./rules.ts";

const MOUNTINFO = `54 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
110 54 254:0 /volumes/tnt_a/data /mounts/tnt_a rw,nosuid,nodev,relatime - ext4 /dev/vda rw
111 54 254:0 /volumes/tnt\\040b/data /mounts/with\\040space rw,relatime shared:7 master:2 - ext4 /dev/vda rw
112 110 0:40 / /mounts/tnt_a ro,nosuid,nodev - tmpfs chelar rw,size=1k
`;

describe("reading what is mounted", () => {
  const mounts = parseMountInfo(MOUNTINFO);
  it("decodes names and tells options from propagation", () => {
    expect(mounts[2]).toEqual({
      root: "/volumes/tnt b/data",
      mountPoint: "/mounts/with space",
      options: ["rw", "relatime"],
      propagation: ["shared:7", "master:2"],
      fileSystem: "ext4",
    });
  });
  it("sees the mount that lies on top, as a program would", () => {
    expect(mountAt(mounts, "/mounts/tnt_a")?.fileSystem).toBe("tmpfs");
    expect(mountAt(mounts, "/mounts/tnt")).toBeUndefined();
  });
  it("names everything that a data mount lacks", () => {
    expect(mounts.map(mountFaults)).toEqual([
      ["nosuid", "nodev", "private"],
      [],
      ["nosuid", "nodev", "private"],
      ["rw"],
    ]);
  });
});
