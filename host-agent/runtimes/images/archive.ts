import { access, lstat, mkdir, mkdtemp, open, readdir, readFile, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BuildFailed } from "./failure.ts";
import { type Recipe, recipeRef } from "./recipe.ts";
import { packTrees } from "./tree.ts";

export type Tell = (progress: { fraction: number; detail: string }) => void;

export interface ArchivePlaces {
  /** Half-made things; one builder at a time. */
  work: string;
  /** Finished archives, under names that say their content. */
  keep: string;
}

/**
 * Makes the image's archive where it is missing, and resolves with its path. Layers and archives get their names by rename
 * only, so whatever bears one is whole; a build that was killed goes on with the layers that are.
 */
export async function makeArchive(recipe: Recipe, { work, keep }: ArchivePlaces, tell: Tell): Promise<string> {
  for (const directory of new Set([work, keep])) await ownDirectory(directory);
  const archive = join(keep, `${recipeRef(recipe).replace(/[/:]/g, "-")}.tar`);
  if (await exists(archive)) return archive;
  await requireSpace(work, recipe.needMiB);
  await removeWhere(work, (name) => name.startsWith(UNFINISHED));
  await removeWhere(keep, (name) => name.startsWith(`${UNFINISHED}${basename(archive)}`) && !isAlive(name));
  const trees: string[] = [];
  let done = 0;
  for (const layer of recipe.layers) {
    const start = done;
    const tellPart = (part: number) => tell({ fraction: start + layer.share * part, detail: layer.doing });
    tellPart(0);
    // Of this boot only: after a power cut a renamed folder may hold files whose content never reached the disk.
    const path = join(work, `${layer.name}-${layer.key}-${await bootId()}`);
    if (!(await exists(path))) {
      const unfinished = await mkdtemp(join(work, UNFINISHED));
      await layer.fill(unfinished, tellPart).catch(async (error) => {
        await rm(unfinished, { recursive: true, force: true });
        throw error;
      });
      await rename(unfinished, path);
    }
    trees.push(path);
    done += layer.share;
  }
  tell({ fraction: done, detail: "Packing the image" });
  const unfinished = join(dirname(archive), `${UNFINISHED}${basename(archive)}.${process.pid}`);
  await packTrees(trees, unfinished);
  await toDisk(unfinished);
  await rename(unfinished, archive);
  // Layers under older keys too: every change of the lock or of Node would otherwise leave half a gigabyte behind.
  await removeWhere(work, (name) => recipe.layers.some((layer) => name.startsWith(`${layer.name}-`)));
  return archive;
}

const UNFINISHED = "unfinished-";

async function removeWhere(directory: string, matches: (name: string) => boolean): Promise<void> {
  for (const name of await readdir(directory)) {
    if (matches(name)) await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** Whether the process whose number ends the name still runs: the cache is shared, and another one may be packing. */
function isAlive(name: string): boolean {
  try {
    return process.kill(Number(name.split(".").at(-1)), 0);
  } catch {
    return false;
  }
}

const bootId = async () => (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).slice(0, 8);

async function toDisk(path: string): Promise<void> {
  const file = await open(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Tenants run what lies here: a directory that somebody else made first (say in /var/tmp) would be theirs to fill. */
async function ownDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { uid, mode } = await lstat(directory);
  const isPlain = (mode & 0o170000) === 0o040000;
  if (!isPlain || uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    const detail = `owner ${uid}, mode ${mode.toString(8)}`;
    throw new BuildFailed({ reason: "untrusted_directory", directory, detail });
  }
}

async function requireSpace(directory: string, needMiB: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const haveMiB = Math.floor((bavail * bsize) / 2 ** 20);
  if (haveMiB < needMiB) throw new BuildFailed({ reason: "no_space", directory, haveMiB, needMiB });
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
