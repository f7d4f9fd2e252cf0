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
