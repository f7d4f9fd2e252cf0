import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * gocryptfs (AES-256-GCM per 4 KiB block, names too). The key is 256 random bits, so stretching it would only cost time:
 * 2^10 is the least that gocryptfs takes. It comes by standard input, never as an argument or in a file.
 */
const SCRYPT_LOG_N = "10";

/** What /proc/self/mountinfo calls it. */
export const FILE_SYSTEM = "fuse.gocryptfs";

/** Exit codes of gocryptfs(1), as far as they tell an operator more than a number. */
const EXITS: Readonly<Record<number, string>> = {
  6: "the ciphertext directory is not there",
  10: "the mount point is not empty",
  12: "the key is wrong",
  23: "gocryptfs.conf cannot be read",
  26: "fusermount is missing",
};

export class CryptError extends Error {
  readonly isWrongKey: boolean;
  constructor(what: string, code: number | null) {
    super(`gocryptfs ${what}: ${EXITS[code ?? -1] ?? `it ended with ${code}`}`);
    this.isWrongKey = code === 12;
  }
}

/** Makes an empty directory a volume. */
export async function initialise(cipherDir: string, key: string): Promise<void> {
  const code = await exitOf(gocryptfs(["-q", "-init", "-scryptn", SCRYPT_LOG_N, "--", cipherDir], key));
  if (code !== 0) throw new CryptError("-init", code);
}

const MOUNT = ["-q", "-nosyslog", "-noprealloc", "-allow_other", "-nosuid", "-nodev", "-fsname", "chelar"];
const MOUNTS_WITHIN_SECONDS = 60;

/**
 * Opens a volume. `allow_other`, since its only user is not root; the kernel checks owners and modes
 * (`default_permissions`). Without preallocation a full quota costs one failed write and not two. In the foreground: as
 * a daemon it would start itself a second time.
 *
 * That the mount is there does not say that it may be used: gocryptfs still looks something up in it itself, and whoever
 * makes a file there at that moment stops it for good (it changes its user in all threads, and the one that waits for
 * the directory cannot be asked). It says when it is through, by SIGUSR1 to a process: to one that ends by it.
 */
export async function mountVolume(
  cipherDir: string,
  dataDir: string,
  key: string,
  onSpawn: (pid: number) => Promise<void>,
): Promise<void> {
  const bell = spawn("sleep", [String(MOUNTS_WITHIN_SECONDS)], { stdio: "ignore", detached: true });
  const rung = exitOf(bell).then(() => null);
  const child = gocryptfs(["-fg", "-notifypid", String(bell.pid), ...MOUNT, "--", cipherDir, dataDir], key);
  child.unref();
  const exit = exitOf(child).then((code) => ({ code }));
  if (child.pid) await onSpawn(child.pid);
  const ended = await Promise.race([rung, exit]);
  bell.kill();
  if (ended) throw new CryptError("mount", ended.code);
  if (bell.signalCode === "SIGUSR1") return;
  child.kill("SIGKILL");
  throw new Error(`gocryptfs for ${dataDir} was not ready within ${MOUNTS_WITHIN_SECONDS} s`);
}

/**
 * The process that serves a mount outlives us, so it gets no pipe of ours: its next word after our death would kill it.
 * And no log: at the quota it says a line for every failed write, which a tenant could make millions of.
 */
function gocryptfs(args: readonly string[], key: string): ChildProcess {
  const child = spawn("gocryptfs", args, {
    env: { PATH: "/usr/bin:/usr/sbin:/bin:/sbin", LC_ALL: "C" },
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  child.stdin?.on("error", () => {});
  child.stdin?.end(`${key}\n`);
  return child;
}

const exitOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });

/**
 * Daemons of root's that serve this mount point: each holds the volume's key in its memory. At once and not file by file
 * beside others: a hundred volumes that are opened together would open every process's file a hundred times.
 */
export function daemonsOf(dataDir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return argv[0]?.endsWith("gocryptfs") && argv.at(-2) === dataDir && statSync(`/proc/${pid}`).uid === 0;
      } catch {
        // Ended meanwhile.
        return false;
      }
    })
    .map(Number);
}

/**
 * After the unmount: a copy of the mount in some other mount namespace would keep the daemon, and the key in it, alive.
 */
export async function endDaemons(dataDir: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const pids = daemonsOf(dataDir);
    if (pids.length === 0) return;
    if (attempt === 4) for (const pid of pids) process.kill(pid, "SIGKILL");
    await sleep(25);
  }
  throw new Error(`gocryptfs for ${dataDir} does not end`);
}
