import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstatSync, readFileSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cipherDirOf, closeView, countStrays, openView } from "../../host-agent/storage/index.ts";
import type { TenantLayout } from "../../host-agent/tenants/layout.ts";
import type { Volumes } from "../../host-agent/tenants/ports.ts";
import type { TestHost } from "../hosts/index.ts";
import { occurrences, QUOTA_MIB, type StorageLab, storageLab } from "./storage-lab.ts";

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

  it("are in memory once, and not a second time as the file that all of them lie in", async () => {
    const layout = newLayout();
    await open(layout);
    const loop = execFileSync("findmnt", ["-no", "SOURCE", `${stateDir}/volumes`], { encoding: "utf8" }).trim();
    expect(await readFile(`/sys/block/${loop.slice("/dev/".length)}/loop/dio`, "utf8")).toBe("1\n");
    await writeFile(`${layout.dataDir}/large`, randomBytes(48 * 2 ** 20), { flush: true });
    const image = ["--noheadings", "--bytes", "--output", "RES", `${stateDir}/volumes.img`];
    expect(Number(execFileSync("fincore", image, { encoding: "utf8" }))).toBeLessThan(16 * 2 ** 20);
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

  it("are shown to who takes them along in a process that weighs as much as one volume, and leaves nothing", async () => {
    const layout = newLayout();
    await open(layout);
    await writeFile(`${layout.dataDir}/kept`, "1");
    const at = `${host.dir}/views/${layout.tenantId}`;
    await volumes.snapshots.frozen(layout, async (cipherDir) => {
      await openView(cipherDir, at, keyOf(layout));
      expect(await readFile(`${at}/kept`, "utf8")).toBe("1");
      const pid = execFileSync("pgrep", ["-f", `gocryptfs.*${at}$`], { encoding: "utf8" }).trim();
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toMatch(
        /[:,]cpu\b.*:\/chelar\/views\n|^0::\/chelar\/views\n/m,
      );
      await closeView(at);
      expect(() => execFileSync("pgrep", ["-f", `gocryptfs.*${at}$`])).toThrow();
    });
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
