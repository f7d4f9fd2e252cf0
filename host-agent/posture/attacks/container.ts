import type { Ground } from "../ground.ts";
import { type Attack, showing, stoppedBy } from "../rules.ts";
import { open, openToWrite, type Refused, read, refused, row, simply, status, write } from "./rows.ts";

/** The fourth wall: what a tenant's container is, may touch and may use up. */
const NONE = "0000000000000000";
export const CAPABILITY_SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

export const containerAttacks = (ground: Ground): Attack[] => [
  ...privileges(ground),
  ...files(ground),
  ...neighbours(ground),
  ...bombs(ground),
];

function privileges({ attacker, hostNamespaces }: Ground): Attack[] {
  const noCapability = Object.fromEntries(CAPABILITY_SETS.map((set) => [set, NONE]));
  const own = "/proc/self/status";
  return [
    status("caps-own", "CIS Docker 5.4", "have any capability", own, noCapability),
    status("caps-init", "CIS Docker 5.4", "find one in the container's init", "/proc/1/status", noCapability),
    status("no-new-privs", "CIS Docker 5.26", "gain privileges by running a program", own, { NoNewPrivs: "1" }),
    status("seccomp", "CIS Docker 5.22", "run without a filter on system calls", own, { Seccomp: "2" }),
    row(
      "namespaces",
      "CIS Docker 5.10, 5.16, 5.17, 5.21",
      "share a namespace with the host",
      "six namespaces of its own",
      simply("namespaces")(),
      showing(
        (its) => shared(its, hostNamespaces),
        (its) => its,
      ),
    ),
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
  ];
}

/** Names the first namespace that both have. */
function shared(own: string, hosts: string): string | null {
  const theirs = new Set(hosts.split(" "));
  const both = own.split(" ").filter((namespace) => theirs.has(namespace) || !namespace.includes(":["));
  return both.length === 0 ? null : `shared with the host: ${both.join(", ")}`;
}

function files({ cgroupVersion }: Ground): Attack[] {
  const limit = `/sys/fs/cgroup/${cgroupVersion === "2" ? "memory.max" : "memory/memory.limit_in_bytes"}`;
  const config = "/chelar/config/echo.json";
  const execute = simply("execute")("/chelar/busybox", "/tmp/busybox");
  const engine = simply("connect_unix")("/var/run/docker.sock");
  const rows: Refused[] = [
    [
      "device-on-data",
      "CIS Docker 5.18",
      "open a device node on the data mount",
      open("/data/attack/zero", 0),
      "EACCES",
    ],
    ["write-root", "CIS Docker 5.13", "write to the root file system", write("/chelar-probe"), "EROFS"],
    ["write-config", "Agents of Chaos 10", "change the platform's configuration", write(config), "EROFS", "EACCES"],
    ["read-env-file", "Agents of Chaos 3", "read the secrets' file after the start", read("/chelar/env/env"), "ENOENT"],
    ["run-from-tmp", "ATT&CK T1105", "run a program from /tmp", execute, "EACCES"],
    ["write-cgroup", "CVE-2022-0492", "raise its own limits in the cgroups", openToWrite(limit), "EROFS", "EACCES"],
    ["docker-socket", "CIS Docker 5.32", "connect to Docker's socket", engine, "ENOENT"],
  ];
  return rows.map(refused);
}

function neighbours({ neighbour }: Ground): Attack[] {
  const secret = read(`${neighbour.dataDir}/secret`);
  const backing = read(`${neighbour.volumeDir}/live/gocryptfs.conf`);
  const escaped = "escaped with its own UID: read";
  const source = "Agents of Chaos 3";
  return [
    refused(["neighbour-path", source, "open another tenant's data by its path", secret, "ENOENT"]),
    { ...refused(["neighbour-volume", source, `${escaped} another's volume`, secret, "EACCES"]), from: "escaped" },
    { ...refused(["neighbour-backing", source, `${escaped} its backing`, backing, "EACCES"]), from: "escaped" },
  ];
}

/** Each takes three or four times what it may have, alone, since all share the machine. */
function bombs({ limits }: Ground): Attack[] {
  const bomb = (id: string, source: string, tries: string, attempt: Attack["attempt"], most: number, unit: string) =>
    row(id, source, tries, `stopped at ${most} ${unit}`, attempt, stoppedBy(most, unit), { alone: true });
  const fill = (directory: string, mib: number) => simply("fill")(`${directory}/probe`, mib * 3);
  const forks = simply("fork_bomb")(limits.pids * 4);
  const memory = simply("memory_bomb")(limits.memoryMiB * 3);
  return [
    bomb(
      "fork-bomb",
      "CIS Docker 5.29; Agents of Chaos 4",
      "start processes without end",
      forks,
      limits.pids,
      "processes",
    ),
    bomb("fill-data", "Agents of Chaos 5", "fill its volume", fill("/data", limits.diskMiB), limits.diskMiB, "MiB"),
    bomb("fill-tmp", "Agents of Chaos 5", "fill /tmp", fill("/tmp", limits.tmpMiB), limits.tmpMiB, "MiB"),
    bomb("fill-shm", "Agents of Chaos 5", "fill /dev/shm", fill("/dev/shm", limits.shmMiB), limits.shmMiB, "MiB"),
    bomb(
      "memory-bomb",
      "CIS Docker 5.11; Agents of Chaos 5",
      "take memory without end",
      memory,
      limits.memoryMiB,
      "MiB",
    ),
  ];
}
