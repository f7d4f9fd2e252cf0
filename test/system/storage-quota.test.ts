import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { mkdir, open as openFile, readdir, readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createVolumes } from "../../host-agent/storage/index.ts";
import type { TenantLayout } from "../../host-agent/tenants/layout.ts";
import type { Volumes } from "../../host-agent/tenants/ports.ts";
import { newId } from "../../schema/protocol/index.ts";
import type { TestHost } from "../hosts/index.ts";
import { QUOTA_MIB, type StorageLab, storageLab } from "./storage-lab.ts";
import { WAYS } from "./storage-ways.ts";

const MIB = 2 ** 20;
let lab: StorageLab;
let host: TestHost;
let volumes: Volumes;
let stateDir: string;
let newLayout: StorageLab["newLayout"];
let open: StorageLab["open"];
let keyOf: StorageLab["keyOf"];

beforeAll(async () => {
  lab = await storageLab();
  ({ host, volumes, stateDir, newLayout, open, keyOf } = lab);
});
afterAll(() => lab?.end());

describe("volumes", () => {
  it("end at their quota within 2 %, for the tenant alone, and take deletions and writes again", async () => {
    const [layout, neighbour] = [newLayout(), newLayout()];
    await open(layout);
    await open(neighbour);
    const written = async ({ dataDir }: TenantLayout) => {
      const file = await openFile(`${dataDir}/fill`, "w");
      const chunk = randomBytes(MIB / 4);
      let bytes = 0;
      try {
        for (;;) {
          bytes += (await file.write(chunk)).bytesWritten;
          if (bytes % (4 * MIB) === 0) await file.sync();
        }
      } catch (error) {
        return { bytes, errno: (error as NodeJS.ErrnoException).errno };
      } finally {
        await file.close().catch(() => {});
      }
    };
    const { bytes, errno } = await written(layout);
    console.log(`quota: refused after ${(bytes / MIB).toFixed(2)} MiB`);
    expect(errno).toBe(-constants.errno.EDQUOT);
    expect(Math.abs(bytes / MIB - QUOTA_MIB)).toBeLessThan(QUOTA_MIB * 0.02);
    const usage = (await volumes.usage()).get(layout.tenantId);
    expect(usage?.limitBytes).toBe(QUOTA_MIB * MIB);
    expect(usage?.usedBytes).toBeGreaterThan(QUOTA_MIB * MIB * 0.98);
    await writeFile(`${neighbour.dataDir}/fine`, randomBytes(MIB));
    execFileSync("rm", [`${layout.dataDir}/fill`]);
    await writeFile(`${layout.dataDir}/again`, randomBytes(8 * MIB));
  });

  it("lose nothing that is not being written when a write is refused, and of that file at most the block it was refused in", async () => {
    const layout = newLayout();
    await open(layout);
    const [block, blocks] = [4_096, 512];
    const [before, after] = [Buffer.alloc(block, 1), Buffer.alloc(block, 2)];
    for (const name of ["kept", "written"]) {
      await writeFile(`${layout.dataDir}/${name}`, Buffer.alloc(blocks * block, before), { flush: true });
    }
    let pieces = 0;
    const piece = (n: number) => `${layout.dataDir}/piece-${n}`;
    const fill = async () => {
      for (; ; pieces++) await writeFile(piece(pieces), randomBytes(MIB / 4), { flush: true });
    };
    await expect(fill()).rejects.toMatchObject({ errno: -constants.errno.EDQUOT });
    // Room for some of the blocks below, and not for all.
    execFileSync("rm", [piece(0), piece(1)]);
    execFileSync("sync", ["--file-system", layout.volumeDir]);
    const file = await openFile(`${layout.dataDir}/written`, "r+");
    let refused = 0;
    for (let n = 0; n < blocks; n++) {
      await file.write(after, 0, block, n * block).catch(({ errno }) => {
        expect(errno).toBe(-constants.errno.EDQUOT);
        refused++;
      });
    }
    await file.close().catch(() => {});
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(blocks);
    // By a process that remembers nothing of it.
    await volumes.close(layout);
    await open(layout);
    expect((await readFile(`${layout.dataDir}/kept`)).equals(Buffer.alloc(blocks * block, before))).toBe(true);
    const read = await openFile(`${layout.dataDir}/written`);
    let [stale, fresh, lost] = [0, 0, 0];
    for (let n = 0; n < blocks; n++) {
      const { buffer } = await read.read(Buffer.alloc(block), 0, block, n * block).catch(() => ({ buffer: null }));
      if (!buffer) lost++;
      else if (buffer.equals(before)) stale++;
      else if (buffer.equals(after)) fresh++;
    }
    await read.close();
    expect(stale + fresh + lost).toBe(blocks);
    expect(fresh).toBe(blocks - refused);
    expect(lost).toBeLessThanOrEqual(1);
  });

  it("refuse what is asked for beyond them in any other way, and neither neighbour nor host feels it", async () => {
    const [layout, neighbour] = [newLayout(), newLayout()];
    await open(layout);
    await open(neighbour);
    const asTenant = (...command: string[]) => {
      const ids = [`--reuid=${layout.uid}`, `--regid=${layout.uid}`, "--clear-groups"];
      return spawnSync("setpriv", [...ids, ...command], { cwd: layout.dataDir, encoding: "utf8" });
    };
    const almost = `of=${QUOTA_MIB - 2}-MiB`;
    expect(asTenant("dd", "if=/dev/urandom", almost, "bs=1M", `count=${QUOTA_MIB - 2}`, "conv=fsync").status).toBe(0);
    const device = execFileSync("findmnt", ["-no", "SOURCE", `${stateDir}/volumes`], { encoding: "utf8" }).trim();
    const complaints = () =>
      execFileSync("dmesg", { encoding: "utf8", maxBuffer: 64 * MIB })
        .split("\n")
        .filter((line) => line.includes(`device ${device.slice("/dev/".length)}`));
    const before = complaints();
    const kept = randomBytes(MIB);
    for (const { how, command } of WAYS) {
      const { status, stderr } = asTenant(...command);
      expect(stderr, how).toContain("Disk quota exceeded");
      expect(status, how).not.toBe(0);
      expect((await volumes.usage()).get(layout.tenantId)?.usedBytes, how).toBeLessThan(QUOTA_MIB * MIB * 1.02);
      await writeFile(`${neighbour.dataDir}/kept`, kept, { flush: true });
      // What it made it can also remove.
      const removed = asTenant("find", ".", "-type", "f", "!", "-name", "*-MiB", "-delete");
      expect([how, removed.status, removed.stderr]).toEqual([how, 0, ""]);
      execFileSync("sync", ["--file-system", layout.volumeDir]);
    }
    expect((await readFile(`${neighbour.dataDir}/kept`)).equals(kept)).toBe(true);
    expect(complaints()).toEqual(before);
    expect(readFileSync(`${countsOf(stateDir)}/inconsistent`, "utf8").trim()).toBe("0");
  });

  it("are counted anew where the file system has stopped counting, and end at their quota again", async () => {
    const layout = newLayout();
    await open(layout);
    await writeFile(`${layout.dataDir}/kept`, randomBytes(4 * MIB), { flush: true });
    await volumes.snapshots.take(layout, "before");
    const root = `${stateDir}/volumes`;
    const btrfs = (...args: string[]) => execFileSync("btrfs", args, { encoding: "utf8", stdio: "pipe" });
    const live = new RegExp(`ID (\\d+) .*${layout.tenantId}/live$`, "m").exec(btrfs("subvolume", "list", root))?.[1];
    // What is shared with a snapshot cannot be added to a group without looking at all of it.
    btrfs("qgroup", "create", "1/9", root);
    btrfs("qgroup", "assign", "--no-rescan", `0/${live}`, "1/9", root);
    const groups = countsOf(stateDir);
    const inconsistent = () => readFileSync(`${groups}/inconsistent`, "utf8").trim();
    expect(inconsistent()).toBe("1");
    await writeFile(`${layout.dataDir}/unseen`, randomBytes(8 * MIB), { flush: true });
    expect(await volumes.recount()).toBe(true);
    await expect.poll(inconsistent, { timeout: 60_000 }).toBe("0");
    expect(await volumes.recount()).toBe(false);
    expect((await volumes.usage()).get(layout.tenantId)?.usedBytes).toBeGreaterThan(12 * MIB);
    await expect(writeFile(`${layout.dataDir}/more`, randomBytes(QUOTA_MIB * MIB))).rejects.toMatchObject({
      errno: -constants.errno.EDQUOT,
    });
  });

  it("are held while they are at their limit, so that no neighbour feels who writes on, and let go with room", async () => {
    const layout = newLayout();
    await open(layout);
    const group = ["/sys/fs/cgroup/cpu/chelar", "/sys/fs/cgroup/chelar"]
      .map((parent) => `${parent}/${layout.tenantId}`)
      .find((path) => existsSync(path));
    const allowed = async () => {
      await volumes.restrain();
      const unified = existsSync(`${group}/cpu.max`);
      const [quota = ""] = readFileSync(`${group}/${unified ? "cpu.max" : "cpu.cfs_quota_us"}`, "utf8").split(/\s/);
      return quota === "max" || quota === "-1" ? null : Number(quota) / 100_000;
    };
    const served = readFileSync(`${group}/cgroup.procs`, "utf8").trim();
    expect(readFileSync(`/proc/${served}/cmdline`, "utf8")).toContain(layout.dataDir);
    expect(await allowed()).toBeNull();
    expect(() =>
      execFileSync("dd", ["if=/dev/zero", `of=${layout.dataDir}/flood`, "bs=1M"], { stdio: "pipe" }),
    ).toThrow("quota");
    expect(await allowed()).toBeLessThan(0.05);
    expect(lstatSync(`${layout.dataDir}/flood`).size).toBeGreaterThan(QUOTA_MIB * MIB * 0.95);
    execFileSync("rm", [`${layout.dataDir}/flood`]);
    execFileSync("sync", ["--file-system", layout.volumeDir]);
    // Not at once: who makes a little room and fills it again stays held.
    expect(await allowed()).toBeLessThan(0.05);
    await expect.poll(allowed, { timeout: 60_000 }).toBeNull();
    await volumes.destroy(layout);
    await expect.poll(() => existsSync(group ?? "")).toBe(false);
  });

  it("find no control groups of agents before them, and touch none that somebody is in", async () => {
    const layout = newLayout();
    await open(layout);
    const parent = ["/sys/fs/cgroup/cpu/chelar", "/sys/fs/cgroup/chelar"].find((path) => existsSync(path));
    await mkdir(`${parent}/${newId("tnt")}-left`);
    const again = createVolumes({ stateDir, storage: { backing: "btrfs" } });
    await again.usage();
    const groups = await readdir(parent ?? "");
    expect(groups.filter((name) => name.endsWith("-left"))).toEqual([]);
    expect(groups).toContain(layout.tenantId);
  });

  it("are not made where the disk below is nearly full, and what is there goes on", async () => {
    const directory = `${host.dir}/tight`;
    await mkdir(directory);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=640m,mode=0700", "tmpfs", directory]);
    const tight = createVolumes({ stateDir: directory, storage: { backing: "btrfs", sizeMiB: 400 } });
    const placed = (layout: TenantLayout) => ({
      ...layout,
      volumeDir: `${directory}/volumes/${layout.tenantId}`,
      dataDir: `${directory}/mounts/${layout.tenantId}`,
    });
    const [first, second] = [placed(newLayout()), placed(newLayout())];
    const opened = (layout: TenantLayout) => tight.open(layout, { diskMiB: QUOTA_MIB, key: keyOf(layout) });
    await opened(first);
    // Nobody's of ours: the sparse file has been promised what is no longer there.
    execFileSync("fallocate", ["--length", "620M", `${directory}/ballast`]);
    expect(await tight.disk()).toMatchObject({ reserveMiB: 32 });
    await expect(opened(second)).rejects.toMatchObject({ public: "This server's disk is full.", retryable: true });
    await opened(first);
    await writeFile(`${first.dataDir}/small`, "1");
    execFileSync("rm", [`${directory}/ballast`]);
    await opened(second);
    for (const layout of [first, second]) await tight.destroy(layout);
    execFileSync("umount", [`${directory}/volumes`]);
    execFileSync("umount", [directory]);
  });

  it("are limited on any mounted file system too: read-only above the limit, writable below it again", async () => {
    const directory = `${host.dir}/shared`;
    const elsewhere = `${host.dir}/elsewhere`;
    await mkdir(elsewhere);
    const shared = createVolumes({ stateDir: elsewhere, storage: { backing: "mounted", directory } });
    const layout = { ...newLayout() };
    layout.volumeDir = `${elsewhere}/volumes/${layout.tenantId}`;
    layout.dataDir = `${elsewhere}/mounts/${layout.tenantId}`;
    await shared.open(layout, { diskMiB: 16, key: keyOf(layout) });
    await writeFile(`${layout.dataDir}/large`, randomBytes(20 * MIB));
    // As its container has it: a mount of its own, made before.
    const bound = `${host.dir}/bound`;
    await mkdir(bound);
    execFileSync("mount", ["--bind", layout.dataDir, bound]);
    const look = async () => {
      const usage = (await shared.usage()).get(layout.tenantId);
      if (!usage) throw new Error("no usage");
      await shared.freeze(layout, usage);
      return usage;
    };
    // Held open for writing, it keeps the file system from becoming read-only.
    const writer = await openFile(`${bound}/open`, "w");
    expect((await look()).usedBytes).toBeGreaterThan(16 * MIB);
    await expect(writer.write("1")).rejects.toMatchObject({ code: "EFBIG" });
    await writer.close().catch(() => {});
    await look();
    for (const place of [layout.dataDir, bound]) {
      await expect(writeFile(`${place}/more`, "1")).rejects.toMatchObject({ code: "EROFS" });
    }
    expect((await readFile(`${layout.dataDir}/large`)).length).toBe(20 * MIB);
    // Its owner's larger plan.
    await shared.open(layout, { diskMiB: 64, key: keyOf(layout) });
    await look();
    await writeFile(`${layout.dataDir}/more`, "1");
    execFileSync("umount", [bound]);
    await shared.snapshots.take(layout, "20261122T100000Z");
    await writeFile(`${layout.dataDir}/more`, "2");
    const makeWay = () => shared.close(layout);
    await shared.snapshots.restore(layout, { name: "20261122T100000Z", diskMiB: 64, makeWay });
    await shared.open(layout, { diskMiB: 64, key: keyOf(layout) });
    expect(await readFile(`${layout.dataDir}/more`, "utf8")).toBe("1");
    await shared.destroy(layout);
    expect(await readdir(directory)).toEqual([]);
  });
});

/** Where the kernel says what it has counted of each volume, and whether it still does. */
const countsOf = (stateDir: string) => {
  const uuid = execFileSync("findmnt", ["--noheadings", "--output", "UUID", `${stateDir}/volumes`], {
    encoding: "utf8",
  });
  return `/sys/fs/btrfs/${uuid.trim()}/qgroups`;
};
