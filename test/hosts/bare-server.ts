import { type ChildProcess, execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { SERVER_PACKAGE_LIST } from "../../host-agent/bootstrap/packages.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { createPlace, type Place, runAt, spawnAt } from "./network.ts";

const execute = promisify(execFile);

/** What a freshly installed Debian server has, and no more. */
const BASE = ["systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "iptables", "kmod", "procps"];
const SUITE = "bookworm";
const MIRROR = "http://deb.debian.org/debian";

const archiveFile = (): string => {
  const key = createHash("sha256")
    .update(JSON.stringify(["1", SUITE, BASE, SERVER_PACKAGE_LIST]))
    .digest("hex");
  return `${IMAGE_CACHE}/chelar-bare-${key.slice(0, 16)}.tar`;
};

/**
 * Makes a bare Debian once per machine: about a minute, and outside of the test network, which has no mirror. Packages
 * that the bootstrap will ask for lie in apt's cache, fetched and not installed.
 */
export async function makeBareServerArchive(say: (line: string) => void): Promise<void> {
  const archive = archiveFile();
  if (existsSync(archive)) return;
  say("test server: building a bare Debian (about a minute, once) …");
  await mkdir(IMAGE_CACHE, { recursive: true });
  const dir = await mkdtemp(`${IMAGE_CACHE}/bare-`);
  const root = `${dir}/root`;
  const apt = (...args: string[]) =>
    execute("unshare", ["--mount", "--pid", "--fork", "chroot", root, "apt-get", "-q", ...args], {
      maxBuffer: 64 * 2 ** 20,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
  try {
    const debootstrap = ["debootstrap", "--variant=minbase", `--include=${BASE.join(",")}`, SUITE, root, MIRROR];
    const inNamespaces = ["--mount", "--pid", "--fork", "--propagation=private"];
    await execute("unshare", [...inNamespaces, ...debootstrap], { maxBuffer: 64 * 2 ** 20 });
    await apt("update");
    await apt("install", "-y", "--no-install-recommends", "--download-only", ...SERVER_PACKAGE_LIST);
    // Rebuilt from the lists where it is needed; a hundred megabytes that every test server would copy.
    for (const spare of [
      "var/cache/apt/pkgcache.bin",
      "var/cache/apt/srcpkgcache.bin",
      "var/cache/apt/archives/partial",
    ]) {
      await rm(`${root}/${spare}`, { recursive: true, force: true });
    }
    await execute("tar", ["--create", "--file", `${dir}/archive`, "--numeric-owner", "-C", root, "."]);
    await rename(`${dir}/archive`, archive);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** A Debian server with systemd and a real sshd, on the wire: nothing of ours is on it. */
export interface BareServer extends Place {
  /** Its file system, seen from outside. */
  root: string;
  /** Fingerprint of its Ed25519 host key, as its own console would show it. */
  fingerprint(): Promise<string>;
  /** Makes new host keys, as a new installation would, or somebody in between. */
  changeHostKey(): Promise<void>;
  /** Orderly; resolves when sshd answers again. */
  reboot(): Promise<void>;
  /** Runs a program on its console, as root. */
  console(file: string, ...args: string[]): Promise<string>;
}

/** Machines of namespaces lack what only a real kernel's owner has: what he may write, and loop devices. Given back before Docker starts. */
const OWN_KERNEL_UNIT = `[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mount -o remount,bind,rw /proc/sys; for c in /sys/fs/cgroup/*; do mount -o remount,bind,rw "$c"; done; mknod -m 600 /dev/loop-control c 10 237; for n in $(seq 0 31); do mknod -m 660 /dev/loop$n b 7 $n; done'
[Install]
WantedBy=sysinit.target
`;

/** Its disk is thrown away after the test: nothing is flushed for a power failure, and nobody reads the manuals. */
const HASTY_DPKG = `force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
`;

/** Joins a cgroup of the run in every hierarchy, so that cleaning up finds all that ever ran there; then becomes nspawn. */
const JOIN_CGROUPS = `for c in /sys/fs/cgroup/*/; do
  [ -e "$c/cgroup.procs" ] || continue
  mkdir -p "$c$0" || exit 1
  for f in cpuset.cpus cpuset.mems; do [ -e "$c$f" ] && cat "$c$f" > "$c$0/$f"; done
  echo $$ > "$c$0/cgroup.procs" || exit 1
done
exec "$@"`;

/** `authorizedKey` is a line for root's authorized_keys. Resolves when sshd answers. */
export async function createBareServer(authorizedKey: string): Promise<BareServer> {
  const archive = archiveFile();
  if (!existsSync(archive)) throw new Error("the bare Debian is not built yet: `npm test` builds it first");
  const place = await createPlace("h");
  const root = `${place.dir}/root`;
  let nspawn: ChildProcess;
  try {
    await mkdir(root);
    await execute("tar", ["--extract", "--file", archive, "--numeric-owner", "-C", root]);
    await mkdir(`${root}/root/.ssh`, { recursive: true, mode: 0o700 });
    await writeFile(`${root}/root/.ssh/authorized_keys`, `${authorizedKey}\n`, { mode: 0o600 });
    await writeFile(`${root}/etc/hostname`, "bare\n");
    await writeFile(`${root}/etc/hosts`, "127.0.0.1 localhost bare\n");
    await writeFile(`${root}/etc/resolv.conf`, "");
    await writeFile(`${root}/etc/dpkg/dpkg.cfg.d/test`, HASTY_DPKG);
    await writeFile(`${root}/etc/systemd/system/own-kernel.service`, OWN_KERNEL_UNIT);
    await execute("chroot", [root, "systemctl", "enable", "own-kernel.service"]);
    await makeHostKey(root);
    nspawn = boot(place, root);
    await untilAnswers(place.address, 22, nspawn);
  } catch (error) {
    await place.destroy();
    throw error;
  }
  const shell = async (file: string, ...args: string[]) => {
    const pid = await leaderOf(place.namespace);
    return runAt(["nsenter", "--target", pid, "--all", "--"], file, args);
  };
  return {
    ...place,
    root,
    console: shell,
    fingerprint: async () => {
      const key = await execute("ssh-keygen", ["-l", "-f", `${root}/etc/ssh/ssh_host_ed25519_key.pub`]);
      return key.stdout.split(" ")[1] ?? "";
    },
    reboot: async () => {
      const ended = new Promise((resolve) => nspawn.once("exit", resolve));
      await shell("systemctl", "reboot", "--no-block");
      // nspawn ends at a reboot and leaves the new start to whoever keeps its unit: to us.
      await ended;
      nspawn = boot(place, root);
      await untilAnswers(place.address, 22, nspawn);
    },
    changeHostKey: async () => {
      await makeHostKey(root);
      await shell("systemctl", "restart", "ssh.service");
    },
  };
}

async function makeHostKey(root: string): Promise<void> {
  const file = `${root}/etc/ssh/ssh_host_ed25519_key`;
  for (const kind of ["ed25519", "ecdsa", "rsa"]) {
    for (const suffix of ["", ".pub"]) await rm(`${root}/etc/ssh/ssh_host_${kind}_key${suffix}`, { force: true });
  }
  await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "bare", "-f", file]);
  await chmod(file, 0o600);
}

function boot(place: Place, root: string): ChildProcess {
  const versionOne = !existsSync("/sys/fs/cgroup/cgroup.controllers");
  const nspawn = [
    ...["systemd-nspawn", `--directory=${root}`, `--machine=${place.namespace}`],
    ...[`--network-namespace-path=/run/netns/${place.namespace}`, "--register=no", "--keep-unit", "--quiet"],
    ...["--boot", "--capability=all", "--bind=/dev/fuse", "--resolv-conf=off", "--timezone=off", "--console=pipe"],
  ];
  return spawnAt([], "sh", ["-c", JOIN_CGROUPS, place.namespace, ...nspawn], {
    stdio: "ignore",
    env: { SYSTEMD_SECCOMP: "0", ...(versionOne ? { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "0" } : {}) },
  });
}

/** Its process 1, as this machine numbers it. */
async function leaderOf(namespace: string): Promise<string> {
  const { stdout } = await execute("ip", ["netns", "pids", namespace]);
  for (const pid of stdout.split("\n").filter(Boolean)) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    if (/^NSpid:\s+\d+\s+1$/m.test(status) && /^Name:\s+systemd$/m.test(status)) return pid;
  }
  throw new Error(`${namespace} has no process 1`);
}

async function untilAnswers(host: string, port: number, process: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (process.exitCode !== null) throw new Error(`systemd-nspawn ended with ${process.exitCode}`);
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port, timeout: 500 });
      socket.once("data", () => resolve(true));
      for (const event of ["error", "timeout", "end"] as const) socket.once(event, () => resolve(false));
      void socket.once("close", () => resolve(false));
    });
    if (answered) return;
    await sleep(100);
  }
  throw new Error(`no SSH server answers at ${host}:${port}`);
}
