import { chmod, mkdir, statfs } from "node:fs/promises";
import { run } from "./run.ts";

/** f_type of statfs(2): TMPFS_MAGIC and RAMFS_MAGIC of linux/magic.h. */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);
const SIZE_MIB = 64;

/**
 * Makes sure that what is written below `directory` never reaches a disk: on an ordinary file system a tmpfs is
 * mounted there (64 MiB, so that it cannot eat the host's memory). Before Linux 6.4 a tmpfs may be swapped out.
 */
export async function ensureMemoryBacked(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 });
  if (!(await isMemoryBacked(directory))) {
    const options = `mode=0711,nosuid,nodev,noexec,size=${SIZE_MIB}m`;
    const mount = (more: string) => run("mount", ["-t", "tmpfs", "-o", options + more, "--", "chelar", directory]);
    await mount(",noswap").catch(() => mount(""));
    if (!(await isMemoryBacked(directory))) throw new Error(`${directory} is not on a memory-backed file system`);
  }
  await chmod(directory, 0o711);
}

export async function isMemoryBacked(directory: string): Promise<boolean> {
  return MEMORY_FILE_SYSTEMS.has((await statfs(directory)).type);
}
