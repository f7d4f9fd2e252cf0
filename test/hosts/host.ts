import { closeSync, openSync } from "node:fs";
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { connectDocker, type Docker } from "../../host-agent/containers/index.ts";
import { createImages } from "../../host-agent/runtimes/images.ts";
import type { RuntimeName } from "../../schema/protocol/index.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { createPlace, type Place, runAt, spawnAt } from "./network.ts";

export interface TestHostOptions {
  /** Runtimes whose images are loaded before the host is handed out. `openclaw` needs its archive in the cache. */
  images?: readonly RuntimeName[];
  /** False for a server without Docker. */
  docker?: boolean;
  /** Its own copy of these directories, e.g. /etc/ufw: then programs of the host see mounts of the test process no more. */
  ownDirectories?: readonly string[];
  /** More arguments for dockerd. */
  dockerArgs?: readonly string[];
}

/** A whole server: namespace, address, dockerd with its own data, bridges, iptables and DOCKER-USER. */
export interface TestHost extends Place {
  dockerSocket: string;
  /** Our own client on that socket. */
  docker: Docker;
  startDocker(): Promise<void>;
  /** SIGTERM, as an upgrade of Docker would; SIGKILL as a crash would. Containers of a crash stay. */
  stopDocker(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Another machine on the same wire, one hop away without any router between. */
  addNeighbour(): Promise<Place>;
}

export const UFW_DIRECTORIES = ["/etc/ufw", "/etc/default", "/var/lib/ufw"];

export async function createTestHost(options: TestHostOptions = {}): Promise<TestHost> {
  const place = await createPlace("h");
  const neighbours: Place[] = [];
  const dockerSocket = `${place.dir}/d.sock`;
  let daemon: ReturnType<Place["spawn"]> | null = null;
  let enter = place.enter;

  const host: TestHost = {
    ...place,
    dockerSocket,
    docker: connectDocker({ socketPath: dockerSocket }),
    get enter() {
      return enter;
    },
    run: (file, args, input) => runAt(enter, file, args, input),
    spawn: (file, args, spawnOptions) => spawnAt(enter, file, args, spawnOptions),
    async startDocker() {
      const log = openSync(`${place.dir}/dockerd.log`, "a");
      const args = [...dockerArgs(place), ...(options.dockerArgs ?? [])];
      daemon = host.spawn("dockerd", args, { stdio: ["ignore", log, log] });
      closeSync(log);
      const started = daemon;
      for (;;) {
        if (
          await host.docker.ping().then(
            () => true,
            () => false,
          )
        )
          return;
        if (started.exitCode !== null || started.signalCode !== null) {
          throw new Error(`dockerd ended: ${(await readFile(`${place.dir}/dockerd.log`, "utf8")).slice(-2_000)}`);
        }
        await sleep(50);
      }
    },
    async stopDocker(signal = "SIGTERM") {
      const running = daemon;
      daemon = null;
      if (!running || running.exitCode !== null || running.signalCode !== null) return;
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill(signal);
      await ended;
      await forgetContainerd(`${place.dir}/x/containerd/containerd.pid`);
    },
    async addNeighbour() {
      const neighbour = await createPlace("n");
      neighbours.push(neighbour);
      return neighbour;
    },
    async destroy() {
      for (const neighbour of neighbours) await neighbour.destroy();
      host.docker.close();
      await place.destroy();
    },
  };
  try {
    if (options.ownDirectories) enter = await ownMounts(host, options.ownDirectories);
    if (options.docker !== false) await host.startDocker();
    const images = createImages({ stateDir: `${place.dir}/state`, cacheDir: IMAGE_CACHE, docker: host.docker });
    for (const runtime of options.images ?? []) await images.ensure(runtime, () => {});
    return host;
  } catch (error) {
    await host.destroy();
    throw error;
  }
}

function dockerArgs({ dir, namespace }: Place): string[] {
  return [
    `--host=unix://${dir}/d.sock`,
    `--data-root=${dir}/data`,
    `--exec-root=${dir}/x`,
    `--pidfile=${dir}/d.pid`,
    // Cleaning up finds the containers by it, and so never touches those of another engine.
    `--cgroup-parent=/${namespace}`,
    "--exec-opt=native.cgroupdriver=cgroupfs",
    // A containerd that the machine runs is shared by name; two engines in one name would see each other's containers.
    `--containerd-namespace=${namespace}`,
    `--containerd-plugins-namespace=${namespace}-plugins`,
    "--storage-driver=overlay2",
    "--userland-proxy=false",
    "--icc=false",
    "--bip=172.31.255.1/24",
    "--default-address-pool=base=172.30.0.0/16,size=28",
    "--log-level=warn",
  ];
}

/** A mount namespace, held by a sleeping process, in which the host has copies of those directories. */
async function ownMounts(host: TestHost, directories: readonly string[]): Promise<readonly string[]> {
  const holder = host.spawn("unshare", ["--mount", "--propagation=private", "sleep", "infinity"], { stdio: "ignore" });
  await new Promise((resolve, reject) => holder.once("spawn", resolve).once("error", reject));
  const own = await namespaceOf(holder.pid ?? 0);
  const enter = ["nsenter", `--net=/run/netns/${host.namespace}`, `--mount=/proc/${own}/ns/mnt`, "--"];
  for (const [index, directory] of directories.entries()) {
    const copy = `${host.dir}/own${index}`;
    await mkdir(copy);
    // UFW makes its directory for state when it is first used; a mount needs a place to be mounted on.
    await mkdir(directory, { recursive: true });
    await cp(directory, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await runAt(enter, "mount", ["--bind", copy, directory]);
  }
  return enter;
}

/** Waits until the process has left our own mount namespace: entering before would bind over this machine's files. */
async function namespaceOf(pid: number): Promise<number> {
  const mounts = (of: number | "self") => runAt([], "readlink", [`/proc/${of}/ns/mnt`]);
  const ours = await mounts("self");
  for (let attempt = 0; attempt < 200; attempt++) {
    if ((await mounts(pid)) !== ours) return pid;
    await sleep(10);
  }
  throw new Error("the host's mount namespace did not come up");
}

/**
 * dockerd's own containerd dies with it. Where process 1 reaps late (in a container), the next dockerd takes the zombie
 * for a living containerd and waits for it in vain.
 */
async function forgetContainerd(pidFile: string): Promise<void> {
  const pid = await readFile(pidFile, "utf8").catch(() => null);
  if (pid === null) return;
  for (let attempt = 0; attempt < 200; attempt++) {
    const stat = await readFile(`/proc/${pid.trim()}/stat`, "utf8").catch(() => null);
    if (stat === null || /\) [ZX] /.test(stat)) return rm(pidFile, { force: true });
    await sleep(25);
  }
}
