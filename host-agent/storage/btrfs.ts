import { readdirSync, readFileSync } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Backing, Usage } from "./backing.ts";
import { ensureOwn, exists } from "./paths.ts";
import { imageSizeMiB, parseQgroups, parseSubvolumes } from "./rules.ts";
import { ask, mountOn, run } from "./run.ts";

export interface BtrfsOptions {
  /** Where tenants' directories are; the file system is mounted here. */
  root: string;
  /** A partition with btrfs on it. Absent: a sparse file beside `root` is made and mounted. */
  device?: string;
  /** Size of that file where it has to be made; most of the free space where it is not given. */
  sizeMiB?: number;
}

/** No program is ever started from here, and no device opened: what lies here is ciphertext. */
const MOUNT_OPTIONS = "noatime,nosuid,nodev,noexec";

/** One subvolume per tenant with a hard limit on what it refers to; a snapshot shares all of it and costs nothing. */
export function btrfsBacking({ root, device, sizeMiB }: BtrfsOptions): Backing {
  const image = `${root}.img`;
  const btrfs = (...args: string[]) => run("btrfs", args);

  async function prepare(): Promise<void> {
    const mounted = await mountOn(root);
    if (mounted?.fileSystem !== "btrfs") {
      if (mounted) throw new Error(`${root} is ${mounted.fileSystem} and not btrfs`);
      await ensureOwn(root);
      const [stranger] = await readdir(root);
      if (stranger) throw new Error(`${root}/${stranger} lies unencrypted there, from an older version: move it away`);
      if (!device) await makeImage();
      // A loop device made by mount(8) goes when its mount goes: nothing is left attached to a file that is gone.
      const options = device ? MOUNT_OPTIONS : `loop,discard=async,${MOUNT_OPTIONS}`;
      await run("mount", ["-t", "btrfs", "-o", options, "--", device ?? image, root]);
      if (!device) await cacheOnce();
    }
    await ensureOwn(root);
    await btrfs("quota", "enable", root);
  }

  /** Whole or not at all: a file that was cut off while it was made is made anew. */
  async function makeImage(): Promise<void> {
    if (await exists(image)) return;
    const { bavail, bsize } = await statfs(root);
    const size = imageSizeMiB(Math.floor((bavail * bsize) / 2 ** 20), sizeMiB);
    const made = `${image}.new`;
    await rm(made, { force: true });
    const file = await open(made, "wx", 0o600);
    await file.truncate(size * 2 ** 20);
    await file.close();
    await run("mkfs.btrfs", ["--quiet", made]);
    await rename(made, image);
  }

  /**
   * What is written goes from btrfs to the disk, and not through the page cache of the file system below as well: a
   * second copy in memory, and one more of the processor's. A file system that cannot do without goes on as it was.
   */
  async function cacheOnce(): Promise<void> {
    const loops = await ask("losetup", ["--noheadings", "--output", "NAME", "--associated", image]);
    await run("losetup", ["--direct-io=on", loops.trim()]).catch(() => {});
  }

  async function drop(subvolume: string): Promise<void> {
    const { ino, dev } = await lstat(subvolume).catch(() => ({ ino: 0, dev: 0 }));
    if (dev === 0) return;
    // 256 is the first inode of every subvolume (BTRFS_FIRST_FREE_OBJECTID); anything else is a directory.
    if (ino !== 256) return run("rm", ["-rf", "--one-file-system", "--", subvolume]);
    // Its qgroup is the kernel's to remove (older kernels leave it: empty, it counts towards nothing): removed
    // by hand while the data is still being dropped, it makes the kernel give up on everybody's figures and limits.
    await btrfs("subvolume", "delete", "--commit-after", subvolume);
  }

  /** Limits and use of all subvolumes as files (Linux 5.9 and later): `0_ID/referenced`. */
  let groupsDir: string | null = null;
  async function groups(): Promise<string> {
    const uuid = /uuid: ([0-9a-f-]{36})/;
    groupsDir ??= `/sys/fs/btrfs/${uuid.exec(await ask("btrfs", ["filesystem", "show", root]))?.[1]}/qgroups`;
    return groupsDir;
  }

  let glanced: { commits: string | null; used: Map<string, Usage> } = { commits: null, used: new Map() };
  let watched = { groups: "", tenants: new Map<string, string>() };

  /** By the number of each subvolume with live data, also of what is just becoming that: renaming changes no number. */
  async function whoseGroups(groups: string): Promise<Map<string, string>> {
    if (watched.groups === groups) return watched.tenants;
    const tenants = new Map<string, string>();
    for (const { id, path } of parseSubvolumes(await ask("btrfs", ["subvolume", "list", root]))) {
      const [tenantId = "", name, ...deeper] = path.split("/");
      if (name?.startsWith("live") && deeper.length === 0) tenants.set(id, tenantId);
    }
    watched = { groups, tenants };
    return tenants;
  }

  return {
    hasLimits: true,
    // A sparse file asks for its room when it is written to: the disk below can be full while the file system is not.
    disks: device ? [root] : [root, dirname(root)],
    prepare,
    async create(path) {
      await drop(path);
      await btrfs("subvolume", "create", path);
    },
    limit: (path, limitMiB) => btrfs("qgroup", "limit", `${limitMiB}M`, path),
    async snapshot(from, to) {
      await mkdir(root, { recursive: true });
      await btrfs("subvolume", "snapshot", "-r", from, to);
    },
    async restore(from, to, limitMiB) {
      await drop(to);
      await btrfs("subvolume", "snapshot", from, to);
      await btrfs("qgroup", "limit", `${limitMiB}M`, to);
    },
    drop,
    async usage() {
      const subvolumes = parseSubvolumes(await ask("btrfs", ["subvolume", "list", root]));
      const groups = parseQgroups(await ask("btrfs", ["qgroup", "show", "--raw", "-r", "--sync", root]));
      const used = new Map<string, Usage>();
      for (const { id, path } of subvolumes) {
        const [tenantId = "", name, ...deeper] = path.split("/");
        const group = groups.get(id);
        if (name === "live" && deeper.length === 0 && group) used.set(tenantId, group);
      }
      return used;
    },
    async glance() {
      const used = new Map<string, Usage>();
      const groupsDir = await groups();
      // Figures change with a commit and not between two: a file system that rests is one read, however many live on it.
      const commits = commitsOf(dirname(groupsDir));
      if (commits !== null && commits === glanced.commits) return glanced.used;
      for (const [id, tenantId] of await whoseGroups(readdirSync(groupsDir).join())) {
        try {
          const figure = (name: string) => Number(readFileSync(`${groupsDir}/0_${id}/${name}`, "utf8"));
          const [usedBytes, limitBytes] = [figure("referenced"), figure("max_referenced")];
          if (limitBytes > 0) used.set(tenantId, { usedBytes, limitBytes });
        } catch {
          // Gone meanwhile.
        }
      }
      glanced = { commits, used };
      return used;
    },
    // The kernel gives up counting where it cannot follow: after some changes by hand, and where memory failed it in a bad
    // moment. What is written then is counted for nobody, so that no limit holds, and it stays so over a reboot.
    async recount() {
      if (fileIfThere(`${await groups()}/inconsistent`)?.trim() !== "1") return false;
      // Goes on by itself; asked for again while it does, it says so and changes nothing.
      await btrfs("quota", "rescan", root);
      return true;
    },
    async traces(tenantId) {
      const listed = parseSubvolumes(await ask("btrfs", ["subvolume", "list", root]));
      return listed
        .filter(({ path }) => path.split("/")[0] === tenantId)
        .map(({ path }) => `${basename(root)}/${path}`);
    },
  };
}

/** How many transactions this file system has committed; null where the kernel (before 6.0) does not say. */
const commitsOf = (fileSystemDir: string): string | null =>
  /^commits (\d+)$/m.exec(fileIfThere(`${fileSystemDir}/commit_stats`) ?? "")?.[1] ?? null;

/** What an older kernel does not tell is not there. */
function fileIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
