import { chmod, chown, lstat, mkdir, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { TenantLayout } from "../tenants/layout.ts";
import { StepError, type Volumes } from "../tenants/ports.ts";
import { mountFaults } from "./rules.ts";
import { mountOn, run } from "./run.ts";

export { ensureMemoryBacked, isMemoryBacked } from "./memory.ts";

/**
 * Volumes as plain directories: `volumeDir/data` is the backing, bind-mounted on `dataDir` with nosuid and nodev.
 * `diskMiB` is not enforced here, and nothing is encrypted: both need another backing behind this same port.
 */
export function directoryVolumes(): Volumes {
  return {
    open: (layout) =>
      guarded("open", async () => {
        const backing = backingOf(layout);
        await rootOnly(dirname(layout.volumeDir));
        await rootOnly(layout.volumeDir);
        await ownDirectory(backing);
        // Never 0700 of root for a moment in between: nobody but root can reach it below a root-only parent.
        const { uid } = await lstat(backing);
        if (uid === 0) await chown(backing, layout.uid, layout.uid);
        // A host that lost its journal gives each tenant a new UID, to which its files would be closed. chown(1) changes
        // links and not what they point to, and the directory itself last: a walk that was killed is begun again.
        else if (uid !== layout.uid) await run("chown", ["-hR", `${layout.uid}:${layout.uid}`, "--", backing]);
        await chmod(backing, 0o700);
        await rootOnly(dirname(layout.dataDir));
        if (await sameDirectory(backing, layout.dataDir)) {
          const mounted = await mountOn(layout.dataDir);
          if (mounted && mountFaults(mounted).length === 0) return;
        }
        await unmountAll(layout.dataDir);
        // Root's own, so that a container started without the mount could write nothing.
        await rootOnly(layout.dataDir);
        await run("mount", ["-o", "bind,nosuid,nodev,private", "--", backing, layout.dataDir]);
        const standing = await mountOn(layout.dataDir);
        const faults = standing ? mountFaults(standing) : ["a mount"];
        if (faults.length > 0) throw new Error(`${layout.dataDir} lacks ${faults.join(", ")}`);
      }),

    close: (layout) => guarded("close", () => unmountAll(layout.dataDir)),

    destroy: (layout) =>
      guarded("destroy", async () => {
        await unmountAll(layout.dataDir);
        // rmdir, not rm: if anything still lay there, it would not be ours to delete.
        await rmdir(layout.dataDir).catch(ignore("ENOENT"));
        // rm(1) walks by directory handles: a hostile tree can neither lead it out by a symbolic link nor stop it by
        // paths longer than PATH_MAX, which a walk by path names (fs.rm) cannot delete.
        await run("rm", ["-rf", "--one-file-system", "--", layout.volumeDir]);
        for (const path of [layout.dataDir, layout.volumeDir]) {
          if (await exists(path)) throw new Error(`${path} is still there`);
        }
      }),
  };
}

export const backingOf = (layout: TenantLayout): string => `${layout.volumeDir}/data`;

/** Makes a directory that only root may enter, or insists that it is one. */
async function rootOnly(path: string): Promise<void> {
  await ownDirectory(path);
  const { uid } = await lstat(path);
  if (uid !== 0) throw new Error(`${path} belongs to ${uid} and not to root`);
  await chmod(path, 0o700);
}

async function ownDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  // chown and chmod follow links: a link here would give away what it points to.
  if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is not a directory`);
}

async function unmountAll(path: string): Promise<void> {
  // A crash between two mounts may have left several on top of each other. Never lazily: a busy mount is still in use.
  while (await mountOn(path)) await run("umount", ["--no-canonicalize", "--", path]);
}

async function sameDirectory(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([lstat(a), lstat(b).catch(ignore("ENOENT"))]);
  return first.dev === second?.dev && first.ino === second.ino;
}

const exists = async (path: string): Promise<boolean> => (await lstat(path).catch(ignore("ENOENT"))) !== undefined;

const ignore = (code: string) => (error: NodeJS.ErrnoException) => {
  if (error.code !== code) throw error;
};

const WORDS = {
  open: "The agent's storage could not be opened.",
  close: "The agent's storage could not be closed.",
  destroy: "The agent's storage could not be removed.",
} as const;

async function guarded(operation: keyof typeof WORDS, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // A full disk, a busy mount: what an operator clears, a later try passes.
    throw new StepError(WORDS[operation], { retryable: true, cause: error, log: String(error) });
  }
}
