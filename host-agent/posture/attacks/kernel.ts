import type { Ground } from "../ground.ts";
import { type Attack, type Attempt, refusedWith, showing } from "../rules.ts";
import { openToWrite, type Refused, refused, row, simply, socket } from "./rows.ts";

/** The fourth wall: what a tenant's own process may ask of the kernel. System call numbers: x86-64, then arm64. */
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
  name_to_handle_at: [303, 264],
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

const CLONE_NEWNS = 0x0002_0000;
const CLONE_NEWUSER = 0x1000_0000;
const MS_REMOUNT_BIND = 0x1020;
const RLIMIT_CORE = 4;
const UNLIMITED = `h:${"ff".repeat(16)}`;
/** BPF_MAP_CREATE of an array of one: bpf(2). */
const BPF_MAP = [0, `h:${["02", "04", "04", "01"].map((byte) => `${byte}000000`).join("")}`, 16] as const;
/** PERF_TYPE_SOFTWARE, the first version of the struct (64 bytes), the CPU's clock: perf_event_open(2). */
const PERF_CLOCK = `h:0100000040000000${"00".repeat(56)}`;
const NONE = "0000000000000000";

export function kernelAttacks(ground: Ground): Attack[] {
  const number = (name: keyof typeof CALLS) => CALLS[name][ground.arch === "x64" ? 0 : 1];
  const call = (name: keyof typeof CALLS, ...given: (string | number)[]): Attempt =>
    simply("syscall")(number(name), ...given);
  const mount = (what: string, on: string, type: string, flags: number, data: string) =>
    call("mount", `s:${what}`, `s:${on}`, `s:${type}`, flags, `s:${data}`);
  const setClock = simply("set_clock")(number("clock_gettime"), number("clock_settime"));
  const byHandle = simply("by_handle")(
    number("name_to_handle_at"),
    number("open_by_handle_at"),
    "/chelar/config/echo.json",
  );

  const rows: Refused[] = [
    ["become-root", "CIS Docker 4.1", "setuid(0)", call("setuid", 0), "EPERM"],
    [
      "mknod",
      "CIS Docker 5.4",
      "make the node of the kernel's memory",
      call("mknodat", -100, "s:/tmp/mem", 0o020_666, 0x101),
      "EPERM",
    ],
    ["mount", "CIS Docker 5.4", "mount a file system", mount("none", "/tmp", "tmpfs", 0, ""), "EPERM"],
    [
      "mount-cgroup",
      "CVE-2022-0492",
      "mount the cgroups to set a release agent",
      mount("none", "/tmp", "cgroup", 0, "memory"),
      "EPERM",
    ],
    [
      "remount-root",
      "CIS Docker 5.13",
      "remount the root writable",
      mount("none", "/", "none", MS_REMOUNT_BIND, ""),
      "EPERM",
    ],
    ["umount-mask", "CVE-2025-31133", "take the mask off /proc/keys", call("umount2", "s:/proc/keys", 0), "EPERM"],
    ["unshare-user", "CVE-2022-0185", "enter a user namespace of its own", call("unshare", CLONE_NEWUSER), "EPERM"],
    ["unshare-mount", "CVE-2022-0185", "enter a mount namespace of its own", call("unshare", CLONE_NEWNS), "EPERM"],
    ["chroot", "CIS Docker 5.4", "chroot", call("chroot", "s:/tmp"), "EPERM"],
    ["pivot-root", "CIS Docker 5.22", "pivot_root", call("pivot_root", "s:/tmp", "s:/tmp"), "EPERM"],
    ["open-by-handle", "CVE-2014-3519", "open a file of the host by its handle (shocker)", byHandle, "EPERM"],
    ["sethostname", "CIS Docker 5.21", "change the host name", call("sethostname", "s:owned", 5), "EPERM"],
    ["clock", "CIS Docker 5.4", "clock_settime", setClock, "EPERM"],
    ["reboot", "CIS Docker 5.4", "reboot", simply("reboot")(number("reboot")), "EPERM"],
    ["kexec", "CIS Docker 5.22", "boot another kernel", call("kexec_load", 0, 0, 0, 0), "EPERM"],
    [
      "load-module",
      "CIS Docker 5.4",
      "load a kernel module",
      call("init_module", `h:${"00".repeat(8)}`, 8, "s:"),
      "EPERM",
    ],
    ["bpf", "CVE-2021-3490", "bring BPF into the kernel", call("bpf", ...BPF_MAP), "EPERM"],
    ["perf", "CVE-2013-2094", "perf_event_open", call("perf_event_open", PERF_CLOCK, 0, -1, -1, 0), "EPERM"],
    ["keyring", "CVE-2016-0728", "use the kernel's keyring", call("add_key", "s:user", "s:x", "s:x", 1, -3), "EPERM"],
    [
      "af-alg",
      "CVE-2026-31431",
      "socket(AF_ALG): the kernel's cryptography",
      socket(38, 5, 0),
      "EPERM",
      "EAFNOSUPPORT",
    ],
    ["af-packet", "CVE-2020-14386", "socket(AF_PACKET): any frame at all", socket(17, 3, 0x0300), "EPERM"],
    ["raw-socket", "CIS Docker 5.4", "a raw IP socket: any packet at all", socket(2, 3, 255), "EPERM"],
    [
      "core-pattern",
      "CVE-2022-0811",
      "set the host's core_pattern",
      openToWrite("/proc/sys/kernel/core_pattern"),
      "EROFS",
      "EACCES",
    ],
    [
      "host-sysctl",
      "CVE-2022-0811",
      "change a setting of the host's kernel",
      openToWrite("/proc/sys/vm/overcommit_memory"),
      "EROFS",
      "EACCES",
    ],
    [
      "core-dump",
      "CIS Docker 5.19",
      "raise the limit of core dumps",
      call("prlimit64", 0, RLIMIT_CORE, UNLIMITED, 0),
      "EPERM",
    ],
  ];
  return [...rows.map(refused), ptraceInit(ground.attacker.uid, number("ptrace")), maskedProc()];
}

/** The kernel lets equals trace each other: then the container's init must be worth nothing. */
function ptraceInit(uid: number, ptrace: number): Attack {
  const worthless = `Uid ${uid} CapPrm ${NONE} CapBnd ${NONE}`;
  const gained = showing(
    (gain) => (gain === worthless ? null : `init was taken over: ${gain}`),
    (gain) => `init can be traced, which gains nothing: ${gain}`,
  );
  return row(
    "ptrace-init",
    "CVE-2019-13272",
    "take over the container's init",
    "refused, or nothing gained: its own UID, no capability",
    simply("ptrace_init")(ptrace),
    (seen) => (seen.verdict === "refused" ? refusedWith("EPERM")(seen) : gained(seen)),
  );
}

const maskedProc = (): Attack =>
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
  );
