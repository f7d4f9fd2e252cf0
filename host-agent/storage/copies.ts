import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { chown, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Copies, StepError } from "../tenants/ports.ts";
import { type Bucket, connectBucket } from "./s3.ts";

/** Copies of each tenant that are kept; restic shares what they have in common. */
const KEPT = 7;
const PREFIX = "tenants";

export const NO_COPIES: Copies = {
  isThere: false,
  list: async () => [],
  destroy: async () => "this server keeps no copies anywhere else",
  async send() {
    throw new StepError("This server has no object storage.", { retryable: false });
  },
  async fetch() {
    throw new StepError("This server has no object storage.", { retryable: false });
  },
};

/**
 * Ciphertext in object storage: one restic repository per tenant (incremental, authenticated), whose password is derived
 * from the key of its volume, so that a copy is worth nothing without it, and nothing any more once it is destroyed.
 */
export function s3Copies(bucket: Bucket, cacheDir: string): Copies {
  const objects = connectBucket(bucket);
  const prefixOf = (tenantId: string) => `${PREFIX}/${tenantId}/`;

  /** The password comes by standard input: arguments and environment can be read in /proc. */
  async function restic(tenantId: string, key: string, args: readonly string[]): Promise<string> {
    const password = createHmac("sha256", key).update("chelar copies").digest("base64url");
    const child = spawn("restic", ["--json", "--cache-dir", cacheDir, ...args], {
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        LC_ALL: "C",
        RESTIC_REPOSITORY: `s3:${bucket.endpoint}/${bucket.bucket}/${PREFIX}/${tenantId}`,
        AWS_ACCESS_KEY_ID: bucket.accessKeyId,
        AWS_SECRET_ACCESS_KEY: bucket.secretAccessKey,
        AWS_DEFAULT_REGION: bucket.region,
      },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let [said, failed] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      // Progress is said every moment; the last words are what counts.
      said = (said + text).slice(-65_536);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      failed = (failed + text).slice(-2_000);
    });
    child.stdin.on("error", () => {});
    child.stdin.end(`${password}\n`);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    if (code !== 0) throw new Error(`restic ${args[0]}: ${failed.trim() || `ended with ${code}`}`);
    return said;
  }

  /** One after the other for each tenant: what is being sent must not come after its own removal. */
  const turns = new Map<string, Promise<unknown>>();
  function inTurn<T>(tenantId: string, words: string, work: () => Promise<T>): Promise<T> {
    const mine = (turns.get(tenantId) ?? Promise.resolve()).then(() => guarded(words, work));
    const settled = mine.catch(() => {}).finally(() => turns.get(tenantId) === settled && turns.delete(tenantId));
    turns.set(tenantId, settled);
    return mine;
  }

  return {
    isThere: true,

    send: (tenantId, key, directory) =>
      inTurn(tenantId, "The agent's data could not be copied to object storage.", async () => {
        const isNew = (await objects.list(`${prefixOf(tenantId)}config`)).length === 0;
        if (isNew) await restic(tenantId, key, ["init"]);
        const said = await restic(tenantId, key, ["backup", "--host", "chelar", "--", directory]);
        const summary = said.split("\n").findLast((line) => line.includes('"message_type":"summary"'));
        const { total_bytes_processed: bytes = 0 } = JSON.parse(summary ?? "{}") as { total_bytes_processed?: number };
        if ((await objects.list(`${prefixOf(tenantId)}snapshots/`)).length > KEPT) {
          await restic(tenantId, key, ["unlock"]);
          await restic(tenantId, key, ["forget", "--keep-last", String(KEPT), "--prune", "--group-by", "host"]);
        }
        // A copy counts when all of it was read back and every part of it is what was sent.
        await restic(tenantId, key, ["check", "--read-data", "--no-lock"]);
        return { bytes };
      }),

    fetch: (tenantId, key, directory) =>
      inTurn(tenantId, "The agent's copy in object storage could not be restored.", async () => {
        const into = join(directory, ".restored");
        await mkdir(into, { mode: 0o700 });
        await restic(tenantId, key, ["restore", "latest", "--verify", "--no-lock", "--target", into]);
        // restic restores below the path that it was sent from: down to where the volume begins.
        let at = into;
        for (;;) {
          const names = await readdir(at);
          if (names.includes("gocryptfs.conf")) break;
          const [only, ...others] = names;
          if (!only || others.length > 0) throw new Error("the copy holds no volume");
          at = join(at, only);
        }
        // Its owner too: by it the volume knows whose files they were, and gives them to whoever has another UID here.
        const { uid, gid } = await stat(at);
        await chown(directory, uid, gid);
        for (const name of await readdir(at)) await rename(join(at, name), join(directory, name));
        await rm(into, { recursive: true });
      }),

    list: async () =>
      (await objects.folders(`${PREFIX}/`)).map((folder) => folder.slice(PREFIX.length + 1).replace(/\/$/, "")),

    destroy: (tenantId) =>
      inTurn(tenantId, "The agent's copies could not be removed from object storage.", async () => {
        const prefix = prefixOf(tenantId);
        const found = await objects.list(prefix);
        for (const name of found) await objects.remove(name);
        const left = await objects.list(prefix);
        if (left.length > 0) throw new Error(`${left.length} objects are still below ${prefix}`);
        return `object storage lists nothing below ${prefix}; ${found.length} objects were removed`;
      }),
  };
}

async function guarded<T>(words: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StepError) throw error;
    throw new StepError(words, { retryable: true, cause: error, log: String(error) });
  }
}
