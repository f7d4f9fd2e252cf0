import { readFileSync, statSync } from "node:fs";
import type { Copies, Volumes } from "../tenants/ports.ts";
import { btrfsBacking } from "./btrfs.ts";
import { NO_COPIES, s3Copies } from "./copies.ts";
import { mountedBacking } from "./mounted.ts";
import { type CopiesSettings, copiesCredentials, type StorageSettings } from "./settings.ts";
import { volumesOn } from "./volumes.ts";

export { ensureMemoryBacked, isMemoryBacked } from "./memory.ts";
export { isDue, isNews, snapshotNameAt, snapshotTimeMs } from "./rules.ts";
export { copiesSettings, type StorageSettings, storageSettings } from "./settings.ts";
export { cipherDirOf, type Snapshots } from "./snapshots.ts";
export { countStrays } from "./strays.ts";
export { closeView, openView } from "./views.ts";

/** The volumes of a host: encrypted always, on what its operator has given. Makes nothing before the first is opened. */
export function createVolumes({
  stateDir,
  storage = { backing: "btrfs" },
}: {
  stateDir: string;
  storage?: StorageSettings;
}): Volumes {
  const root = `${stateDir}/volumes`;
  switch (storage.backing) {
    case "btrfs":
      return volumesOn(btrfsBacking({ root, ...storage }));
    case "mounted":
      return volumesOn(mountedBacking({ root, directory: storage.directory }));
  }
}

/** Copies of this host's tenants in object storage; none where it has none. */
export function createCopies({ stateDir, copies }: { stateDir: string; copies?: CopiesSettings }): Copies {
  if (!copies) return NO_COPIES;
  const { credentialsFile, ...place } = copies;
  const { mode, uid } = statSync(credentialsFile);
  if (uid !== 0 || (mode & 0o077) !== 0) throw new Error(`${credentialsFile} must be root's alone, with mode 600`);
  const credentials = copiesCredentials.safeParse(JSON.parse(readFileSync(credentialsFile, "utf8")));
  if (!credentials.success)
    throw new Error(`${credentialsFile} takes accessKeyId and secretAccessKey, and nothing else`);
  return s3Copies({ ...place, ...credentials.data }, `${stateDir}/restic-cache`);
}
