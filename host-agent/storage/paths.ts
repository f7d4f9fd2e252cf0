import { chmod, lstat, mkdir } from "node:fs/promises";

/** Makes a directory that only root may enter, or insists that it is one. */
export async function ensureOwn(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  // chown and chmod follow links: a link here would give away what it points to.
  const stat = await lstat(path);
  if (!stat.isDirectory()) throw new Error(`${path} is not a directory`);
  if (stat.uid !== 0) throw new Error(`${path} belongs to ${stat.uid} and not to root`);
  if ((stat.mode & 0o777) !== 0o700) await chmod(path, 0o700);
}

export const exists = async (path: string): Promise<boolean> =>
  (await lstat(path).catch(ignore("ENOENT"))) !== undefined;

export const ignore = (code: string) => (error: NodeJS.ErrnoException) => {
  if (error.code !== code) throw error;
};
