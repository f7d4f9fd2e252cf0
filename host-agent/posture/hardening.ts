import type { Ground } from "./ground.ts";
import { type Attack, type Attempt, refusedWith, showing, stoppedBy } from "./rules.ts";

/** The fourth wall: what a tenant's own process may do to its kernel. System call numbers: x86-64, then arm64. */
const CALLS = {
  add_key: [248, 217],
  bpf: [321, 280],
  chroot: [161, 51],
  clock_gettime: [228, 113],
  clock_settime: [227, 112],
  init_module: [175, 105],
  kexec_load: [246, 104],
  mknodat: [259, 33],
  mount: [165, 40],
  open_by_handle_at: [304, 265],
  perf_event_open: [298, 241],
  pivot_root: [155, 41],
  prlimit64: [302, 261],
  ptrace: [101, 117],
  reboot: [169, 142],
  sethostname: [170, 161],
  setuid: [105, 146],
  umount2: [166, 39],
  unshare: [272, 97],
} as const;

const O_WRONLY = 1;
const CLONE_NEWNS = 0x0002_0000;
const CLONE_NEWUSER = 0x1000_0000;
const MS_REMOUNT_BIND = 0x1020;
/** Changes nothing where it is allowed: only whether Ctrl-Alt-Del reboots. */
const REBOOT = [0xfee1_dead, 672_274_793, 0, 0];
const RLIMIT_CORE = 4;
const UNLIMITED = `h:${"ff".repeat(16)}`;

const NONE = "0000000000000000";
export const CAPABILITY_SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

export function hardeningAttacks(ground: Ground): Attack[] {
  const { limits, attacker, neighbour } = ground;
  const number = (name: keyof typeof CALLS) => CALLS[name][ground.arch === "x64" ? 0 : 1];
  const syscall = (name: keyof typeof CALLS, ...given: (string | number)[]): Attempt => ({
    operation: "syscall",
    arguments: [number(name), ...given],
  });
  const simply =
    (operation: string) =>
    (...given: (string | number)[]): Attempt => ({ operation, arguments: given });
  /** Opened and not written to: where this is allowed, the host's kernel must not notice. */
  const openToWrite = (path: string): Attempt => ({ operation: "open", arguments: [path, O_WRONLY] });
  const [socket, read, write] = [simply("socket"), simply("read"), simply("write")];
  const row = (
    id: string,
    source: string,
    tries: string,
    must: string,
    attempt: Attempt,
    judge: Attack["judge"],
    more: Partial<Attack> = {},
  ): Attack => ({ id, layer: 4, source, from: "inside", tries, must, attempt, judge, ...more });
  const refused = (id: string, source: string, tries: string, attempt: Attempt, ...errnos: string[]) =>
    row(id, source, tries, `refused: ${errnos.join(" or ")}`, attempt, refusedWith(...errnos));
  const status = (id: string, source: string, tries: string, path: string, wanted: Record<string, string>) =>
    row(id, source, tries, "as the plan says", read(path), showingStatus(wanted));
  const worthless = `Uid ${attacker.uid} CapPrm ${NONE} CapBnd ${NONE}`;
  const noCapability = Object.fromEntries(CAPABILITY_SETS.map((set) => [set, NONE]));

  return [
    status("caps-own", "CIS Docker 5.4", "have any capability", "/proc/self/status", noCapability),
    status("caps-init", "CIS Docker 5.4", "find one in the container's init", "/proc/1/status", noCapability),
    status("no-new-privs", "CIS Docker 5.26", "gain privileges by running a program", "/proc/self/status", {
      NoNewPrivs: "1",
    }),
    status("seccomp", "CIS Docker 5.22", "run without a filter on system calls", "/proc/self/status", { Seccomp: "2" }),
    row(
      "namespaces",
      "CIS Docker 5.10, 5.16, 5.17, 5.21",
      "share a namespace with the host",
      "six namespaces of its own",
      simply("namespaces")(),
      showing(
        (own) => shared(own, ground.hostNamespaces),
        (own) => own,
      ),
    ),
    refused("become-root", "CIS Docker 5.24", "setuid(0)", syscall("setuid", 0), "EPERM"),
    row(
      "setuid-program",
      "CIS Docker 5.26; CVE-2021-4034",
      "run a set-user-ID root program on the data mount",
      "its effective UID stays the tenant's",
      simply("setuid")("/data/attack/rootcat"),
      showing(
        (uid) => (uid === `effective uid ${attacker.uid}` ? null : uid),
        (uid) => uid,
      ),
    ),
    refused(
      "device-on-data",
      "CIS Docker 5.18",
      "open a device node on the data mount",
      simply("open")("/data/attack/zero", 0),
      "EACCES",
    ),
    refused(
      "mknod",
      "CIS Docker 5.4",
      "make the node of the kernel's memory",
      syscall("mknodat", -100, "s:/tmp/mem", 0o020_666, 0x101),
      "EPERM",
    ),
    refused("write-root", "CIS Docker 5.13", "write to the root file system", write("/chelar-probe"), "EROFS"),
    refused(
      "remount-root",
      "CIS Docker 5.13",
      "remount the root writable",
      syscall("mount", "s:none", "s:/", "s:none", MS_REMOUNT_BIND, "s:"),
      "EPERM",
    ),
    refused(
      "write-config",
      "Agents of Chaos 10",
      "change the platform's configuration",
      write("/chelar/config/echo.json"),
      "EROFS",
      "EACCES",
    ),
    refused(
      "read-env-file",
      "Agents of Chaos 3",
      "read the secrets' file after the start",
      read("/chelar/env/env"),
      "ENOENT",
    ),
    refused(
      "run-from-tmp",
      "CIS Docker 5.26",
      "run a program from /tmp",
      simply("execute")("/chelar/busybox", "/tmp/busybox"),
      "EACCES",
    ),
    refused(
      "mount",
      "CIS Docker 5.4",
      "mount a file system",
      syscall("mount", "s:none", "s:/tmp", "s:tmpfs", 0, "s:"),
      "EPERM",
    ),
    refused(
      "mount-cgroup",
      "CVE-2022-0492",
      "mount the cgroups to set a release agent",
      syscall("mount", "s:none", "s:/tmp", "s:cgroup", 0, "s:memory"),
      "EPERM",
    ),
    refused(
      "write-cgroup",
      "CVE-2022-0492",
      "raise its own limits in the cgroup file system",
      openToWrite(`/sys/fs/cgroup/${ground.cgroupVersion === "2" ? "memory.max" : "memory/memory.limit_in_bytes"}`),
      "EROFS",
      "EACCES",
    ),
    refused(
      "umount-mask",
      "CVE-2025-31133",
      "take the mask off /proc/keys",
      syscall("umount2", "s:/proc/keys", 0),
      "EPERM",
    ),
    refused(
      "unshare-user",
      "CVE-2022-0185",
      "enter a user namespace of its own",
      syscall("unshare", CLONE_NEWUSER),
      "EPERM",
    ),
    refused(
      "unshare-mount",
      "CVE-2022-0185",
      "enter a mount namespace of its own",
      syscall("unshare", CLONE_NEWNS),
      "EPERM",
    ),
    refused("chroot", "CIS Docker 5.4", "chroot", syscall("chroot", "s:/tmp"), "EPERM"),
    refused("pivot-root", "CVE-2019-5736", "pivot_root", syscall("pivot_root", "s:/tmp", "s:/tmp"), "EPERM"),
    refused(
      "open-by-handle",
      "CVE-2014-3519",
      "open a file of the host by its handle (shocker)",
      syscall("open_by_handle_at", 0, `h:${"00".repeat(16)}`, 0),
      "EPERM",
    ),
    refused("sethostname", "CIS Docker 5.21", "change the host name", syscall("sethostname", "s:owned", 5), "EPERM"),
    refused(
      "clock",
      "CIS Docker 5.4",
      "clock_settime",
      simply("set_clock")(number("clock_gettime"), number("clock_settime")),
      "EPERM",
    ),
    refused("reboot", "CIS Docker 5.4", "reboot", syscall("reboot", ...REBOOT), "EPERM"),
    refused("kexec", "CIS Docker 5.22", "boot another kernel", syscall("kexec_load", 0, 0, 0, 0), "EPERM"),
    refused(
      "load-module",
      "CIS Docker 5.4",
      "load a kernel module",
      syscall("init_module", `h:${"00".repeat(8)}`, 8, "s:"),
      "EPERM",
    ),
    refused("bpf", "CVE-2021-3490", "load a BPF program", syscall("bpf", 0, `h:${"00".repeat(16)}`, 16), "EPERM"),
    refused(
      "perf",
      "CVE-2013-2094",
      "perf_event_open",
      syscall("perf_event_open", `h:${"00".repeat(128)}`, 0, -1, -1, 0),
      "EPERM",
    ),
    refused(
      "keyring",
      "CVE-2016-0728",
      "use the kernel's keyring",
      syscall("add_key", "s:user", "s:probe", "s:x", 1, -3),
      "EPERM",
    ),
    row(
      "ptrace-init",
      "CVE-2019-13272",
      "take over the container's init",
      "refused, or nothing gained: its own UID, no capability",
      simply("ptrace_init")(number("ptrace")),
      (seen) =>
        seen.verdict === "refused"
          ? refusedWith("EPERM")(seen)
          : showing(
              (gain) => (gain === worthless ? null : `init was taken over: ${gain}`),
              (gain) => `init can be traced, which gains nothing: ${gain}`,
            )(seen),
    ),
    refused(
      "af-alg",
      "CVE-2026-31431",
      "socket(AF_ALG): the kernel's cryptography",
      socket(38, 5, 0),
      "EPERM",
      "EAFNOSUPPORT",
    ),
    refused("af-packet", "CVE-2020-14386", "socket(AF_PACKET): any frame at all", socket(17, 3, 0x0300), "EPERM"),
    refused("raw-socket", "CIS Docker 5.4", "a raw IP socket: any packet at all", socket(2, 3, 255), "EPERM"),
    refused(
      "core-pattern",
      "CVE-2022-0811",
      "set the host's core_pattern",
      openToWrite("/proc/sys/kernel/core_pattern"),
      "EROFS",
      "EACCES",
    ),
    refused(
      "host-sysctl",
      "CIS Docker 5.4",
      "change a setting of the host's kernel",
      openToWrite("/proc/sys/vm/overcommit_memory"),
      "EROFS",
      "EACCES",
    ),
    row(
      "masked-proc",
      "CVE-2025-31133",
      "read the kernel's keys in /proc/keys, which has no namespace",
      "masked",
      simply("masked")("/proc/keys"),
      showing(
        (found) => (found === "masked" ? null : found),
        (found) => found,
      ),
    ),
    refused(
      "docker-socket",
      "CIS Docker 5.32",
      "connect to Docker's socket",
      simply("connect_unix")("/var/run/docker.sock"),
      "ENOENT",
    ),
    refused(
      "core-dump",
      "CIS Docker 5.19",
      "raise the limit of core dumps",
      syscall("prlimit64", 0, RLIMIT_CORE, UNLIMITED, 0),
      "EPERM",
    ),
    refused(
      "neighbour-path",
      "Agents of Chaos 3",
      "open another tenant's data by its path",
      read(`${neighbour.dataDir}/secret`),
      "ENOENT",
    ),
    {
      ...refused(
        "neighbour-volume",
        "Agents of Chaos 3",
        "escaped with its own UID: read another tenant's volume",
        read(`${neighbour.dataDir}/secret`),
        "EACCES",
      ),
      from: "escaped",
    },
    {
      ...refused(
        "neighbour-backing",
        "Agents of Chaos 3",
        "escaped with its own UID: read the backing of another's volume",
        read(`${neighbour.volumeDir}/data/secret`),
        "EACCES",
      ),
      from: "escaped",
    },
    row(
      "fork-bomb",
      "CIS Docker 5.29; Agents of Chaos 4",
      "start processes without end",
      `stopped at ${limits.pids}`,
      simply("fork_bomb")(limits.pids * 4),
      stoppedBy(limits.pids, "processes"),
      { alone: true },
    ),
    row(
      "fill-tmp",
      "Agents of Chaos 5",
      "fill /tmp",
      `stopped at ${limits.tmpMiB} MiB`,
      simply("fill")("/tmp/probe", limits.tmpMiB * 3),
      stoppedBy(limits.tmpMiB, "MiB"),
      { alone: true },
    ),
    row(
      "fill-shm",
      "Agents of Chaos 5",
      "fill /dev/shm",
      `stopped at ${limits.shmMiB} MiB`,
      simply("fill")("/dev/shm/probe", limits.shmMiB * 3),
      stoppedBy(limits.shmMiB, "MiB"),
      { alone: true },
    ),
    row(
      "memory-bomb",
      "CIS Docker 5.11; Agents of Chaos 5",
      "take memory without end",
      `stopped at ${limits.memoryMiB} MiB`,
      simply("memory_bomb")(limits.memoryMiB * 3),
      stoppedBy(limits.memoryMiB, "MiB"),
      { alone: true },
    ),
  ];
}

function showingStatus(wanted: Record<string, string>): Attack["judge"] {
  const valueIn = (text: string, name: string) => new RegExp(`(?:^|;)${name}:\\s*([^;]*)`).exec(text)?.[1]?.trim();
  const describe = (text: string) =>
    Object.keys(wanted)
      .map((name) => `${name} ${valueIn(text, name)}`)
      .join(", ");
  return showing(
    (text) => (Object.entries(wanted).every(([name, value]) => valueIn(text, name) === value) ? null : describe(text)),
    describe,
  );
}

/** Names the first namespace that both have. */
function shared(own: string, hosts: string): string | null {
  const theirs = new Set(hosts.split(" "));
  const both = own.split(" ").filter((namespace) => theirs.has(namespace) || !namespace.includes(":["));
  return both.length === 0 ? null : `shared with the host: ${both.join(", ")}`;
}
