import { readdir, rename } from "node:fs/promises";
import type { TenantLayout } from "../tenants/layout.ts";
import type { Backing } from "./backing.ts";
import { ensureOwn, exists } from "./paths.ts";
import { snapshotsToDrop } from "./rules.ts";

type Place = Pick<TenantLayout, "volumeDir">;

/** Ciphertext of a tenant as it is now. */
export const cipherDirOf = ({ volumeDir }: Place): string => `${volumeDir}/live`;
const directoryOf = ({ volumeDir }: Place): string => `${volumeDir}/snapshots`;

type Fill = (directory: string) => Promise<void>;
interface Swap {
  /** Called when the copy is whole, before it takes the place of the live data: nobody may use that any more. */
  makeWay: () => Promise<void>;
}

/** Copies of ciphertext beside the live one. None of it needs the volume's key, or that it is closed. */
export function snapshotsOn(backing: Backing, prepare: () => Promise<void>) {
  const list = async (layout: Place): Promise<string[]> =>
    (await readdir(directoryOf(layout)).catch(() => [])).filter((name) => !name.endsWith(".part")).sort();

  return {
    list,

    async take(layout: Place, name: string): Promise<void> {
      await prepare();
      await ensureOwn(directoryOf(layout));
      const path = `${directoryOf(layout)}/${name}`;
      if (!(await exists(path))) await backing.snapshot(cipherDirOf(layout), path);
    },

    async thin(layout: Place, keep: number): Promise<void> {
      for (const name of snapshotsToDrop(await list(layout), keep))
        await backing.drop(`${directoryOf(layout)}/${name}`);
    },

    /**
     * A copy at a path that stays the same, gone when the work is done: what reads it knows its files from the last time.
     * Two at once need two names.
     */
    async frozen<T>(layout: Place, work: (directory: string) => Promise<T>, name = "frozen"): Promise<T> {
      await prepare();
      const path = `${layout.volumeDir}/${name}`;
      await backing.drop(path);
      await backing.snapshot(cipherDirOf(layout), path);
      try {
        return await work(path);
      } finally {
        await backing.drop(path);
      }
    },

    hasLive: async (layout: Place): Promise<boolean> => {
      await prepare();
      return exists(cipherDirOf(layout));
    },

    async restore(layout: Place, { name, diskMiB, makeWay }: { name: string; diskMiB: number } & Swap): Promise<void> {
      await prepare();
      const path = `${directoryOf(layout)}/${name}`;
      if (!(await exists(path))) throw new Error(`there is no snapshot ${name}`);
      await replaceLive(layout, makeWay, (made) => backing.restore(path, made, diskMiB));
    },

    /** What `fill` has put into an empty directory becomes the live data: all of it, or nothing when it throws. */
    async receive(layout: Place, { diskMiB, fill, makeWay }: { diskMiB: number; fill: Fill } & Swap): Promise<void> {
      await prepare();
      await replaceLive(layout, makeWay, async (made) => {
        await backing.create(made);
        await backing.limit(made, diskMiB);
        await fill(made);
        if (!(await exists(`${made}/gocryptfs.conf`))) throw new Error("what came is no volume");
      });
    },

    /** After a crash between the two renames below: what was there before is still whole. */
    async settle(layout: Place): Promise<void> {
      const live = cipherDirOf(layout);
      if (!(await exists(live)) && (await exists(`${live}.old`))) await rename(`${live}.old`, live);
    },
  };

  async function replaceLive(layout: Place, makeWay: () => Promise<void>, make: Fill): Promise<void> {
    const live = cipherDirOf(layout);
    await ensureOwn(layout.volumeDir);
    const made = `${live}.incoming`;
    await backing.drop(made);
    try {
      await make(made);
    } catch (error) {
      await backing.drop(made);
      throw error;
    }
    await makeWay();
    await backing.drop(`${live}.old`);
    if (await exists(live)) await rename(live, `${live}.old`);
    await rename(made, live);
    await backing.drop(`${live}.old`);
  }
}
export type Snapshots = ReturnType<typeof snapshotsOn>;
