import { rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { endDaemons, mountVolume } from "./gocryptfs.ts";
import { ensureOwn, ignore } from "./paths.ts";
import { enterGroup, VIEWS } from "./processor.ts";
import { mountFaults } from "./rules.ts";
import { mountOn, run } from "./run.ts";

/** Opens ciphertext at a place of root's own, beside the volume that an agent may be using meanwhile. */
export async function openView(cipherDir: string, at: string, key: string): Promise<void> {
  await closeView(at);
  await ensureOwn(dirname(at));
  await ensureOwn(at);
  await mountVolume(cipherDir, at, key, (pid) => enterGroup(VIEWS, pid));
  const standing = await mountOn(at);
  const faults = standing ? mountFaults(standing) : ["a mount"];
  if (faults.length > 0) throw new Error(`${at} lacks ${faults.join(", ")}`);
}

/** Nothing of it is left, its key in no process. Closing what is closed is success. */
export async function closeView(at: string): Promise<void> {
  while (await mountOn(at)) await run("umount", ["--no-canonicalize", "--", at]);
  await endDaemons(at);
  await rmdir(at).catch(ignore("ENOENT"));
}
