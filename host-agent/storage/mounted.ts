import { readdir, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { Backing, Usage } from "./backing.ts";
import { ensureOwn, exists } from "./paths.ts";
import { ask, mountOn, run } from "./run.ts";

/**
 * Any POSIX file system that the operator has mounted (JuiceFS, CephFS, Gluster). It has no limits of its own that we
 * could count on, so usage is measured and whoever is above it is frozen by the layer above; copies are copies, made as
 * cheaply as the file system can.
 */
export function mountedBacking({ root, directory }: { root: string; directory: string }): Backing {
  /** By the tenant's directory: what is in it is made under one name and used under another. */
  const limits = new Map<string, number>();
  let measured: ReadonlyMap<string, Usage> = new Map();
  const limit = (path: string, limitMiB: number) => void limits.set(dirname(path), limitMiB);
  const copy = (from: string, to: string) =>
    run("cp", ["--archive", "--reflink=auto", "--one-file-system", "--no-target-directory", "--", from, to]);
  const drop = (path: string) => run("rm", ["-rf", "--one-file-system", "--", path]);

  /** Complete under its own name, or under another one that is made anew. */
  async function copyWhole(from: string, to: string): Promise<void> {
    await drop(`${to}.part`);
    await copy(from, `${to}.part`);
    await drop(to);
    await rename(`${to}.part`, to);
  }

  return {
    hasLimits: false,
    disks: [root],
    async prepare() {
      if (await mountOn(root)) return;
      await ensureOwn(root);
      if ((await readdir(root)).length > 0) throw new Error(`${root} is not empty: nothing is mounted over data`);
      await ensureOwn(directory);
      await run("mount", ["--bind", "-o", "nosuid,nodev,noexec", "--", directory, root]);
    },
    async create(path) {
      await drop(path);
      await ensureOwn(path);
    },
    limit: async (path, limitMiB) => limit(path, limitMiB),
    snapshot: copyWhole,
    async restore(from, to, limitMiB) {
      await copyWhole(from, to);
      limit(to, limitMiB);
    },
    drop,
    async usage() {
      const used = new Map<string, Usage>();
      for (const tenantId of await readdir(root)) {
        const live = `${root}/${tenantId}/live`;
        const limitMiB = limits.get(`${root}/${tenantId}`);
        if (limitMiB === undefined || !(await exists(live))) continue;
        const output = await ask("du", ["--summarize", "--one-file-system", "--block-size=1", "--", live]);
        used.set(tenantId, { usedBytes: Number.parseInt(output, 10), limitBytes: limitMiB * 2 ** 20 });
      }
      measured = used;
      return used;
    },
    glance: async () => measured,
    recount: async () => false,
    traces: async () => [],
  };
}
