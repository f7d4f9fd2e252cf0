import type { CellFacts } from "../../schema/protocol/index.ts";

export interface CellRow {
  name: string;
  /** As the kernel says. */
  found: string;
  /** Whether it is what it has to be. */
  holds: boolean;
  why: string;
}

/** UIDs below are the server's own people and programs. */
const FIRST_TENANT_UID = 100_000;
const MAY_WRITE = ["/data", "/tmp", "/dev/shm"];

/** What the kernel says about a container, beside what it has to be. */
export function cellRows(cell: CellFacts): CellRow[] {
  const elsewhere = cell.writable.filter((path) => !MAY_WRITE.includes(path));
  const shared = ["net", "mnt", "pid", "ipc", "uts", "cgroup"].filter(
    (space) => !(cell.namespaces as readonly string[]).includes(space),
  );
  return [
    {
      name: "User",
      found: `UID ${cell.uid}`,
      holds: cell.uid >= FIRST_TENANT_UID,
      why: "Not root, nobody of the server, and no other agent's.",
    },
    {
      name: "Capabilities",
      found: cell.capabilities === 0 ? "none" : `${cell.capabilities}`,
      holds: cell.capabilities === 0,
      why: "The bounding set is empty: no program inside can ever gain one.",
    },
    {
      name: "New privileges",
      found: cell.noNewPrivileges ? "impossible" : "possible",
      holds: cell.noNewPrivileges,
      why: "A program with the setuid bit gives nothing.",
    },
    {
      name: "System calls",
      found: { off: "not filtered", strict: "the four of strict mode", filter: "filtered" }[cell.seccomp],
      holds: cell.seccomp !== "off",
      why: "Seccomp refuses what an agent has no use for.",
    },
    {
      name: "Its system",
      found: cell.readOnlyRoot ? "read-only" : "writable",
      holds: cell.readOnlyRoot,
      why: "What it is talked into cannot be written into its own programs.",
    },
    {
      name: "It may write to",
      found: cell.writable.join(", ") || "nothing",
      holds: elsewhere.length === 0,
      why: "Its own files and its own memory, and nowhere else.",
    },
    {
      name: "Shared with the server",
      found: shared.join(", ") || "nothing",
      holds: shared.length === 0,
      why: "Network, mounts, processes, memory, names and limits are its own.",
    },
  ];
}
