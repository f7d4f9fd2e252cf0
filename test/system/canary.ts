import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";

/** A value that is nowhere by chance, and every way in which it may lie somewhere. */
export interface Canary {
  value: string;
  needles: readonly Buffer[];
}

const randomText = (bytes: number) => randomBytes(bytes).toString("base64").replace(/[+/]/g, "x");
/** In every canary of this run, so that a disk is searched for all of them at once. */
const MARK = randomText(15);

/** `shape` holds `*` where the random part goes. */
export function createCanary(shape: string): Canary {
  const core = randomText(12);
  return { value: shape.replace("*", MARK + core), needles: needlesOf(core) };
}

function needlesOf(core: string): Buffer[] {
  const bytes = Buffer.from(core);
  // Base64 of the same bytes differs by where they begin; the first and last character may carry a neighbour's bits.
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
    return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
  });
  const base64url = base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"));
  const hex = bytes.toString("hex");
  const texts = [core, ...base64, ...base64url, hex, hex.toUpperCase()];
  return [...new Set(texts)].map((text) => Buffer.from(text)).concat(Buffer.from(core, "utf16le"));
}

export const isIn = (haystack: Buffer | string, { needles }: Pick<Canary, "needles">): boolean => {
  const bytes = typeof haystack === "string" ? Buffer.from(haystack) : haystack;
  return needles.some((needle) => bytes.includes(needle));
};

/** Any canary of this run. */
export const ANY: Pick<Canary, "needles"> = { needles: needlesOf(MARK) };

export interface Searched {
  found: string[];
  files: number;
  bytes: number;
}

/** Every regular file below `directory`, hidden, deleted-but-listed or huge; sockets, pipes and devices hold nothing. */
export async function searchDisk(directory: string, skip: readonly string[] = []): Promise<Searched> {
  const searched: Searched = { found: [], files: 0, bytes: 0 };
  const walk = async (path: string): Promise<void> => {
    if (skip.includes(path)) return;
    for (const name of await unlessGone(readdir(path), [])) {
      const child = join(path, name);
      if (isIn(child, ANY)) searched.found.push(`name of ${child}`);
      const facts = await unlessGone(lstat(child), null);
      if (facts?.isDirectory()) await walk(child);
      else if (facts?.isFile() && !(await isNamespace(child))) {
        searched.files += 1;
        const content = facts.blocks * 512 < facts.size ? withoutHoles(child) : createReadStream(child, CHUNK);
        if (await holds(content, searched)) searched.found.push(child);
      }
    }
  };
  await walk(directory);
  return searched;
}

/** Docker's handles of network namespaces look like files; nothing can be read from them (NSFS_MAGIC). */
const isNamespace = async (path: string) => (await unlessGone(statfs(path), null))?.type === 0x6e736673;

const CHUNK = { highWaterMark: 4 * 2 ** 20 };

/** A volume's image is many gigabytes long and holds a few megabytes: tar gives out what is allocated, and no holes. */
const withoutHoles = (path: string): Readable =>
  spawn("tar", ["--create", "--sparse", "--hole-detection=seek", "--absolute-names", "--file=-", "--", path], {
    stdio: ["ignore", "pipe", "ignore"],
  }).stdout;

/** Looks across the seams of what is read at once. */
async function holds(content: Readable, count: { bytes: number }): Promise<boolean> {
  const overlap = Math.max(...ANY.needles.map(({ length }) => length));
  let rest = Buffer.alloc(0);
  try {
    for await (const chunk of content) {
      count.bytes += chunk.length;
      const window = Buffer.concat([rest, chunk]);
      if (isIn(window, ANY)) return true;
      rest = window.subarray(-overlap);
    }
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  return false;
}

/** Of every process of this machine, containers included: where its environment or its command line holds a canary. */
export async function searchProcesses(): Promise<{ environ: number[]; cmdline: number[] }> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const holding = async (file: string) => {
    const held = await Promise.all(
      pids.map(async (pid) => isIn(await readFile(`/proc/${pid}/${file}`).catch(notOurs), ANY)),
    );
    return pids.filter((_, at) => held[at]);
  };
  return { environ: await holding("environ"), cmdline: await holding("cmdline") };
}

/** Ended, or of whoever runs this machine: a process that not even root may look into is none that we have started. */
function notOurs(error: unknown): Buffer {
  if (isGone(error) || ["EACCES", "EPERM"].includes(codeOf(error))) return Buffer.alloc(0);
  throw error;
}

const isGone = (error: unknown) => ["ENOENT", "ESRCH", "ENOTDIR"].includes(codeOf(error));
const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "";

async function unlessGone<T>(work: Promise<T>, otherwise: T): Promise<T> {
  return work.catch((error) => {
    if (isGone(error)) return otherwise;
    throw error;
  });
}
