import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { pruneImages } from "../../host-agent/runtimes/pruning.ts";
import type { TenantImage } from "../../schema/protocol/index.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { internet } from "../hosts/index.ts";
import { layerOf, layerWith, type Registry, startRegistry } from "../stand-ins/registry.ts";
import { createSleepLab, type Sleeper, type SleepLab } from "./sleep-lab.ts";

const PORT = 5_000;
const ZEROCLAW = fileURLToPath(new URL("../stand-ins/zeroclaw", import.meta.url));
const node = { Entrypoint: ["/usr/local/bin/node"], WorkingDir: "/app", Env: ["PATH=/usr/local/bin:/bin"] };
const images = { good: "", better: "", broken: "", hoarding: "", zeroclaw: "", naked: "" };
let lab: SleepLab;
let registry: Registry;

/** A real pull by a real engine from a registry that speaks the protocol; the runtime inside is the test agent. */
beforeAll(async () => {
  registry = await startRegistry(internet.address, PORT);
  const base = layerOf(`${IMAGE_CACHE}/${imageRef("echo").replace(/[/:]/g, "-")}.tar`);
  const claw = layerWith(ZEROCLAW, "zeroclaw", "usr/local/bin");
  const push = (name: string, config: object) => registry.push(name, [base], { ...node, ...config });
  images.good = push("echo", { Cmd: ["/app/server.mjs"] });
  images.better = push("echo", { Cmd: ["/app/server.mjs", "better"] });
  images.broken = push("echo", { Cmd: ["/app/not-there.mjs"] });
  images.hoarding = push("echo", { Cmd: ["/app/server.mjs"], Volumes: { "/hoard": {} } });
  images.zeroclaw = registry.push("zeroclaw", [base, claw], { Env: node.Env });
  images.naked = registry.push("zeroclaw", [base, claw], { Env: [...node.Env, "STAND_IN_BACKEND=none"] });
  lab = await createSleepLab({ dockerArgs: [`--insecure-registry=${internet.address}:${PORT}`] });
}, 120_000);
afterAll(async () => {
  await lab?.destroy();
  await registry?.close();
});

const told = ({ id }: Sleeper) =>
  lab.edge.reports.filter((one): one is TenantImage => one.type === "tenant.image" && one.tenantId === id).at(-1);
const detailsOf = ({ id }: Sleeper) =>
  lab.edge.reports.flatMap((one) => (one.type === "tenant.progress" && one.tenantId === id ? [one.detail ?? ""] : []));
const runsFrom = async (one: Sleeper) =>
  (await one.docker("inspect", "--format", "{{.Config.Image}} {{json .Config.Cmd}}", `chelar-${one.id}`)).trim();

test("any image that listens runs behind all walls, from the digest that was named", { timeout: 120_000 }, async () => {
  const one = await lab.create(undefined, { spec: { runtime: "custom", image: images.good } });
  expect((await one.visit("/anything")).status).toBe(200);
  expect(await runsFrom(one)).toBe(`${images.good} ["/usr/local/bin/node","/app/server.mjs"]`);
  const facts = JSON.parse((await one.visit("/proc-self")).text).status as Record<string, string>;
  expect([facts.CapBnd, facts.NoNewPrivs, facts.Seccomp]).toEqual(["0000000000000000", "1", "2"]);
});

test("one that does not become ready gives way to the one before, with the data as it was", {
  timeout: 300_000,
}, async () => {
  const one = await lab.create(undefined, { spec: { runtime: "custom", image: images.good } });
  await one.visit("/fs?path=/data/kept&content=kept");
  await one.tell(undefined, { image: images.broken });
  await vi.waitFor(() => expect(told(one)).toMatchObject({ image: images.good, refused: images.broken }), 120_000);
  await one.untilState("running");
  expect(await runsFrom(one)).toContain(images.good);
  expect((await one.visit("/fs/read?path=/data/kept")).text).toContain("kept");
  expect(detailsOf(one).join()).toContain("The one before it runs again");
  await one.tell(undefined, { image: images.better });
  await vi.waitFor(() => expect(told(one)).toMatchObject({ image: images.better, refused: null }), 120_000);
  expect(await runsFrom(one)).toContain("better");
  expect((await one.visit("/fs/read?path=/data/kept")).text).toContain("kept");
});

test("one with volumes of its own is refused: they would be room beside the quota", { timeout: 120_000 }, async () => {
  const one = await lab.begin(undefined, { spec: { runtime: "custom", image: images.hoarding } });
  await one.untilState("failed");
  expect(detailsOf(one).join()).toContain("declares volumes of its own");
  expect(await one.status()).toBe("");
});

test("ZeroClaw's stand-in is ready with an active Landlock, and never without", { timeout: 120_000 }, async () => {
  const safe = await lab.create(undefined, { spec: { runtime: "zeroclaw", image: images.zeroclaw } });
  expect((await safe.visit("/health")).status).toBe(200);
  for (const closed of ["/api/security/status", "/pair", "/metrics", "/api"]) {
    expect((await safe.visit(closed)).status).toBe(404);
  }
  const naked = await lab.begin(undefined, { spec: { runtime: "zeroclaw", image: images.naked } });
  await naked.untilState("failed");
  expect(detailsOf(naked).join()).toContain("sandbox is not active (none)");
  expect((await naked.visit("/health")).status).toBe(503);
});

test("of images that nobody wants any more the newest stays, and what a container is made from", async () => {
  const { docker } = lab.host;
  const there = async () => {
    const names = (await docker.listImages()).flatMap(({ RepoDigests }) => RepoDigests ?? []);
    return Object.entries(images).flatMap(([kind, name]) => (names.includes(name) ? [kind] : []));
  };
  // "good" was left by its agent for "better"; of "broken" and "hoarding" no agent ever ran.
  expect((await there()).sort()).toEqual(["better", "broken", "good", "hoarding", "naked", "zeroclaw"]);
  const gone = await pruneImages(docker, () => new Set([imageRef("echo"), images.zeroclaw]));
  expect(gone.filter((name) => name.includes("@"))).not.toEqual([]);
  expect(await there()).toEqual(expect.arrayContaining(["better", "zeroclaw"]));
  expect(await docker.imageExists(imageRef("echo"))).toBe(true);
  expect(await pruneImages(docker, () => new Set([imageRef("echo"), images.zeroclaw]))).toEqual([]);
});
