import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import {
  type BuiltRuntime,
  type ImageState,
  imageReference,
  isBuilt,
  type RuntimeName,
} from "../../schema/protocol/index.ts";
import { type Images, StepError } from "../tenants/ports.ts";
import { makeArchive, type Tell } from "./images/archive.ts";
import { BuildFailed, buildError } from "./images/failure.ts";
import { contentKey, type Recipe, recipeRef } from "./images/recipe.ts";
import { RECIPES } from "./images/recipes.ts";

/** What image building needs of the container engine. All three reject when the engine does not answer. */
export interface ImageEngine {
  /** Resolves when the image stands under its tag; the tag does not exist before. */
  importImage(tar: Readable, options: { repo: string; tag: string; changes: readonly string[] }): Promise<void>;
  imageExists(ref: string): Promise<boolean>;
  /** `ref` is `name@sha256:…`: the registry cannot give other bytes than the operator chose. */
  pullImage(ref: string): Promise<void>;
  tagImage(ref: string, repo: string, tag: string): Promise<void>;
}

/** Of every image that this host has made or pulled; what else lies in its engine is somebody else's. */
export const OURS = "chelar/";

export interface ImageOptions {
  /** Root-only; half-made layers lie below until they are whole. */
  stateDir: string;
  docker: ImageEngine;
  /** Keeps finished archives, so that other Docker daemons of this machine load instead of building. Root-only. */
  cacheDir?: string;
  recipes?: Readonly<Record<BuiltRuntime, () => Recipe>>;
}

const refs = new Map<RuntimeName, string>();

/** The image a runtime's container is made from: the digest that was asked for, or a tag that is a hash of all that goes in. */
export function imageRef(runtime: RuntimeName, image?: string): string {
  if (image !== undefined) return imageReference.parse(image);
  if (!isBuilt(runtime)) throw new StepError(`No image of ${runtime} was named.`, { retryable: false });
  const ref = refs.get(runtime) ?? recipeRef(RECIPES[runtime]());
  refs.set(runtime, ref);
  return ref;
}

export function createImages(options: ImageOptions): Images {
  const states = new Map<RuntimeName, ImageState>();
  const running = new Map<string, { done: Promise<void>; listeners: Set<Tell> }>();
  let queue: Promise<unknown> = Promise.resolve();

  const make = async (runtime: RuntimeName, image: string | undefined, listeners: Set<Tell>) => {
    let reached = 0;
    const tell: Tell = ({ fraction, detail }) => {
      reached = Math.max(reached, Math.min(1, fraction));
      states.set(runtime, { runtime, state: "building", fraction: reached, detail });
      for (const listener of listeners) listener({ fraction: reached, detail });
    };
    try {
      await provide({ runtime, image }, options, tell, (work) => {
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
    async ensure(runtime, onProgress, image) {
      const name = image ?? runtime;
      let build = running.get(name);
      if (!build) {
        const listeners = new Set<Tell>();
        build = { listeners, done: make(runtime, image, listeners).finally(() => running.delete(name)) };
        running.set(name, build);
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
  { runtime, image }: { runtime: RuntimeName; image: string | undefined },
  options: ImageOptions,
  tell: Tell,
  inTurn: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const { docker } = options;
  if (image !== undefined || !isBuilt(runtime)) {
    const ref = imageRef(runtime, image);
    if (await docker.imageExists(ref)) return;
    return inTurn(async () => {
      tell({ fraction: 0, detail: "Downloading the image" });
      await docker.pullImage(ref);
      // By this mark it is known as ours when nobody needs it any more.
      await docker.tagImage(ref, `${OURS}pulled`, contentKey([ref]));
    });
  }
  const recipe = (options.recipes ?? RECIPES)[runtime]();
  const ref = recipeRef(recipe);
  if (await docker.imageExists(ref)) return;
  await inTurn(() => build(recipe, ref, options, tell));
}

async function build(recipe: Recipe, ref: string, options: ImageOptions, tell: Tell): Promise<void> {
  const work = join(options.stateDir, "images");
  const archive = await makeArchive(recipe, { work, keep: options.cacheDir ?? work }, tell);
  tell({ fraction: 0.9, detail: "Giving the image to Docker" });
  const [repo = "", tag = ""] = ref.split(":");
  await options.docker.importImage(createReadStream(archive), { repo, tag, changes: recipe.changes });
  if (options.cacheDir === undefined) await rm(archive, { force: true });
}

/** Makes a runtime's archive without any Docker: for hosts that will take it from the cache. */
export async function makeImageArchive(
  runtime: BuiltRuntime,
  { stateDir, cacheDir }: { stateDir: string; cacheDir: string },
  onProgress: Tell,
): Promise<string> {
  const places = { work: join(stateDir, "images"), keep: cacheDir };
  return makeArchive(RECIPES[runtime](), places, onProgress).catch((error) => {
    throw asStepError(runtime, error);
  });
}
