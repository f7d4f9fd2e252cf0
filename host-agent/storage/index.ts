import type { Volumes } from "../tenants/ports.ts";
import { btrfsBacking } from "./btrfs.ts";
import { mountedBacking } from "./mounted.ts";
import type { StorageSettings } from "./settings.ts";
import { volumesOn } from "./volumes.ts";

export { ensureMemoryBacked, isMemoryBacked } from "./memory.ts";
export { type StorageSettings, storageSettings } from "./settings.ts";
export { cipherDirOf } from "./volumes.ts";

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
