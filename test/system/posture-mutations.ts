import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { ContainerSpec } from "../../host-agent/containers/index.ts";
import type { Weaken } from "../../host-agent/posture/canary.ts";
import type { Stage } from "../../host-agent/posture/index.ts";
import { cipherDirOf } from "../../host-agent/storage/index.ts";
import type { TenantLayout } from "../../host-agent/tenants/layout.ts";
import { runAt } from "../hosts/network.ts";

/** What is taken away so that one attack gets through: every defence that stops it, and none besides. */
export interface Weakening {
  name: string;
  attacks: readonly string[];
  weaken: Weaken;
  /** On the stage, before the attacks run. */
  after?: (stage: Stage) => Promise<void>;
}

type HostConfig = ContainerSpec["body"]["HostConfig"];
type Loosely<T> = { [K in keyof T]?: unknown };

const config = (change: Loosely<HostConfig> & Record<string, unknown>, more: Record<string, unknown> = {}) =>
  ({
    plan: (plan) =>
      ({
        ...plan,
        body: { ...plan.body, ...more, HostConfig: { ...plan.body.HostConfig, ...change } },
      }) as ContainerSpec,
  }) satisfies Weaken;

/** A container whose process is root and has these capabilities; the one more lets it into its tenant's directory. */
export const asRoot = (capabilities: readonly string[], change: Loosely<HostConfig> & Record<string, unknown> = {}) =>
  config({ CapAdd: [...capabilities, "DAC_OVERRIDE"], ...change }, { User: "0:0" });

const root = (capability: string, ...attacks: string[]): Weakening => ({
  name: `with ${capability}`,
  attacks,
  weaken: asRoot([capability]),
});

export const UNCONFINED = ["no-new-privileges", "seccomp=unconfined"];

export const hardeningWeakenings = ({ dockerSocket }: { dockerSocket: string }): Weakening[] => [
  root("NET_BIND_SERVICE", "caps-own", "caps-init"),
  root("MKNOD", "mknod"),
  root("SYS_ADMIN", ...["mount", "mount-cgroup", "unshare-mount", "sethostname", "umount-mask", "bpf", "perf"]),
  { name: "with SYS_ADMIN, alone", attacks: ["remount-root"], weaken: asRoot(["SYS_ADMIN"]) },
  root("SYS_CHROOT", "chroot"),
  root("DAC_READ_SEARCH", "open-by-handle"),
  root("SYS_TIME", "clock"),
  // In a PID namespace of its own the kernel has nothing to reboot.
  {
    name: "with SYS_BOOT among the host's processes",
    attacks: ["reboot"],
    weaken: asRoot(["SYS_BOOT"], { PidMode: "host" }),
  },
  // Docker's filter refuses these two whatever capabilities there are.
  {
    name: "with SYS_ADMIN and SYS_BOOT, without the filter",
    attacks: ["pivot-root", "kexec"],
    weaken: asRoot(["SYS_ADMIN", "SYS_BOOT"], { SecurityOpt: UNCONFINED }),
  },
  // Where the kernel has neither call (ENOSYS instead of EPERM), past the wall is as far as anybody comes; posture-kernel.ts
  // has one that has both.
  root("SYS_MODULE", "load-module"),
  root("SYS_PTRACE", "ptrace-init"),
  root("NET_RAW", "af-packet", "raw-socket"),
  { name: "as root", attacks: ["become-root"], weaken: asRoot([]) },
  { name: "without no-new-privileges", attacks: ["no-new-privs"], weaken: config({ SecurityOpt: [] }) },
  {
    name: "without the system call filter",
    attacks: ["seccomp", "unshare-user", "keyring"],
    weaken: config({ SecurityOpt: UNCONFINED }),
  },
  { name: "with the host's IPC namespace", attacks: ["namespaces"], weaken: config({ IpcMode: "host" }) },
  { name: "with the host's processes", attacks: ["namespaces"], weaken: config({ PidMode: "host" }) },
  { name: "with the host's name", attacks: ["namespaces"], weaken: config({ UTSMode: "host" }, { Hostname: "" }) },
  {
    name: "without no-new-privileges, with suid on the data mount",
    attacks: ["setuid-program"],
    weaken: { ...config({ SecurityOpt: [] }), volume: (layout) => remount(layout, "suid,nodev") },
  },
  {
    name: "with devices on the data mount",
    attacks: ["device-on-data"],
    weaken: { volume: (layout) => remount(layout, "nosuid,dev") },
  },
  {
    name: "with a writable root file system, as root",
    attacks: ["write-root"],
    weaken: asRoot([], { ReadonlyRootfs: false }),
  },
  { name: "with a writable configuration, as root", attacks: ["write-config"], weaken: { plan: writableConfig } },
  {
    name: "with the secrets' file left behind",
    attacks: ["read-env-file"],
    weaken: {},
    after: async ({ attacker: { layout } }) => {
      await writeFile(`${layout.envDir}/env`, "SECRET='x'\n", { mode: 0o400 });
      await chown(`${layout.envDir}/env`, layout.uid, layout.uid);
    },
  },
  { name: "with programs in /tmp", attacks: ["run-from-tmp"], weaken: { plan: temporary(",noexec", ",exec") } },
  { name: "with a /tmp of any size", attacks: ["fill-tmp"], weaken: { plan: temporary(/size=\d+m/, "size=200m") } },
  { name: "with the host's cgroups, as root", attacks: ["write-cgroup"], weaken: { plan: writableCgroups } },
  {
    name: "without read-only paths, as root",
    attacks: ["core-pattern", "host-sysctl"],
    weaken: asRoot([], { ReadonlyPaths: [] }),
  },
  { name: "without masked paths", attacks: ["masked-proc"], weaken: config({ MaskedPaths: [] }) },
  {
    name: "with Docker's socket, as root",
    attacks: ["docker-socket"],
    weaken: { plan: rooted(alsoMounted(() => [dockerSocket, "/var/run/docker.sock"])) },
  },
  {
    name: "with core dumps",
    attacks: ["core-dump"],
    weaken: config({ Ulimits: [{ Name: "core", Soft: 0, Hard: -1 }] }),
  },
  {
    name: "with everybody's volumes, as root",
    attacks: ["neighbour-path"],
    weaken: { plan: rooted(alsoMounted((data) => [dirname(data), dirname(data)])) },
  },
  { name: "without a limit on processes", attacks: ["fork-bomb"], weaken: config({ PidsLimit: -1 }) },
  {
    name: "without a limit on its volume",
    attacks: ["fill-data"],
    weaken: {
      volume: async (layout) => void (await runAt([], "btrfs", ["qgroup", "limit", "none", cipherDirOf(layout)])),
    },
  },
  { name: "with a large /dev/shm", attacks: ["fill-shm"], weaken: config({ ShmSize: 200 * 2 ** 20 }) },
  {
    name: "without a limit on memory",
    attacks: ["memory-bomb"],
    weaken: config({ Memory: 0, MemorySwap: 0, MemorySwappiness: undefined }),
  },
];

/** Needs a neighbour with something to read. */
export const volumeWeakening: Omit<Weakening, "weaken"> = {
  name: "with volumes that anybody may enter",
  attacks: ["neighbour-volume", "neighbour-backing"],
  after: async ({ ground: { neighbour } }) => {
    const directories = [
      dirname(dirname(neighbour.dataDir)),
      dirname(neighbour.dataDir),
      neighbour.dataDir,
      dirname(neighbour.volumeDir),
      neighbour.volumeDir,
    ];
    for (const directory of directories) await chmod(directory, 0o755);
    for (const file of [`${neighbour.dataDir}/secret`, `${neighbour.volumeDir}/live/gocryptfs.conf`]) {
      await chmod(file, 0o644);
    }
  },
};

async function remount({ dataDir }: TenantLayout, options: string): Promise<void> {
  await runAt([], "mount", ["-o", `remount,bind,${options}`, dataDir]);
}

const rooted = (change: (plan: ContainerSpec) => ContainerSpec) => (plan: ContainerSpec) =>
  asRoot([]).plan(change(plan));

function writableConfig(plan: ContainerSpec): ContainerSpec {
  const own = asRoot([]).plan(plan);
  const { HostConfig } = own.body;
  const Mounts = HostConfig.Mounts.map((mount) =>
    mount.Target === "/chelar/config" ? { ...mount, ReadOnly: false } : mount,
  );
  return { ...own, body: { ...own.body, HostConfig: { ...HostConfig, Mounts } } };
}

const writableCgroups = rooted(
  alsoMounted(() => ["/sys/fs/cgroup", "/sys/fs/cgroup"], { ReadOnly: false, recursive: true }),
);

function temporary(from: string | RegExp, to: string) {
  return (plan: ContainerSpec): ContainerSpec => {
    const { HostConfig } = plan.body;
    const Tmpfs = { "/tmp": HostConfig.Tmpfs["/tmp"].replace(from, to) };
    return { ...plan, body: { ...plan.body, HostConfig: { ...HostConfig, Tmpfs } } };
  };
}

function alsoMounted(
  mount: (dataDir: string) => [source: string, target: string],
  { ReadOnly = true, recursive = false } = {},
) {
  return (plan: ContainerSpec): ContainerSpec => {
    const { HostConfig } = plan.body;
    const data = HostConfig.Mounts.find(({ Target }) => Target === "/data");
    if (!data) throw new Error("the plan has no data mount");
    const [Source, Target] = mount(data.Source);
    const BindOptions = { ...data.BindOptions, NonRecursive: !recursive };
    const Mounts = [...HostConfig.Mounts, { ...data, Source, Target, ReadOnly, BindOptions }];
    return { ...plan, body: { ...plan.body, HostConfig: { ...HostConfig, Mounts } } };
  };
}

/** For attacks without a stage of two: a file where a neighbour's would be. */
export async function plantNeighbour({ dataDir, uid }: TenantLayout): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFile(`${dataDir}/secret`, "a neighbour's secret\n", { mode: 0o600 });
  await chown(dataDir, uid, uid);
  await chown(`${dataDir}/secret`, uid, uid);
}
