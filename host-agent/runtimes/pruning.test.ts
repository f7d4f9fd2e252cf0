import { expect, test } from "vitest";
import { imageRef } from "./images.ts";
import { pruneImages, superfluous, wantedImages } from "./pruning.ts";

const digest = (letter: string) => `registry.test:5000/agent@sha256:${letter.repeat(64)}`;
const pulled = (letter: string, Created: number) => ({
  Id: `id-${letter}`,
  RepoTags: [`chelar/pulled:${letter.repeat(16)}`],
  RepoDigests: [digest(letter)],
  Created,
});
const built = (tag: string, Created: number) => ({
  Id: tag,
  RepoTags: [`chelar/echo:${tag}`],
  RepoDigests: null,
  Created,
});
const nobody = { wanted: new Set<string>(), used: new Set<string>() };

test("of what nobody wants the newest of each kind stays to go back to, and our mark goes last", () => {
  const images = [pulled("a", 1), pulled("b", 2), pulled("c", 3), built("1", 1), built("2", 2)];
  expect(superfluous(images, nobody)).toEqual([
    [digest("b"), `chelar/pulled:${"b".repeat(16)}`],
    [digest("a"), `chelar/pulled:${"a".repeat(16)}`],
    ["chelar/echo:1"],
  ]);
});

test("nothing goes that is wanted, that a container is made from, or that is not ours", () => {
  const foreign = { ...pulled("d", 0), RepoTags: null };
  const named = { ...pulled("e", 0), RepoTags: ["registry.test:5000/agent:latest"] };
  const images = [pulled("a", 1), pulled("b", 2), pulled("c", 3), foreign, named];
  const kept = { wanted: new Set([digest("a")]), used: new Set(["id-b"]) };
  expect(superfluous(images, kept)).toEqual([]);
});

test("wanted is what an agent is to run, what it runs, what it tries, and what this host makes", () => {
  const kept = { runs: { image: digest("b"), trial: { image: digest("c"), snapshot: "" } } };
  const journal = {
    tenants: {
      all: () => [
        { id: "one", spec: { image: digest("a") } },
        { id: "two", spec: null },
      ],
    },
    data: { get: (id: string) => (id === "one" ? kept : {}) },
  };
  const wanted = wantedImages(journal as unknown as Parameters<typeof wantedImages>[0]);
  expect([...wanted].sort()).toEqual([imageRef("echo"), imageRef("openclaw"), ...["a", "b", "c"].map(digest)].sort());
});

test("what is asked for while the engine tells what it has is not removed", async () => {
  const wanted = new Set<string>();
  const removed: string[] = [];
  const docker = {
    listImages: async () => [pulled("a", 1), pulled("b", 2)],
    async listContainers() {
      wanted.add(digest("a"));
      return [];
    },
    removeImage: async (name: string) => `${removed.push(name)}`,
  };
  expect(await pruneImages(docker, () => wanted)).toEqual([]);
  expect(removed).toEqual([]);
});
