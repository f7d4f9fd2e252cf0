/** One line of /proc/self/mountinfo (proc(5)), as far as storage asks. */
export interface Mount {
  /** Inside the mounted file system. */
  root: string;
  mountPoint: string;
  options: readonly string[];
  /** `shared:N` and the like; empty: private. */
  propagation: readonly string[];
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
        root: decoded(fields[3] ?? ""),
        mountPoint: decoded(fields[4] ?? ""),
        options: (fields[5] ?? "").split(","),
        propagation: fields.slice(6, separator),
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

/** What a data mount lacks; empty when it is as it must be. */
export function mountFaults(mount: Mount): string[] {
  return [
    ...MOUNT_OPTIONS.filter((option) => !mount.options.includes(option)),
    ...(mount.options.includes("rw") ? [] : ["rw"]),
    ...(mount.propagation.length === 0 ? [] : ["private"]),
  ];
}
