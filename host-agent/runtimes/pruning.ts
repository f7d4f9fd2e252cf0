import { BUILT_RUNTIMES } from "../../schema/protocol/index.ts";
import type { Docker, ImageSummary } from "../containers/index.ts";
import type { Journal } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import { imageRef, OURS } from "./images.ts";

const EVERY_MS = 3_600_000;

export interface PruningOptions {
  journal: { tenants: Pick<Journal["tenants"], "all">; data: Pick<Journal["data"], "get"> };
  docker: Pick<Docker, "listImages" | "listContainers" | "removeImage">;
  log: Log;
}

/** By which names images are wanted on this host: those that its agents run or may go back to, and those that it makes. */
export function wantedImages({ tenants, data }: PruningOptions["journal"]): Set<string> {
  const wanted = new Set(BUILT_RUNTIMES.map((runtime) => imageRef(runtime)));
  for (const { id, spec } of tenants.all()) {
    const { runs } = data.get(id);
    for (const image of [spec?.image, runs?.image, runs?.trial?.image]) if (image) wanted.add(image);
  }
  return wanted;
}

/**
 * The names to take from the engine, image by image. Never of an image that this host has neither made nor pulled, that
 * somebody wants, or that a container is made from. Of each kind the newest of the rest stays, to go back to.
 */
export function superfluous(
  images: readonly ImageSummary[],
  { wanted, used }: { wanted: ReadonlySet<string>; used: ReadonlySet<string> },
): string[][] {
  const idle = images
    .map(({ Id, Created, RepoDigests, RepoTags }) => {
      // Our own mark last: a removal that is cut off is found again by it.
      const names = [...(RepoDigests ?? []), ...(RepoTags ?? [])];
      return { Id, Created, names, isOurs: (RepoTags ?? []).some((tag) => tag.startsWith(OURS)) };
    })
    .filter(({ Id, names, isOurs }) => isOurs && !used.has(Id) && !names.some((name) => wanted.has(name)))
    .sort((a, b) => b.Created - a.Created);
  const kinds = Map.groupBy(idle, ({ names: [first = ""] }) => first.replace(/(@sha256)?:[0-9a-f]+$/, ""));
  return [...kinds.values()].flatMap(([, ...older]) => older.map(({ names }) => names));
}

/** Resolves with the names that are gone. An image that is taken up meanwhile is pulled or made again by who needs it. */
export async function pruneImages(docker: PruningOptions["docker"], wanted: () => Set<string>): Promise<string[]> {
  const images = await docker.listImages();
  const used = new Set((await docker.listContainers()).map(({ ImageID }) => ImageID));
  const gone: string[] = [];
  for (const names of superfluous(images, { wanted: wanted(), used })) {
    for (const name of names) {
      await docker.removeImage(name);
      gone.push(name);
    }
  }
  return gone;
}

/** A disk that fills up with images that nobody runs is a lost host: every hour they go. */
export function startPruning({ journal, docker, log }: PruningOptions): { look(): Promise<void>; stop(): void } {
  const look = async () => {
    try {
      for (const image of await pruneImages(docker, () => wantedImages(journal))) log.info("image.removed", { image });
    } catch (error) {
      log.warn("images.prune", { error: describeError(error) });
    }
  };
  const timer = setInterval(() => void look(), EVERY_MS);
  return { look, stop: () => clearInterval(timer) };
}
