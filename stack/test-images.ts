import { makeImageArchive } from "../host-agent/runtimes/images.ts";
import { BUILT_RUNTIMES } from "../schema/protocol/index.ts";

/** Archives of built images, shared by all runs and checkouts of this machine and keyed by their content. */
export const IMAGE_CACHE = process.env.CHELAR_IMAGE_CACHE ?? "/var/tmp/chl-cache";

/**
 * Makes what test hosts will load. Out here, since their internet has no package registry: about two minutes the first
 * time, nothing after that. `stateDir` is this checkout's own.
 */
export async function makeTestImages(stateDir: string, say: (line: string) => void): Promise<void> {
  for (const runtime of BUILT_RUNTIMES) {
    let said = "";
    await makeImageArchive(runtime, { stateDir, cacheDir: IMAGE_CACHE }, ({ detail }) => {
      if (detail !== said) say(`test images: ${runtime}: ${detail}`);
      said = detail;
    });
  }
}
