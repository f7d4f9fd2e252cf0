import type { TenantLayout } from "../tenants/layout.ts";
import type { VolumeUsage } from "../tenants/ports.ts";
import type { Backing } from "./backing.ts";
import { daemonsOf } from "./gocryptfs.ts";
import { ignore } from "./paths.ts";
import { HELD_US, holdGroup } from "./processor.ts";
import { isAtLimit, isFull, looksHeld } from "./rules.ts";
import { mountOn, run } from "./run.ts";
import { cipherDirOf } from "./snapshots.ts";

const MIB = 2 ** 20;
const LOOK_HOLDS_MS = 5_000;

type Place = Pick<TenantLayout, "tenantId" | "volumeDir">;

/** How much each volume may hold, and what is done about one that holds as much. */
export function limitsOn(backing: Backing) {
  const known = new Map<string, number>();
  /** For how many looks each process is held (`looksHeld`), as far as this agent has seen to it. */
  const held = new Map<string, number>();
  /** Whose process may not write, likewise. */
  const limited = new Map<string, boolean>();

  /** One look for all that are opened together after a start: telling each its limit anew would be a program for each. */
  let seen: { usage: Promise<ReadonlyMap<string, VolumeUsage>>; atMs: number } | null = null;
  function limitsNow(): Promise<ReadonlyMap<string, VolumeUsage>> {
    const now = performance.now();
    if (!seen || now - seen.atMs > LOOK_HOLDS_MS) seen = { usage: backing.usage(), atMs: now };
    return seen.usage;
  }

  /** What was seen when nobody had to be held: as long as nothing else is seen, nobody has to be. */
  let rested: ReadonlyMap<string, VolumeUsage> | null = null;

  /** Its process is another one: what was told to the one before does not hold for it. */
  function reopened(tenantId: string): void {
    rested = null;
    held.delete(tenantId);
    limited.delete(tenantId);
  }

  return {
    reopened,

    /** `directory`: the live volume, or what is going to be it. */
    async set(layout: Place, limitMiB: number, directory = cipherDirOf(layout)): Promise<void> {
      await backing.limit(directory, limitMiB);
      known.set(layout.tenantId, limitMiB);
    },

    async ensure(layout: Place, limitMiB: number): Promise<void> {
      const { tenantId } = layout;
      if (known.get(tenantId) === limitMiB) return;
      const stands = known.has(tenantId) ? undefined : (await limitsNow()).get(tenantId);
      if (stands?.limitBytes !== limitMiB * MIB) await backing.limit(cipherDirOf(layout), limitMiB);
      known.set(tenantId, limitMiB);
    },

    forget(tenantId: string): void {
      known.delete(tenantId);
      reopened(tenantId);
    },

    /** Holds the processes of volumes at their limit, and lets go those that have had room for a while. */
    async restrain(): Promise<void> {
      const glanced = await backing.glance();
      if (glanced === rested) return;
      for (const [tenantId, usage] of glanced) {
        const before = held.get(tenantId);
        const looks = looksHeld(before, isAtLimit(usage));
        // A volume that is not open has no process.
        const hold = () => holdGroup(tenantId, looks > 0 ? HELD_US : null).catch(ignore("ENOENT"));
        if (before === undefined || before > 0 !== looks > 0) await hold();
        held.set(tenantId, looks);
      }
      const isQuiet = [...glanced.keys()].every((tenantId) => held.get(tenantId) === 0);
      rested = isQuiet ? glanced : null;
    },

    /** For a backing without limits of its own: whoever is above the limit can only read, until there is room again. */
    async freeze({ tenantId, dataDir }: Pick<TenantLayout, "tenantId" | "dataDir">, usage: VolumeUsage): Promise<void> {
      if (backing.hasLimits) return;
      const standing = await mountOn(dataDir);
      if (!standing) return;
      const isOver = isFull(usage);
      // Whoever holds a file open for writing keeps the mount from becoming read-only, for as long as it likes: so its
      // process may write nothing either (setrlimit(2), EFBIG; a soft limit, that can be lifted again).
      if (limited.get(tenantId) !== isOver) {
        for (const pid of daemonsOf(dataDir)) {
          await run("prlimit", ["--pid", String(pid), `--fsize=${isOver ? 0 : "unlimited"}:unlimited`]);
        }
        limited.set(tenantId, isOver);
      }
      const wanted = isOver ? "ro" : "rw";
      if (standing.options.includes(wanted)) return;
      // -i: no helper. The whole file system, so that its container's own mount of it follows.
      await run("mount", ["-i", "-o", `remount,${wanted}`, "--", dataDir]).catch((error) => {
        if (!isOver) throw error;
      });
    },
  };
}
