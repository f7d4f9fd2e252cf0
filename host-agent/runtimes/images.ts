import { createReadStream } from "node:fs";
import { access, lstat, mkdir, mkdtemp, readdir, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { ImageState, RuntimeName } from "../../schema/protocol/index.ts";
import { type Images, StepError } from "../tenants/ports.ts";
import { BuildFailed, buildError } from "./images/failure.ts";
import { type Layer, type Recipe, recipeRef } from "./images/recipe.ts";
import { RECIPES } from "./images/recipes.ts";
import { packTrees } from "./images/tree.ts";

/** What image building needs of the container engine. All three reject when the engine does not answer. */
export interface ImageEngine {
  /** Resolves when the image stands under its tag; the tag does not exist before. */
  importImage(tar: Readable, options: { repo: string; tag: string; changes: readonly string[] }): Promise<void>;
  imageExists(ref: string): Promise<boolean>;
  /** `ref` is `name@sha256:…`: the registry cannot give other bytes than the operator chose. */
  pullImage(ref: string): Promise<void>;
}

/** Where an operator's registry can be reached: the runtime's image by digest, instead of one built here. */
export type PulledImages = Readonly<Partial<Record<RuntimeName, { pull: string }>>>;

export interface ImageOptions {
  /** Root-only; half-made layers lie below until they are whole. */
  stateDir: string;
  docker: ImageEngine;
  pulled?: PulledImages;
  /** Keeps finished archives, so that other Docker daemons of this machine load instead of building. Root-only. */
  cacheDir?: string;
  recipes?: Readonly<Record<RuntimeName, () => Recipe>>;
}

const PINNED = /^[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}$/;
const refs = new Map<RuntimeName, string>();

/** The image a runtime's container is made from: the operator's digest, or a tag that is a hash of all that goes in. */
export function imageRef(runtime: RuntimeName, pulled: PulledImages = {}): string {
  const chosen = pulled[runtime]?.pull;
  if (chosen !== undefined) {
    // A tag can be moved under us; a digest cannot.
    if (!PINNED.test(chosen)) throw new RangeError(`image of ${runtime}: expected name@sha256:…, got ${chosen}`);
    return chosen;
  }
  const ref = refs.get(runtime) ?? recipeRef(RECIPES[runtime]());
  refs.set(runtime, ref);
  return ref;
}

type Progress = { fraction: number; detail: string };
type Listener = (progress: Progress) => void;

export function createImages(options: ImageOptions): Images {
  const states = new Map<RuntimeName, ImageState>();
  const running = new Map<RuntimeName, { done: Promise<void>; listeners: Set<Listener> }>();
  let queue: Promise<unknown> = Promise.resolve();

  const make = async (runtime: RuntimeName, listeners: Set<Listener>) => {
    let reached = 0;
    const tell: Listener = ({ fraction, detail }) => {
      reached = Math.max(reached, Math.min(1, fraction));
      states.set(runtime, { runtime, state: "building", fraction: reached, detail });
      for (const listener of listeners) listener({ fraction: reached, detail });
    };
    try {
      await provide(runtime, options, tell, (work) => {
        // One build at a time: two of them would take each other's disk, cores and bandwidth.
        const turn = queue.then(work);
        queue = turn.catch(() => {});
        return turn;
      });
      states.set(runtime, { runtime, state: "ready" });
    } catch (error) {
      const told = asStepError(runtime, error);
      states.set(runtime, { runtime, state: "failed", detail: told.public });
      throw told;
    }
  };

  return {
    state: (runtime) => states.get(runtime) ?? { runtime, state: "absent" },
    async ensure(runtime, onProgress) {
      let build = running.get(runtime);
      if (!build) {
        const listeners = new Set<Listener>();
        build = { listeners, done: make(runtime, listeners).finally(() => running.delete(runtime)) };
        running.set(runtime, build);
      }
      build.listeners.add(onProgress);
      await build.done;
    },
  };
}

function asStepError(runtime: RuntimeName, error: unknown): StepError {
  if (error instanceof StepError) return error;
  if (error instanceof BuildFailed) return buildError(runtime, error.failure, error);
  return buildError(runtime, { reason: "engine_failed", detail: String(error) }, error);
}

async function provide(
  runtime: RuntimeName,
  options: ImageOptions,
  tell: Listener,
  inTurn: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const { docker, pulled } = options;
  if (pulled?.[runtime]) {
    const ref = imageRef(runtime, pulled);
    if (await docker.imageExists(ref)) return;
    return inTurn(async () => {
      tell({ fraction: 0, detail: "Downloading the image" });
      await docker.pullImage(ref);
    });
  }
  const recipe = (options.recipes ?? RECIPES)[runtime]();
  const ref = recipeRef(recipe);
  if (await docker.imageExists(ref)) return;
  await inTurn(() => build(recipe, ref, options, tell));
}

async function build(recipe: Recipe, ref: string, options: ImageOptions, tell: Listener): Promise<void> {
  const work = join(options.stateDir, "images");
  const keep = options.cacheDir ?? work;
  for (const directory of new Set([work, keep])) await ownDirectory(directory);
  const archive = join(keep, `${ref.replace(/[/:]/g, "-")}.tar`);
  if (!(await exists(archive))) {
    await requireSpace(work, recipe.needMiB);
    await makeArchive(recipe, { work, archive }, tell);
  }
  tell({ fraction: 0.9, detail: "Giving the image to Docker" });
  const [repo = "", tag = ""] = ref.split(":");
  await options.docker.importImage(createReadStream(archive), { repo, tag, changes: recipe.changes });
  if (options.cacheDir === undefined) await rm(archive, { force: true });
  for (const layer of recipe.layers) await removeStarting(work, `${layer.name}-`);
}

const layerPath = (work: string, layer: Layer) => join(work, `${layer.name}-${layer.key}`);

/** Layers and archive appear under their names by rename only, so whatever bears a final name is whole. */
async function makeArchive(recipe: Recipe, { work, archive }: { work: string; archive: string }, tell: Listener) {
  // Only one host agent works in a state directory, and it makes one image at a time: what lies here was killed.
  await removeStarting(work, UNFINISHED);
  let done = 0;
  for (const layer of recipe.layers) {
    tell({ fraction: done, detail: layer.doing });
    const path = layerPath(work, layer);
    if (!(await exists(path))) {
      const unfinished = await mkdtemp(join(work, UNFINISHED));
      const start = done;
      await layer.fill(unfinished, (part) => tell({ fraction: start + layer.share * part, detail: layer.doing }));
      await rename(unfinished, path);
    }
    done += layer.share;
  }
  tell({ fraction: done, detail: "Packing the image" });
  const unfinished = `${archive}.${process.pid}.unfinished`;
  const trees = recipe.layers.map((layer) => layerPath(work, layer));
  await packTrees(trees, unfinished);
  await rename(unfinished, archive);
}

const UNFINISHED = "unfinished-";

/** Layers under older keys too: whoever changed a lock or Node would otherwise leave half a gigabyte behind each time. */
async function removeStarting(work: string, prefix: string): Promise<void> {
  for (const name of await readdir(work)) {
    if (name.startsWith(prefix)) await rm(join(work, name), { recursive: true, force: true });
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
