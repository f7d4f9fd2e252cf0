import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/**
 * Everything of one test run carries the pid of its runner in its name: namespaces and cgroups `chl-PID-…`, files below
 * one directory. So a killed run can be removed by a later one without guessing what is whose.
 */
export const runName = (run: number, part: string) => `chl-${run}-${part}`;
/** Short: the path of a unix socket ends at 107 bytes. */
export const runDir = (run: number) => `/var/tmp/chl-${run}`;

const execute = promisify(execFile);
export const ip = async (...args: string[]): Promise<string> => (await execute("ip", args)).stdout;

const NETNS = "/run/netns";
type Ours = (name: string) => boolean;
const namespaces = async (ours: Ours) => (await readdir(NETNS).catch(() => [])).filter(ours);

/** Runs whose runner is dead. */
export async function leftoverRuns(): Promise<number[]> {
  const names = [...(await namespaces(() => true)), ...(await readdir("/var/tmp"))];
  const runs = names.flatMap((name) => /^chl-(\d+)(?:-|$)/.exec(name)?.[1] ?? []).map(Number);
  return [...new Set(runs)].filter((run) => !existsSync(`/proc/${run}`));
}

export async function removeRun(run: number): Promise<void> {
  const prefix = runName(run, "");
  await removeAll((name) => name.startsWith(prefix), runDir(run));
}

/** One host of a run: its namespace, the cgroup of the same name, and its directory. */
export const removePart = (name: string, directory: string) => removeAll((other) => other === name, directory);

/** Processes first, then the mounts and the directory that they held. */
async function removeAll(ours: Ours, directory: string): Promise<void> {
  await killAll(ours);
  await detachLoops(directory);
  await unmountBelow(directory);
  for (const name of await namespaces(ours)) await ip("netns", "delete", name);
  for (const path of await cgroups(ours)) await removeCgroup(path);
  // rm(1): what a hostile tenant of a killed test left may be deeper than PATH_MAX, where a walk by path names fails.
  await execute("rm", ["-rf", "--one-file-system", "--", directory]);
}

/** Only processes inside our own namespaces and cgroups, again and again: one that is forking escapes a single look. */
async function killAll(ours: Ours): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const pids = new Set<number>();
    for (const path of await cgroups(ours)) {
      await thawBelow(path);
      for (const pid of await pidsBelow(path)) pids.add(pid);
    }
    for (const name of await namespaces(ours)) {
      for (const pid of (await ip("netns", "pids", name)).split("\n").filter(Boolean)) pids.add(Number(pid));
    }
    pids.delete(process.pid);
    if (pids.size === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone meanwhile.
      }
    }
    await sleep(50);
  }
  throw new Error(`processes below ${[...(await namespaces(ours))].join(", ")} do not end`);
}

/** Containers live in network namespaces without a name; their cgroups tell them. Version 1 has a tree per controller. */
async function cgroups(ours: Ours): Promise<string[]> {
  const root = "/sys/fs/cgroup";
  const trees = [root, ...(await directories(root)).map((name) => `${root}/${name}`)];
  const found = await Promise.all(
    trees.map(async (tree) => (await directories(tree)).filter(ours).map((n) => `${tree}/${n}`)),
  );
  return found.flat();
}

async function directories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

async function pidsBelow(cgroup: string): Promise<number[]> {
  const own = (await readFile(`${cgroup}/cgroup.procs`, "utf8").catch(() => ""))
    .split("\n")
    .filter(Boolean)
    .map(Number);
  const below = await Promise.all((await directories(cgroup)).map((name) => pidsBelow(`${cgroup}/${name}`)));
  return [...own, ...below.flat()];
}

/** What is frozen, as sleeping agents are, dies only when it is thawed. Version 1 and 2 of cgroups, each by its own file. */
async function thawBelow(cgroup: string): Promise<void> {
  await writeFile(`${cgroup}/freezer.state`, "THAWED", { flag: "r+" }).catch(() => {});
  await writeFile(`${cgroup}/cgroup.freeze`, "0", { flag: "r+" }).catch(() => {});
  for (const name of await directories(cgroup)) await thawBelow(`${cgroup}/${name}`);
}

async function removeCgroup(path: string): Promise<void> {
  for (const name of await directories(path)) await removeCgroup(`${path}/${name}`);
  // Busy until the kernel has reaped the last process.
  for (let attempt = 0; attempt < 40; attempt++) {
    const error = await rmdir(path).then(
      () => null,
      (reason: NodeJS.ErrnoException) => reason,
    );
    if (error === null || error.code === "ENOENT") return;
    await sleep(50);
  }
}

/** Innermost first. A mount that stays would make the removal of the directory reach through it. */
async function unmountBelow(directory: string): Promise<void> {
  for (const point of (await mountPoints(directory)).reverse()) {
    await execute("umount", [point])
      .catch(() => execute("umount", ["--lazy", point]))
      .catch(() => {});
  }
  const left = await mountPoints(directory);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
}

export async function mountPoints(directory: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  const octal = (text: string) =>
    text.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)));
  return lines.map((line) => octal(line.split(" ")[4] ?? "")).filter((point) => point.startsWith(`${directory}/`));
}

async function detachLoops(directory: string): Promise<void> {
  const { stdout } = await execute("losetup", ["--list", "--json", "--output", "NAME,BACK-FILE"]);
  const { loopdevices = [] } = stdout ? (JSON.parse(stdout) as Losetup) : {};
  for (const { name, "back-file": file } of loopdevices) {
    // A device that is still mounted is let go at its unmount.
    if (file?.startsWith(`${directory}/`)) await execute("losetup", ["--detach", name]).catch(() => {});
  }
}

interface Losetup {
  loopdevices?: { name: string; "back-file": string | null }[];
}
