import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isInGroupOf } from "./rules.ts";

const ROUNDS = 100;
const PAUSE_MS = 20;

/**
 * Ends what is at work for a container that the engine says does not run. An engine that is killed between the start of a
 * process and its own record of it comes back with the record only (moby before 23): the process goes on with the agent's
 * data, beside the next one that is started, and outlives its agent's deletion. The kernel knows better: each process is
 * in its container's control group. The shim that holds it goes too; with it containerd gives the name free.
 * Returns how many there were; throws when they cannot be ended.
 */
export async function endStrays(containerId: string): Promise<number> {
  const ended = new Set<number>();
  for (let round = 0; round < ROUNDS; round++) {
    const strays = straysOf(containerId);
    if (strays.length === 0) return ended.size;
    for (const pid of strays) {
      ended.add(pid);
      kill(pid);
    }
    // Again: a process may have forked between the look and the signal.
    await sleep(PAUSE_MS);
  }
  throw new Error(`processes of container ${containerId} do not end: ${[...ended].join(", ")}`);
}

/** The shim last: it takes leave of its processes. */
function straysOf(containerId: string): number[] {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const inside = pids.filter((pid) => isIn(pid, containerId) && !isZombie(pid));
  return inside.length > 0 ? inside : pids.filter((pid) => isShimOf(pid, containerId) && !isZombie(pid));
}

const isIn = (pid: number, containerId: string): boolean => isInGroupOf(containerId, read(pid, "cgroup"));

const isShimOf = (pid: number, containerId: string): boolean => {
  if (!read(pid, "comm").startsWith("containerd-shim")) return false;
  const argv = read(pid, "cmdline").split("\0");
  return argv[argv.indexOf("-id") + 1] === containerId;
};

const isZombie = (pid: number): boolean => /^State:\s+Z/m.test(read(pid, "status"));

/** Empty for a process that has ended meanwhile. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
