import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "./tools.ts";

/** Calls back for every file and folder below, never through a symbolic link. */
async function walk(directory: string, visit: (path: string, isDirectory: boolean) => Promise<void>): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    await visit(path, entry.isDirectory());
    if (entry.isDirectory()) await walk(path, visit);
  }
}

export async function removeMatching(directory: string, matches: (path: string) => boolean): Promise<void> {
  await walk(directory, async (path, isDirectory) => {
    if (!isDirectory && matches(path)) await rm(path);
  });
}

/** Takes set-user-ID and set-group-ID from every regular file. */
export async function clearPrivilegeBits(directory: string): Promise<void> {
  await walk(directory, async (path) => {
    const { mode } = await lstat(path);
    if ((mode & 0o170000) === 0o100000 && (mode & 0o6000) !== 0) await chmod(path, mode & 0o1777);
  });
}

/**
 * One archive of several trees side by side: no two of them have a name in common at their top, since Docker refuses an
 * archive that says a path twice. Owners and times are fixed, names sorted: the same trees give the
 * same bytes.
 */
export async function packTrees(trees: readonly string[], archive: string): Promise<void> {
  const fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--format=posix"];
  // A host agent with a strict umask must not make an image that its unprivileged tenants cannot read.
  const readable = ["--mode=a+rX"];
  // Access and change times would go into the extended headers of every entry.
  const stable = ["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"];
  const from: string[] = [];
  for (const tree of trees) from.push("-C", tree, ...(await readdir(tree)).map((name) => `./${name}`));
  await runTool({
    tool: "tar",
    package: "tar",
    args: ["--create", "--file", archive, ...fixed, ...readable, ...stable, ...from],
  });
}
