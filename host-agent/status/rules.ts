import { CELL_NAMESPACES, type CellFacts, type TenantStatus } from "../../schema/protocol/index.ts";

type Status = Omit<TenantStatus, "seq">;

/** Told again after so long in any case: who sees an old word cannot know whether it is still true. */
const STALE_MS = 15 * 60_000;
/** Requests alone are told no more often than that. */
const REQUESTS_MS = 5 * 60_000;
const MEMORY_SHARE = 0.1;
const CPU_PERCENT = 10;

/** Whether a status differs from the last one that was told by more than a little. */
export function isNews(told: Status | null, now: Status): boolean {
  if (told === null || now.at - told.at >= STALE_MS || now.at < told.at) return true;
  if ((now.requests ?? 0) > 0 && now.at - told.at >= REQUESTS_MS) return true;
  // A wall that has become another is told at once.
  if (JSON.stringify(told.cell) !== JSON.stringify(now.cell)) return true;
  if (JSON.stringify(told.runtime) !== JSON.stringify(now.runtime)) return true;
  if (Math.abs(told.cpuPercent - now.cpuPercent) >= CPU_PERCENT) return true;
  return Math.abs(told.memoryMiB - now.memoryMiB) > MEMORY_SHARE * told.memoryMiB;
}

export const NAMESPACES = CELL_NAMESPACES;
const SECCOMP = ["off", "strict", "filter"] as const;
const MOST_MOUNTS = 16;

/** The kernel's two files about a process (proc(5)), taken apart. Null where they do not say what they always say. */
export function cellOf({
  status,
  mounts,
  namespaces,
}: {
  status: string;
  mounts: string;
  namespaces: CellFacts["namespaces"];
}): CellFacts | null {
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
  const [uid, bounding, noNew, mode] = ["Uid", "CapBnd", "NoNewPrivs", "Seccomp"].map(field);
  const seccomp = SECCOMP[Number(mode)];
  if (uid === undefined || bounding === undefined || noNew === undefined || !seccomp) return null;
  // The last mount on a path is the one that is seen.
  const seen = new Map(
    mounts
      .split("\n")
      .map((line) => line.split(" "))
      .flatMap(([, , , , target, options]) => (target && options ? [[target, options.split(",")] as const] : [])),
  );
  const writable = [...seen].filter(([, options]) => options.includes("rw")).map(([target]) => target);
  return {
    uid: Number(uid),
    capabilities: [...BigInt(`0x${bounding}`).toString(2)].filter((bit) => bit === "1").length,
    noNewPrivileges: noNew === "1",
    seccomp,
    readOnlyRoot: seen.get("/")?.includes("ro") ?? false,
    // The kernel's own file systems are masked or without meaning for files.
    writable: writable
      .filter((target) => target === "/" || !/^\/(proc|sys|dev)(\/|$)/.test(target))
      .slice(0, MOST_MOUNTS),
    namespaces,
  };
}
