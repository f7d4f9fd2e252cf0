import { existsSync } from "node:fs";
import { mkdir, readdir, rmdir, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Each volume is served by a process of its own, outside of its agent's container. It gets a control group of its own, so
 * that twenty threads of one volume weigh as much as one of another, and so that there is something to hold it by.
 */
const ROOT = "/sys/fs/cgroup";
const isUnified = existsSync(`${ROOT}/cgroup.controllers`);
const PARENT = isUnified ? `${ROOT}/chelar` : `${ROOT}/cpu/chelar`;
const PERIOD_US = 100_000;

/**
 * What a volume at its limit gets of one processor. btrfs commits for every write that it refuses, which all who share the
 * file system wait for; with this much, a few dozen are refused in a second, and an agent can still read and make room.
 */
export const HELD_US = 2_500;

/** All that owners take along at the same time weighs as much as one volume: a download is never urgent. */
export const VIEWS = "views";

/** `name`: of a tenant, or `VIEWS`. Does nothing where the kernel has no such groups: that keeps nobody from their data. */
export async function enterGroup(name: string, pid: number): Promise<void> {
  const path = `${PARENT}/${name}`;
  const enter = async () => {
    await mkdir(path, { recursive: true });
    // cgroups(7): in the unified hierarchy a controller is there only where the parent hands it down.
    for (const above of isUnified ? [ROOT, PARENT] : []) await writeFile(`${above}/cgroup.subtree_control`, "+cpu");
    await writeFile(`${path}/cgroup.procs`, String(pid));
  };
  // Another agent of this machine may have swept it away before somebody was in it.
  await enter()
    .catch(enter)
    .catch(() => {});
}

/** Microseconds of processor time in every 100,000; null: as much as there is. */
export async function holdGroup(name: string, quotaUs: number | null): Promise<void> {
  const path = `${PARENT}/${name}`;
  if (isUnified) await writeFile(`${path}/cpu.max`, `${quotaUs ?? "max"} ${PERIOD_US}`);
  else await writeFile(`${path}/cpu.cfs_quota_us`, String(quotaUs ?? -1));
}

/** Of a process that has ended: the kernel counts it for a moment longer. */
export async function leaveGroup(name: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const code = await rmdir(`${PARENT}/${name}`).then(
      () => null,
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (code !== "EBUSY") return;
    await sleep(10);
  }
}

/** What agents left behind that were killed: the kernel itself refuses to remove a group that somebody is in. */
export async function sweepGroups(): Promise<void> {
  const entries = await readdir(PARENT, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await rmdir(`${PARENT}/${entry.name}`).catch(() => {});
}
