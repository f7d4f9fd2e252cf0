import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StepError } from "../tenants/ports.ts";
import { parseLdd } from "./images/echo.ts";
import { BuildFailed } from "./images/failure.ts";
import { contentKey, type Layer, type Recipe, recipeRef } from "./images/recipe.ts";
import { createImages, type ImageEngine, imageRef } from "./images.ts";

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "chl-images-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

/** Keeps what it was given, as Docker would, and nothing of a stream that broke off. */
function engine() {
  const images = new Map<string, string>();
  const docker: ImageEngine = {
    async importImage(tar: Readable, { repo, tag }) {
      const archive = join(stateDir, "got.tar");
      const chunks: Buffer[] = [];
      for await (const chunk of tar) chunks.push(chunk);
      writeFileSync(archive, Buffer.concat(chunks));
      images.set(`${repo}:${tag}`, execFileSync("tar", ["--list", "--file", archive], { encoding: "utf8" }));
    },
    imageExists: async (ref) => images.has(ref),
    pullImage: async (ref) => void images.set(ref, "pulled"),
    tagImage: async (ref, repo, tag) => void images.set(`${repo}:${tag}`, ref),
  };
  return { docker, images };
}

const layer = (name: string, fill: Layer["fill"] = async (dir) => writeFileSync(join(dir, name), name)): Layer => ({
  name,
  key: contentKey([name]),
  share: 0.4,
  doing: `Making ${name}`,
  fill,
});
const recipe = (...layers: Layer[]): Recipe => ({ repo: "test/image", layers, changes: ["WORKDIR /"], needMiB: 1 });
const never = () => {
  throw new Error("not this one");
};
const quiet = () => {};

describe("images", () => {
  test("an image appears once, whole, for any number of callers at the same time", async () => {
    let fills = 0;
    const counted = layer("one", async (dir) => {
      fills++;
      writeFileSync(join(dir, "one"), "1");
    });
    const made = recipe(counted, layer("two"));
    const { docker, images } = engine();
    const port = createImages({ stateDir, docker, recipes: { echo: () => made, openclaw: never } });
    expect(port.state("echo").state).toBe("absent");
    const fractions: number[] = [];
    await Promise.all([1, 2, 3].map(() => port.ensure("echo", ({ fraction }) => fractions.push(fraction))));
    expect(fills).toBe(1);
    expect(images.get(recipeRef(made))?.split("\n").filter(Boolean)).toEqual(["./one", "./two"]);
    expect(port.state("echo")).toEqual({ runtime: "echo", state: "ready" });
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(readdirSync(join(stateDir, "images"))).toEqual([]);
  });

  test("after a failure the next call goes on with the layers that are whole, and takes nothing half-made", async () => {
    const firstFills: string[] = [];
    let broken = true;
    const first = layer("first", async (dir) => {
      firstFills.push(dir);
      writeFileSync(join(dir, "first"), "1");
    });
    const second = layer("second", async (dir) => {
      if (!broken) return writeFileSync(join(dir, "second"), "2");
      writeFileSync(join(dir, "half"), "");
      throw new BuildFailed({ reason: "source_unreachable", tool: "npm", detail: "ENOTFOUND" });
    });
    const made = recipe(first, second);
    const { docker, images } = engine();
    const port = createImages({ stateDir, docker, recipes: { echo: () => made, openclaw: never } });
    const error = await port.ensure("echo", quiet).catch((e) => e);
    expect(error).toBeInstanceOf(StepError);
    expect(error.retryable).toBe(true);
    expect(port.state("echo")).toMatchObject({ state: "failed", detail: error.public });
    expect(images.size).toBe(0);
    broken = false;
    await port.ensure("echo", quiet);
    expect(firstFills).toHaveLength(1);
    expect(images.get(recipeRef(made))).not.toContain("half");
  });

  test("a build killed in the middle of a layer leaves nothing that a later one takes for whole", async () => {
    const archive = new URL("./images/archive.ts", import.meta.url).href;
    const script = `
      import { writeFileSync } from "node:fs";
      import { makeArchive } from ${JSON.stringify(archive)};
      const fill = async (dir) => {
        writeFileSync(dir + "/half", "");
        console.log("half");
        await new Promise(() => setInterval(() => {}, 1000));
      };
      const layers = [{ ...${JSON.stringify(layer("one"))}, fill }];
      const recipe = { ...${JSON.stringify(recipe())}, layers };
      await makeArchive(recipe, { work: process.argv[1] + "/images", keep: process.argv[1] + "/images" }, () => {});`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script, stateDir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const { docker, images } = engine();
    const made = recipe(layer("one"));
    await createImages({ stateDir, docker, recipes: { echo: () => made, openclaw: never } }).ensure("echo", quiet);
    expect(images.get(recipeRef(made))).toBe("./one\n");
    expect(readdirSync(join(stateDir, "images"))).toEqual([]);
  });

  test("two runtimes are never built at the same time", async () => {
    let building = 0;
    const slow = (name: string) =>
      layer(name, async (dir) => {
        expect(++building).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        writeFileSync(join(dir, name), "");
        building--;
      });
    const { docker } = engine();
    const recipes = { echo: () => recipe(slow("a")), openclaw: () => recipe(slow("b")) };
    const port = createImages({ stateDir, docker, recipes });
    await Promise.all([port.ensure("echo", quiet), port.ensure("openclaw", quiet)]);
  });

  test("a disk without room is one clear sentence before anything is downloaded", async () => {
    const made = { ...recipe(layer("x", never)), needMiB: 2 ** 40 };
    const port = createImages({ stateDir, docker: engine().docker, recipes: { echo: () => made, openclaw: never } });
    await expect(port.ensure("echo", quiet)).rejects.toThrow(/no_space/);
    expect(port.state("echo").detail).toMatch(/disk has \d+ MiB free and 1099511627776 MiB are needed\.$/);
  });

  test("another daemon of this machine takes the kept archive instead of building", async () => {
    const cacheDir = join(stateDir, "cache");
    const made = recipe(layer("kept"));
    const recipes = { echo: () => made, openclaw: never };
    await createImages({ stateDir, cacheDir, docker: engine().docker, recipes }).ensure("echo", quiet);
    const again = { ...made, layers: made.layers.map((l) => ({ ...l, fill: never })) };
    const { docker, images } = engine();
    await createImages({ stateDir, cacheDir, docker, recipes: { ...recipes, echo: () => again } }).ensure(
      "echo",
      quiet,
    );
    expect(images.get(recipeRef(made))).toContain("./kept");
  });

  test("an archive directory that others may write to is refused: its content would be run", async () => {
    const cacheDir = join(stateDir, "open");
    mkdirSync(cacheDir);
    chmodSync(cacheDir, 0o777);
    const recipes = { echo: () => recipe(layer("x")), openclaw: never };
    const port = createImages({ stateDir, cacheDir, docker: engine().docker, recipes });
    await expect(port.ensure("echo", quiet)).rejects.toThrow(/untrusted_directory/);
  });

  test("an operator's image is taken by digest only", async () => {
    const digest = `registry.example/openclaw@sha256:${"ab".repeat(32)}`;
    const { docker, images } = engine();
    const port = createImages({ stateDir, docker });
    await port.ensure("openclaw", quiet, digest);
    expect(images.get(imageRef("openclaw", digest))).toBe("pulled");
    for (const moved of ["registry.example/openclaw:latest", "registry.example/openclaw", `${digest}0`, `-${digest}`]) {
      await expect(port.ensure("openclaw", quiet, moved)).rejects.toThrow();
    }
    await expect(port.ensure("custom", quiet)).rejects.toThrow("No image of custom was named");
  });

  test("the names of the built images say all that goes in", () => {
    expect(imageRef("echo")).toMatch(/^chelar\/echo:[0-9a-f]{16}$/);
    expect(imageRef("openclaw")).toMatch(/^chelar\/openclaw:[0-9a-f]{16}$/);
    const made = recipe(layer("a"));
    expect(recipeRef({ ...made, changes: ["USER 1"] })).not.toBe(recipeRef(made));
    expect(contentKey(["ab", "c"])).not.toBe(contentKey(["a", "bc"]));
  });
});

test("libraries are read from what the dynamic linker says", () => {
  const text = `\tlinux-vdso.so.1 (0x00007f00)
\tlibdl.so.2 => /lib/x86_64-linux-gnu/libdl.so.2 (0x00007fbb)
\t/lib64/ld-linux-x86-64.so.2 (0x00007fbbb92c0000)`;
  expect(parseLdd(text)).toEqual(["/lib/x86_64-linux-gnu/libdl.so.2", "/lib64/ld-linux-x86-64.so.2"]);
});
