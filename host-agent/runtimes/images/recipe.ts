import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export interface Layer {
  name: string;
  /** Hash of everything that this layer is made from: a layer made earlier under the same key is used again. */
  key: string;
  /** Part of the whole build's time, 0 to 1; those of a recipe and 0.2 for packing and importing make 1. */
  share: number;
  /** What the owner reads meanwhile. */
  doing: string;
  /** Fills an empty directory. `onFraction` takes 0 to 1 and may be called with any of them, in rising order. */
  fill(directory: string, onFraction: (fraction: number) => void): Promise<void>;
}

/** An image as data: layers are laid side by side (no top-level name in two of them), then imported with the changes. */
export interface Recipe {
  repo: string;
  layers: readonly Layer[];
  /** Dockerfile instructions, as `docker import --change` takes them. */
  changes: readonly string[];
  /** Free space that a build from nothing takes at its peak, in Docker's directory and ours together. */
  needMiB: number;
}

/** Content hash of all inputs: a changed app, package lock or Node makes a new image and leaves the old one be. */
export function recipeRef({ repo, layers, changes }: Recipe): string {
  return `${repo}:${contentKey([...layers.map((layer) => layer.key), ...changes])}`;
}

/** Sixteen hexadecimal digits of SHA-256 over the length-prefixed parts. */
export function contentKey(parts: readonly (string | Buffer)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest("hex").slice(0, 16);
}

/** Bytes of a file that lies beside this folder, so that an edited file is another key. */
export function input(relativePath: string): Buffer {
  return readFileSync(new URL(relativePath, import.meta.url));
}
