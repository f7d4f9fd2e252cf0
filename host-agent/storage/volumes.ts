import { chmod, chown, lstat, mkdir, readdir, rename, rmdir, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { DATA_PATH } from "../runtimes/runtime.ts";
import type { TenantLayout } from "../tenants/layout.ts";
import { type DiskRoom, StepError, type Volumes } from "../tenants/ports.ts";
import type { Backing } from "./backing.ts";
import { CryptError, daemonsOf, endDaemons, FILE_SYSTEM, initialise, mountVolume } from "./gocryptfs.ts";
import { limitsOn } from "./limits.ts";
import { ensureOwn, exists, ignore } from "./paths.ts";
import { enterGroup, leaveGroup, sweepGroups } from "./processor.ts";
import { mountFaults, reserveMiB } from "./rules.ts";
import { mountOn, run } from "./run.ts";
import { cipherDirOf, snapshotsOn } from "./snapshots.ts";

type Place = Pick<TenantLayout, "tenantId" | "volumeDir" | "dataDir" | "uid">;

/** `volumeDir/live` is a gocryptfs volume; `dataDir` is where it is open, with nosuid and nodev. */
export function volumesOn(backing: Backing): Volumes {
  let prepared: Promise<void> | null = null;
  /** Once per process: a look at what is mounted costs more than all else when a hundred volumes are opened at once. */
  const prepare = () => {
    prepared ??= Promise.all([backing.prepare(), sweepGroups()]).then(
      () => {},
      (error) => {
        prepared = null;
        throw error;
      },
    );
    return prepared;
  };

  const limits = limitsOn(backing);
  const snapshots = snapshotsOn(backing, prepare);

  async function create(layout: Place, limitMiB: number, key: string): Promise<void> {
    const { freeMiB, reserveMiB: reserved } = await disk();
    if (freeMiB < reserved) {
      const log = `${freeMiB} MiB of disk are free, ${reserved} MiB are kept for the volumes that are there`;
      throw new StepError("This server's disk is full.", { retryable: true, log });
    }
    const live = cipherDirOf(layout);
    // Under its own name only when it is whole.
    const made = `${live}.new`;
    await backing.create(made);
    await Promise.all([limits.set(layout, limitMiB, made), initialise(made, key)]);
    await rename(made, live);
  }

  /** Of the fullest of its disks. */
  async function disk(): Promise<DiskRoom> {
    const rooms = await Promise.all(
      backing.disks.map(async (path) => {
        const { bavail, blocks, bsize } = await statfs(path);
        const inMiB = (count: number) => Math.floor((count * bsize) / 2 ** 20);
        return { freeMiB: inMiB(bavail), reserveMiB: reserveMiB(inMiB(blocks)) };
      }),
    );
    const spare = (room: DiskRoom) => room.freeMiB - room.reserveMiB;
    return rooms.reduce((least, room) => (spare(room) < spare(least) ? room : least));
  }

  async function mount(layout: Place, key: string): Promise<void> {
    const { tenantId, dataDir } = layout;
    // Root's own, so that a container started without the mount could write nothing.
    await ensureOwn(dirname(dataDir));
    await ensureOwn(dataDir);
    await mountVolume(cipherDirOf(layout), dataDir, key, (pid) => enterGroup(tenantId, pid));
    limits.reopened(tenantId);
    const standing = await mountOn(dataDir);
    const faults = standing ? mountFaults(standing) : ["a mount"];
    if (faults.length > 0) throw new Error(`${dataDir} lacks ${faults.join(", ")}`);
  }

  async function own({ dataDir, uid }: Place): Promise<void> {
    const found = await lstat(dataDir);
    if (found.uid === 0) await chown(dataDir, uid, uid);
    // A volume that comes from another host, or a host that lost its journal: the tenant has another UID now, to which
    // its files would be closed. chown(1) changes links and not what they point to, and the directory itself last: a
    // walk that was killed is begun again.
    else if (found.uid !== uid) await run("chown", ["-hR", `${uid}:${uid}`, "--", dataDir]);
    if ((found.mode & 0o777) !== 0o700) await chmod(dataDir, 0o700);
  }

  return {
    snapshots,

    // No look at what is there: when it is opened, whoever made it must be root.
    ensureMountPoint: async ({ dataDir }) => void (await mkdir(dataDir, { recursive: true, mode: 0o700 })),

    open: (layout, { diskMiB, key }) =>
      guarded("open", async () => {
        await prepare();
        if (!key) throw new StepError(NO_KEY, { retryable: false, log: `no volume key for ${layout.tenantId}` });
        await ensureOwn(layout.volumeDir);
        const live = cipherDirOf(layout);
        await snapshots.settle(layout);
        const isNew = !(await exists(live));
        if (isNew) await create(layout, diskMiB, key);
        else await limits.ensure(layout, diskMiB);
        if (isNew || !(await isOpen(layout.dataDir))) {
          // What served it before may still hold its key, or write to it; a volume that is new here may be one that was
          // lost below a mount which still stands.
          if (!isNew || (await mountOn(layout.dataDir))) await close(layout);
          await mount(layout, key);
        }
        await own(layout);
      }),

    isOpenIn: async ({ dataDir }, pid) => {
      // Every mount of a FUSE file system has a device number of its own; one whose daemon died answers nothing.
      const device = async (path: string) => (await stat(path).catch(() => null))?.dev ?? null;
      const [ours, theirs] = await Promise.all([device(dataDir), device(`/proc/${pid}/root${DATA_PATH}`)]);
      return ours !== null && ours === theirs;
    },

    close: (layout) => guarded("close", () => close(layout)),

    destroy: (layout) =>
      guarded("destroy", async () => {
        await prepare();
        await close(layout);
        // rmdir, not rm: if anything still lay there, it would not be ours to delete.
        await rmdir(layout.dataDir).catch(ignore("ENOENT"));
        for (const path of await everyCopy(layout)) await backing.drop(path);
        limits.forget(layout.tenantId);
        // rm(1) walks by directory handles: a hostile tree can neither lead it out by a symbolic link nor stop it by
        // paths longer than PATH_MAX, which a walk by path names (fs.rm) cannot delete.
        await run("rm", ["-rf", "--one-file-system", "--", layout.volumeDir]);
        const left = await traces(layout);
        if (left.length > 0) throw new Error(`still there: ${left.join(", ")}`);
        return "no mount, no process that holds its key, no directory, no subvolume and no snapshot of it on the server";
      }),

    async usage() {
      await prepare();
      return backing.usage();
    },

    async disk() {
      if (!prepared) return null;
      await prepared;
      return disk();
    },

    async recount() {
      await prepare();
      return backing.recount();
    },

    async restrain() {
      // Nothing was opened yet.
      if (!prepared) return;
      await prepared;
      await limits.restrain();
    },

    freeze: (layout, usage) => guarded("freeze", () => limits.freeze(layout, usage)),
  };

  async function everyCopy({ volumeDir }: Place): Promise<string[]> {
    const names = await readdir(volumeDir).catch(() => []);
    const kept = await readdir(`${volumeDir}/snapshots`).catch(() => []);
    return [...kept.map((name) => `snapshots/${name}`), ...names.filter((name) => name !== "snapshots")].map(
      (path) => `${volumeDir}/${path}`,
    );
  }

  /** Asked of the kernel, of /proc and of the file system, and not of what was done. */
  async function traces({ tenantId, dataDir, volumeDir }: Place): Promise<string[]> {
    return [
      ...((await mountOn(dataDir)) ? [`a mount on ${dataDir}`] : []),
      ...daemonsOf(dataDir).map((pid) => `gocryptfs ${pid}`),
      ...((await exists(dataDir)) ? [dataDir] : []),
      ...((await exists(volumeDir)) ? [volumeDir] : []),
      ...(await backing.traces(tenantId)),
    ];
  }
}

async function close({ tenantId, dataDir }: Place): Promise<void> {
  await unmountAll(dataDir);
  await endDaemons(dataDir);
  await leaveGroup(tenantId);
}

/** Whether what is mounted is a volume and answers: a daemon that died leaves its mount behind. */
async function isOpen(dataDir: string): Promise<boolean> {
  const mounted = await mountOn(dataDir);
  if (mounted?.fileSystem !== FILE_SYSTEM || mountFaults(mounted).length > 0) return false;
  return lstat(dataDir).then(
    () => true,
    () => false,
  );
}

async function unmountAll(path: string): Promise<void> {
  // A crash between two mounts may have left several on top of each other. Never lazily: a busy mount is still in use.
  while (await mountOn(path)) await run("umount", ["--no-canonicalize", "--", path]);
}

const NO_KEY = "The agent's storage key is missing.";
const WRONG_KEY = "The agent's storage does not open with its key.";
const WORDS = {
  open: "The agent's storage could not be opened.",
  close: "The agent's storage could not be closed.",
  destroy: "The agent's storage could not be removed.",
  freeze: "The agent's storage could not be limited.",
} as const;

async function guarded<T>(operation: keyof typeof WORDS, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StepError) throw error;
    const isWrongKey = error instanceof CryptError && error.isWrongKey;
    // A full disk, a busy mount: what an operator clears, a later try passes. Another key will not come by itself.
    const words = isWrongKey ? WRONG_KEY : WORDS[operation];
    throw new StepError(words, { retryable: !isWrongKey, cause: error, log: String(error) });
  }
}
