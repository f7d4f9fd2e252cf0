import { randomUUID } from "node:crypto";
import { chown, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

export interface FileOwner {
  uid: number;
  mode: number;
}

/**
 * The whole content or nothing, under a name that readers may look at any time. The new file gets owner and mode
 * before it gets its content: at no moment can anyone else read it. Not fsynced: it is written anew before each start.
 */
export async function writeAtomically(directory: string, name: string, content: string, owner: FileOwner) {
  const temporary = join(directory, `.${name}.${randomUUID()}`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.chown(owner.uid, owner.uid);
      await file.writeFile(content);
      await file.chmod(owner.mode);
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, name));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Root's own directory with exactly this mode (the process's umask has no say). */
export async function rootDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is not a directory`);
  await chown(path, 0, 0);
  const handle = await open(path, "r");
  await handle.chmod(mode).finally(() => handle.close());
}
