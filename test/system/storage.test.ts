import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, lstatSync, openSync, readFileSync, readSync } from "node:fs";
import { lstat, mkdir, open as openFile, readdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cipherDirOf, countStrays, createVolumes } from "../../host-agent/storage/index.ts";
import { type TenantLayout, tenantLayout } from "../../host-agent/tenants/layout.ts";
import type { Volumes } from "../../host-agent/tenants/ports.ts";
import { newId } from "../../schema/protocol/index.ts";
import { createTestHost, type TestHost } from "../hosts/index.ts";

const MIB = 2 ** 20;
const QUOTA_MIB = 64;
let host: TestHost;
let volumes: Volumes;
let stateDir: string;

beforeAll(async () => {
  host = await createTestHost({ docker: false });
  stateDir = `${host.dir}/chelar`;
  await mkdir(stateDir);
  volumes = createVolumes({ stateDir, storage: { backing: "btrfs", sizeMiB: 1_024 } });
});
afterAll(async () => {
  for (const layout of layouts) await volumes.close(layout);
  await host?.destroy();
});

const layouts: TenantLayout[] = [];
const keys = new Map<string, string>();
function newLayout(): TenantLayout {
  const slot = layouts.length;
  const places = { pool: "10.213.0.0/16", stateDir, runDir: `${host.dir}/run` };
  const layout = tenantLayout({ tenantId: newId("tnt"), uid: 300_000 + slot, slot, ...places });
  keys.set(layout.tenantId, randomBytes(32).toString("base64url"));
  layouts.push(layout);
  return layout;
}
const open = (layout: TenantLayout) =>
  volumes.open(layout, { diskMiB: QUOTA_MIB, key: keys.get(layout.tenantId) ?? null });

/** As the tenant itself: setpriv(1) has no way back. */
const asTenant = ({ uid, dataDir }: TenantLayout, ...command: string[]) =>
  // It stands in its data, as its container does: the way there is closed to it on the host.
  execFileSync("setpriv", [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", ...command], {
    cwd: dataDir,
    encoding: "utf8",
  });

describe("volumes", () => {
  const mountLine = async (path: string) =>
    (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.split(" ")[4] === path);

  it("belong to their tenant alone, and stay as they are when opened again", async () => {
    const layout = newLayout();
    await open(layout);
    await writeFile(`${layout.dataDir}/kept`, "1");
    await open(layout);
    expect(await mountLine(layout.dataDir)).toHaveLength(1);
    expect((await mountLine(layout.dataDir))[0]).toMatch(/ rw,nosuid,nodev,/);
    const { uid, gid, mode } = await lstat(layout.dataDir);
    expect([uid, gid, mode & 0o7777]).toEqual([layout.uid, layout.uid, 0o700]);
    await volumes.close(layout);
    await volumes.close(layout);
    expect(await readdir(layout.dataDir)).toEqual([]);
    await open(layout);
    expect(await readdir(layout.dataDir)).toEqual(["kept"]);
  });

  it("stay readable to their tenant when a host that lost its journal gives it another UID", async () => {
    const layout = newLayout();
    await open(layout);
    await mkdir(`${layout.dataDir}/inside`, { mode: 0o700 });
    await writeFile(`${layout.dataDir}/inside/kept`, "1", { mode: 0o600 });
    const outside = `${host.dir}/not-theirs`;
    await writeFile(outside, "1");
    await symlink(outside, `${layout.dataDir}/link`);
    execFileSync("chown", ["-hR", `${layout.uid}:${layout.uid}`, layout.dataDir]);
    await volumes.close(layout);
    const uid = layout.uid + 65_536;
    await open({ ...layout, uid });
    for (const name of [".", "inside", "inside/kept", "link"]) {
      const found = await lstat(`${layout.dataDir}/${name}`);
      expect([name, found.uid, found.gid]).toEqual([name, uid, uid]);
    }
    expect((await lstat(outside)).uid).toBe(0);
  });

  it("are mounted anew when someone took the guards off", async () => {
    const layout = newLayout();
    await open(layout);
    execFileSync("mount", ["-o", "remount,bind,suid,dev", layout.dataDir]);
    await open(layout);
    expect((await mountLine(layout.dataDir))[0]).toMatch(/nosuid,nodev/);
  });

  it("are gone when destroyed, hostile trees included, and nothing that their links point to", async () => {
    const layout = newLayout();
    await open(layout);
    const outside = `${host.dir}/outside`;
    await mkdir(outside, { recursive: true });
    await writeFile(`${outside}/precious`, "1");
    await symlink(outside, `${layout.dataDir}/link`);
    // Two trees of 15 levels of 250 characters, one moved to the end of the other: twice PATH_MAX.
    const deep = (root: string) => [root, ...Array(15).fill("d".repeat(250))].join("/");
    await mkdir(deep(`${layout.dataDir}/a`), { recursive: true });
    await mkdir(deep(`${layout.dataDir}/b`), { recursive: true });
    await rename(`${layout.dataDir}/b`, `${deep(`${layout.dataDir}/a`)}/b`);
    await volumes.destroy(layout);
    await volumes.destroy(layout);
    expect(await mountLine(layout.dataDir)).toEqual([]);
    await expect(lstat(layout.volumeDir)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await readdir(outside)).toEqual(["precious"]);
  });

  it("refuse a link where a directory of ours should be", async () => {
    const layout = newLayout();
    const victim = `${host.dir}/victim`;
    await mkdir(victim, { mode: 0o755 });
    await mkdir(layout.volumeDir, { recursive: true });
    await symlink(victim, `${layout.volumeDir}/live`);
    await expect(open(layout)).rejects.toMatchObject({ retryable: true });
    const { uid, mode } = await lstat(victim);
    expect([uid, mode & 0o777]).toEqual([0, 0o755]);
  });

  it("open with their own key only, keep what is in them then, and say which of the two went wrong", async () => {
    const layout = newLayout();
    await open(layout);
    await writeFile(`${layout.dataDir}/kept`, "1");
    await volumes.close(layout);
    const key = randomBytes(32).toString("base64url");
    await expect(volumes.open(layout, { diskMiB: QUOTA_MIB, key })).rejects.toMatchObject({
      public: "The agent's storage does not open with its key.",
      retryable: false,
    });
    await expect(volumes.open(layout, { diskMiB: QUOTA_MIB, key: null })).rejects.toMatchObject({ retryable: false });
    expect(await readdir(layout.dataDir)).toEqual([]);
    await open(layout);
    expect(await readdir(layout.dataDir)).toEqual(["kept"]);
  });

  it("are whole or not there, when the making of one was cut off anywhere", async () => {
    const layout = newLayout();
    await mkdir(`${cipherDirOf(layout)}.new/rest`, { recursive: true });
    await open(layout);
    await writeFile(`${layout.dataDir}/kept`, "1");
    expect(await readdir(layout.volumeDir)).toEqual(["live"]);
  });

  // gocryptfs looks something up in its own mount when that is there already: a directory made meanwhile stopped it for good.
  it("may be used as soon as they are open, however soon that is", async () => {
    const layout = newLayout();
    for (let turn = 0; turn < 10; turn++) {
      await open(layout);
      await mkdir(`${layout.dataDir}/made-${turn}`);
      await volumes.close(layout);
    }
    await open(layout);
    expect(await readdir(layout.dataDir)).toHaveLength(10);
  });

  it("are opened again where the process that served one was killed", async () => {
    const layout = newLayout();
    await open(layout);
    await writeFile(`${layout.dataDir}/kept`, "1");
    execFileSync("pkill", ["-9", "-f", `gocryptfs.*${layout.dataDir}$`]);
    // A call that the dying process had before it says ECONNABORTED.
    await expect.poll(() => lstat(`${layout.dataDir}/kept`).catch(({ code }) => code)).toBe("ENOTCONN");
    await open(layout);
    expect(await readdir(layout.dataDir)).toEqual(["kept"]);
  });

  it("lie on the disk as ciphertext: neither content nor name of a file is anywhere below", async () => {
    const layout = newLayout();
    await open(layout);
    const canary = randomBytes(16).toString("hex");
    await writeFile(`${layout.dataDir}/name-${canary}`, `content ${canary}\n`.repeat(100));
    const image = `${stateDir}/volumes.img`;
    execFileSync("sync", ["--file-system", layout.volumeDir]);
    expect(occurrences(image, canary)).toBe(0);
    // The very search finds what is there in the clear.
    await writeFile(`${layout.volumeDir}/clear`, canary);
    execFileSync("sync", ["--file-system", layout.volumeDir]);
    expect(occurrences(image, canary)).toBeGreaterThan(0);
  });

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
    await expect.poll(allowed).toBeNull();
    await volumes.destroy(layout);
    await expect.poll(() => existsSync(group ?? "")).toBe(false);
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
    const opened = (layout: TenantLayout) =>
      tight.open(layout, { diskMiB: QUOTA_MIB, key: keys.get(layout.tenantId) ?? null });
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

  it("leave no subvolume, process or mount behind, and a copy of the ciphertext that nothing opens", async () => {
    const layout = newLayout();
    await open(layout);
    await writeFile(`${layout.dataDir}/precious`, "1");
    const copy = `${host.dir}/stolen`;
    execFileSync("cp", ["-a", cipherDirOf(layout), copy]);
    expect(await volumes.destroy(layout)).toContain("no subvolume");
    expect(execFileSync("btrfs", ["subvolume", "list", `${stateDir}/volumes`], { encoding: "utf8" })).not.toContain(
      layout.tenantId,
    );
    expect(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })).not.toContain(layout.dataDir);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(layout.tenantId);
    // Only its configuration is readable without the key.
    const readable = execFileSync("grep", ["-rlE", "precious|Creator", copy], { encoding: "utf8" });
    expect(readable.trim()).toBe(`${copy}/gocryptfs.conf`);
  });

  it("tell files that are not their tenant's own, or open to others", async () => {
    const layout = newLayout();
    await open(layout);
    asTenant(layout, "sh", "-c", "umask 077; mkdir own; echo 1 > own/fine; ln -s /etc/passwd link");
    expect(await countStrays(layout)).toMatchObject({ strays: 0 });
    asTenant(layout, "sh", "-c", "echo 1 > own/open; chmod 644 own/open");
    await writeFile(`${layout.dataDir}/roots`, "1", { mode: 0o600 });
    expect(await countStrays(layout)).toMatchObject({ strays: 2 });
  });

  it("are limited on any mounted file system too: read-only above the limit, writable below it again", async () => {
    const directory = `${host.dir}/shared`;
    const elsewhere = `${host.dir}/elsewhere`;
    await mkdir(elsewhere);
    const shared = createVolumes({ stateDir: elsewhere, storage: { backing: "mounted", directory } });
    const layout = { ...newLayout() };
    layout.volumeDir = `${elsewhere}/volumes/${layout.tenantId}`;
    layout.dataDir = `${elsewhere}/mounts/${layout.tenantId}`;
    await shared.open(layout, { diskMiB: 16, key: keys.get(layout.tenantId) ?? null });
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
    await shared.open(layout, { diskMiB: 64, key: keys.get(layout.tenantId) ?? null });
    await look();
    await writeFile(`${layout.dataDir}/more`, "1");
    execFileSync("umount", [bound]);
    await shared.snapshots.take(layout, "20261122T100000Z");
    await writeFile(`${layout.dataDir}/more`, "2");
    const makeWay = () => shared.close(layout);
    await shared.snapshots.restore(layout, { name: "20261122T100000Z", diskMiB: 64, makeWay });
    await shared.open(layout, { diskMiB: 64, key: keys.get(layout.tenantId) ?? null });
    expect(await readFile(`${layout.dataDir}/more`, "utf8")).toBe("1");
    await shared.destroy(layout);
    expect(await readdir(directory)).toEqual([]);
  });

  it("cannot be read by another tenant, by whatever path", async () => {
    const [layout, other] = [newLayout(), newLayout()];
    await open(layout);
    await open(other);
    asTenant(layout, "sh", "-c", "umask 077; echo secret > secret");
    expect(lstatSync(`${layout.dataDir}/secret`).mode & 0o777).toBe(0o600);
    const secret = `${layout.dataDir}/secret`;
    const served = execFileSync("pgrep", ["-f", `gocryptfs.*${layout.dataDir}$`], { encoding: "utf8" }).trim();
    const attempts = [
      ["cat", secret],
      ["cat", `${cipherDirOf(layout)}/gocryptfs.conf`],
      ["ls", layout.volumeDir],
      ["ln", secret, "stolen"],
      ["sh", "-c", `ln -sf "${secret}" link && cat link`],
      ["cat", `/proc/${served}/root${secret}`],
      ["ls", `/proc/${served}/cwd/`],
      ["ls", `/proc/${served}/fd`],
      ["cat", `/proc/${served}/mem`],
      ["cat", `${stateDir}/volumes.img`],
    ];
    for (const attempt of attempts) {
      // As its own user, and as what is root in a user namespace of its own.
      for (const mapped of [[], ["unshare", "--user", "--map-root-user"]]) {
        expect(() => asTenant(other, ...mapped, ...attempt), attempt.join(" ")).toThrow(
          /Permission denied|Operation not permitted|Invalid cross-device link/,
        );
      }
    }
    // The very same is read by who may.
    expect(asTenant(layout, "cat", "secret")).toBe("secret\n");
    expect(asTenant(layout, "unshare", "--user", "--map-root-user", "id", "-u")).toBe("0\n");
  });
});

/** How often a text stands in a file, read block by block from below its own file system. */
function occurrences(path: string, text: string): number {
  const file = openSync(path, "r");
  const block = Buffer.alloc(16 * MIB);
  let [found, at] = [0, 0];
  for (;;) {
    const bytes = readSync(file, block, 0, block.length, at);
    for (
      let hit = block.subarray(0, bytes).indexOf(text);
      hit >= 0;
      hit = block.subarray(0, bytes).indexOf(text, hit + 1)
    ) {
      found += 1;
    }
    if (bytes < block.length) break;
    // What lies across two blocks is seen with the second one.
    at += bytes - text.length;
  }
  closeSync(file);
  return found;
}
