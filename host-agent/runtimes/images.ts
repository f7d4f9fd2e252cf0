import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { ImageState, RuntimeName } from "../../schema/protocol/index.ts";
import { type Images, StepError } from "../tenants/ports.ts";
import { makeArchive, type Tell } from "./images/archive.ts";
import { BuildFailed, buildError } from "./images/failure.ts";
import { type Recipe, recipeRef } from "./images/recipe.ts";
import { RECIPES } from "./images/recipes.ts";

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

export function createImages(options: ImageOptions): Images {
  const states = new Map<RuntimeName, ImageState>();
  const running = new Map<RuntimeName, { done: Promise<void>; listeners: Set<Tell> }>();
  let queue: Promise<unknown> = Promise.resolve();

  const make = async (runtime: RuntimeName, listeners: Set<Tell>) => {
    let reached = 0;
    const tell: Tell = ({ fraction, detail }) => {
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
        const listeners = new Set<Tell>();
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
  tell: Tell,
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
  runtime: RuntimeName,
  { stateDir, cacheDir }: { stateDir: string; cacheDir: string },
  onProgress: Tell,
): Promise<string> {
  const places = { work: join(stateDir, "images"), keep: cacheDir };
  return makeArchive(RECIPES[runtime](), places, onProgress).catch((error) => {
    throw asStepError(runtime, error);
  });
}
