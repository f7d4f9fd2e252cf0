import type { StorageFacts } from "../journal-data.ts";

/** One line of /proc/self/mountinfo (proc(5)), as far as storage asks. */
export interface Mount {
  mountPoint: string;
  options: readonly string[];
  fileSystem: string;
}

export function parseMountInfo(text: string): Mount[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const fields = line.split(" ");
      const separator = fields.indexOf("-", 6);
      return {
        mountPoint: decoded(fields[4] ?? ""),
        options: (fields[5] ?? "").split(","),
        fileSystem: fields[separator + 1] ?? "",
      };
    });
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
const decoded = (field: string) =>
  field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));

/** The mount that is visible at a path: the last one listed lies on top. */
export const mountAt = (mounts: readonly Mount[], path: string): Mount | undefined =>
  mounts.findLast(({ mountPoint }) => mountPoint === path);

export const MOUNT_OPTIONS = ["nosuid", "nodev"] as const;

/**
 * What a data mount lacks; empty when it is as it must be. Shared or private does not matter: Docker hands it to the
 * container as a private copy.
 */
export function mountFaults(mount: Mount): string[] {
  return MOUNT_OPTIONS.filter((option) => !mount.options.includes(option));
}

const LEAST_MIB = 256;
const MOST_MIB = 2 ** 20;

/**
 * How large the file of a host's volumes is made: it is sparse, so it must never be able to ask for more than the disk
 * below it has (btrfs answers a write that fails there by refusing all others). Throws where the disk is too small.
 */
export function imageSizeMiB(freeMiB: number, wantedMiB: number | undefined): number {
  const size = wantedMiB ?? Math.min(MOST_MIB, Math.floor(freeMiB * 0.8));
  if (size < LEAST_MIB) throw new Error(`volumes need at least ${LEAST_MIB} MiB of disk; ${freeMiB} MiB are free`);
  if (size > freeMiB) throw new Error(`volumes were to have ${size} MiB of disk; ${freeMiB} MiB are free`);
  return size;
}

const MOST_RESERVED_MIB = 2_048;

/** What is kept free of a disk of that size, for those who are there already. */
export const reserveMiB = (totalMiB: number): number => Math.min(MOST_RESERVED_MIB, Math.floor(totalMiB / 20));

/** Output of `btrfs subvolume list`. */
export function parseSubvolumes(text: string): { id: string; path: string }[] {
  return [...text.matchAll(/^ID (\d+) gen \d+ top level \d+ path (.+)$/gm)].map(([, id = "", path = ""]) => ({
    id,
    path,
  }));
}

/** Output of `btrfs qgroup show --raw -r`: by the id of the subvolume. A group without a limit says none. */
export function parseQgroups(text: string): Map<string, { usedBytes: number; limitBytes: number }> {
  const lines = text.matchAll(/^0\/(\d+)\s+(\d+)\s+\d+\s+(\d+|none)/gm);
  return new Map(
    [...lines].map(([, id = "", used, limit]) => [
      id,
      { usedBytes: Number(used), limitBytes: limit === "none" ? Number.POSITIVE_INFINITY : Number(limit) },
    ]),
  );
}

export const isFull = ({ usedBytes, limitBytes }: { usedBytes: number; limitBytes: number }): boolean =>
  usedBytes >= limitBytes;

const NEAR_BYTES = 8 * 2 ** 20;

/** Whether its next write may be refused: what is asked for and not yet written counts towards the limit as well. */
export const isAtLimit = ({ usedBytes, limitBytes }: { usedBytes: number; limitBytes: number }): boolean =>
  limitBytes - usedBytes < Math.min(NEAR_BYTES, limitBytes / 50);

const LOOKS_WITH_ROOM = 20;

/**
 * How many looks with room in a row a volume is still held for; 0: it is not held. Let go at the first one, who deletes a
 * little and fills it again would be refused as fast as it likes for most of the time.
 */
export const looksHeld = (before: number | undefined, isNowAtLimit: boolean): number =>
  isNowAtLimit ? LOOKS_WITH_ROOM : Math.max(0, (before ?? 0) - 1);

/** The oldest ones above the number that is kept. Names are times, so that their order is theirs. */
export const snapshotsToDrop = (names: readonly string[], keep: number): string[] =>
  [...names].sort().slice(0, Math.max(0, names.length - keep));

/** `20261122T104501Z` (ISO 8601, basic format). */
export const snapshotNameAt = (atMs: number): string =>
  new Date(atMs)
    .toISOString()
    .replace(/[-:]/g, "")
    .replace(/\.\d{3}/, "");

export const snapshotTimeMs = (name: string): number =>
  Date.parse(name.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));

/** Whether the next is due; a clock that was set back does not stop them for ever. */
export const isDue = (lastMs: number | null, everyMinutes: number, nowMs: number): boolean =>
  lastMs === null || nowMs - lastMs >= everyMinutes * 60_000 || lastMs > nowMs + 60_000;

/** Whether the edge should hear of it: a hundredth of the quota more or less, or another thing altogether. */
export function isNews(before: StorageFacts | null, now: StorageFacts): boolean {
  if (!before) return true;
  const { usedBytes: was, ...rest } = before;
  const { usedBytes, ...others } = now;
  return Math.abs(usedBytes - was) >= now.limitBytes / 100 || JSON.stringify(rest) !== JSON.stringify(others);
}
