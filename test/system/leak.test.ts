import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Account, type Answer, type Ask, expectStatus } from "../../stack/client.ts";
import { openOperator } from "../../stack/operator.ts";
import { WIRE } from "../../stack/testnet.ts";
import { localRing, rotate } from "../../stack/vault.ts";
import { internet } from "../hosts/index.ts";
import { startWiretap, type Wiretap } from "../stand-ins/wiretap.ts";
import { ANY, type Canary, createCanary, isIn, searchDisk, searchProcesses } from "./canary.ts";
import { type Platform, startPlatform } from "./platform.ts";

/**
 * A key is entered, and then everything that a platform writes, sends, says and logs is searched for it: the whole disk
 * of the server (Docker's data, journal, logs, Caddy's data), the edge's database with its WAL, outbox and logs, all HTTP
 * between edge and server, every answer of the API. Each phase adds canaries; the earlier ones stay searched for.
 */
const NAME = "OPENROUTER_API_KEY";
const canaries: Canary[] = [];
const answers: string[] = [];
let [toHost, toEdge]: [Wiretap, Wiretap] = [] as never;
let platform: Platform;
let owner: Account;
let id = "";

const fresh = (shape = "sk-or-v1-*"): Canary => {
  const canary = createCanary(shape);
  canaries.push(canary);
  return canary;
};

beforeAll(async () => {
  toHost = await startWiretap(internet.address);
  toEdge = await startWiretap(internet.address, `http://${WIRE.address}:8787`, false);
  platform = await startPlatform({ place: { endpoint: toHost.url, edgeUrl: toEdge.url } });
  toHost.target = platform.host.place.hostSite;
  owner = new Account(platform.edge.dashboard);
  await owner.signUp({ name: "Owner", email: "owner@example.test", password: "long-enough-for-this" });
});
afterAll(async () => {
  await platform?.stop();
  await toHost?.close();
  await toEdge?.close();
});

async function api(path: string, options: Ask = {}): Promise<Answer> {
  const answer = await owner.api(path, options);
  answers.push(`${JSON.stringify(answer.headers)}\n${answer.text}`);
  return answer;
}
const put = async ({ value }: Canary) =>
  expectStatus(await api(`/api/v1/tenants/${id}/secrets/${NAME}`, { method: "PUT", body: { value } }), 200);
const act = async (action: string) =>
  expectStatus(await api(`/api/v1/tenants/${id}/${action}`, { method: "POST" }), 202);

interface View {
  state: string;
  generation: number;
  observedGeneration: number;
  failure: string | null;
}
const view = async () => expectStatus(await api(`/api/v1/tenants/${id}`), 200).json<View>();
const until = <T>(check: () => Promise<T>) => vi.waitFor(check, { timeout: 90_000, interval: 200 });
const reached = (state: string) =>
  until(async () => {
    const seen = await view();
    expect({ ...seen, upToDate: seen.observedGeneration }).toMatchObject({ state, upToDate: seen.generation });
    return seen;
  });
const docker = (...args: string[]) =>
  platform.server.run("docker", ["-H", `unix://${platform.server.dockerSocket}`, ...args]);
const memory = () => `${platform.host.place.runDir}/env`;

/** Everywhere at once. `starting`: its file may still lie on the memory-backed mount, and nowhere else. */
async function searchEverywhere(phase: string, starting = false): Promise<void> {
  const skip = starting ? [memory()] : [];
  const [server, edge] = [await searchDisk(platform.server.dir, skip), await searchDisk(platform.dir)];
  const said = {
    "to the host": toHost.heard(),
    "to the edge": toEdge.heard(),
    "the API's answers": answers.join("\n"),
    "docker inspect": await inspectAll(),
    "docker logs": await docker("logs", `chelar-${id}`).catch(() => ""),
  };
  const heard = Object.entries(said).filter(([, text]) => isIn(text, ANY));
  expect([...server.found, ...edge.found, ...heard.map(([name]) => name)]).toEqual([]);
  const mebibytes = ((server.bytes + edge.bytes) / 2 ** 20).toFixed(0);
  const tapped = toHost.heard().length + toEdge.heard().length;
  console.log(
    `${phase}: ${canaries.length} canaries not found in ${server.files + edge.files} files (${mebibytes} MiB), ${tapped} bytes of HTTP, ${answers.length} answers`,
  );
}

async function inspectAll(): Promise<string> {
  const names = (await docker("ps", "--all", "--quiet")).split("\n").filter(Boolean);
  return names.length > 0 ? docker("inspect", ...names) : "";
}

/** The agent's own processes hold that one and no other, and nobody else of this machine holds any. */
async function onlyItsProcessHolds(canary: Canary): Promise<void> {
  const inside = (await docker("top", `chelar-${id}`, "-o", "pid")).split("\n").slice(1).filter(Boolean).map(Number);
  const { environ, cmdline } = await searchProcesses();
  expect(environ.length).toBeGreaterThan(0);
  expect(inside).toEqual(expect.arrayContaining(environ));
  expect(cmdline).toEqual([]);
  for (const pid of environ) {
    const held = await readFile(`/proc/${pid}/environ`);
    expect(canaries.filter((one) => isIn(held, one))).toEqual([canary]);
    // A core file would hold it: none is ever written.
    expect(await readFile(`/proc/${pid}/limits`, "utf8")).toMatch(/Max core file size\s+0\s+0/);
  }
}

test("the search finds a key that was left lying, however it is written down", async () => {
  const planted = createCanary("sk-or-v1-*");
  const { value } = planted;
  const directory = `${platform.server.dir}/planted`;
  const ways: Record<string, string | Buffer> = {
    plain: `a line\nKEY=${value}\n`,
    hex: Buffer.from(value).toString("hex"),
    base64url: Buffer.from(`{"key":"${value}"}`).toString("base64url"),
    wide: Buffer.from(value, "utf16le"),
    ...Object.fromEntries(
      [0, 1, 2].map((at) => [`base64-${at}`, Buffer.from("x".repeat(at) + value).toString("base64")]),
    ),
    // Across the seam of two reads.
    seam: Buffer.concat([Buffer.alloc(4 * 2 ** 20 - 15), Buffer.from(value)]),
  };
  await mkdir(`${directory}/.hidden`, { recursive: true });
  for (const [name, content] of Object.entries(ways)) await writeFile(`${directory}/.hidden/${name}`, content);
  const { found } = await searchDisk(platform.server.dir);
  expect(found.toSorted()).toEqual(
    Object.keys(ways)
      .map((name) => `${directory}/.hidden/${name}`)
      .toSorted(),
  );
  await rm(directory, { recursive: true });
});

test("what lies in memory for a start is never swapped out", async () => {
  const swaps = (await readFile("/proc/swaps", "utf8")).trim().split("\n").slice(1);
  const mounts = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  const options = mounts.find(([, path]) => path === memory())?.[3] ?? "";
  expect(swaps.length === 0 || options.split(",").includes("noswap")).toBe(true);
});

test("creation: the key is in the environment of the agent's own process and nowhere else", async () => {
  const first = fresh();
  const body = { name: "leak-proof", runtime: "echo", secrets: { [NAME]: first.value } };
  id = expectStatus(await api("/api/v1/tenants", { body }), 201).json<{ id: string }>().id;
  await reached("running");
  await onlyItsProcessHolds(first);
  await searchEverywhere("creation");
  // What was captured is what we mean: commands and reports went through it.
  expect(toHost.heard().toString("latin1")).toMatch(/POST .*command[\s\S]*eyJ/);
  expect(toEdge.heard().toString("latin1")).toMatch(/POST \/api\/hosts\/reports[\s\S]*eyJ/);
});

test("restart", async () => {
  await act("restart");
  await reached("running");
  await onlyItsProcessHolds(canaries.at(-1) as Canary);
  await searchEverywhere("restart");
});

test("rotation: another key by its owner, another key of the ring by the operator, and the key is the new one", async () => {
  const second = fresh();
  await put(second);
  await reached("running");
  await onlyItsProcessHolds(second);
  const operator = openOperator({ dir: platform.dir, edge: platform.edge.dashboard });
  const said: string[] = [];
  expect(
    await rotate(operator.vault, localRing(platform.dir), { waitSeconds: 60, say: (line) => said.push(line) }),
  ).toBe(0);
  answers.push(...said, JSON.stringify(await operator.vault.status()));
  expect(await operator.vault.status()).toMatchObject({ current: 2, floor: 2, stale: 0, warnings: [] });
  await act("restart");
  await reached("running");
  await onlyItsProcessHolds(second);
  await searchEverywhere("rotation");
});

test("the server restarts while the edge is away: the agent starts with its key, sealed in the journal", async () => {
  const canary = canaries.at(-1) as Canary;
  for (const tap of [toHost, toEdge]) tap.isDown = true;
  await platform.host.killAgent();
  await platform.server.stopDocker("SIGTERM");
  await platform.server.run("umount", [memory()]).catch(() => "");
  await rm(memory(), { recursive: true, force: true });
  expect(await searchProcesses()).toEqual({ environ: [], cmdline: [] });
  await searchDisk(platform.server.dir).then(({ found }) => expect(found).toEqual([]));
  await platform.server.startDocker();
  await platform.host.startAgent();
  await until(() => onlyItsProcessHolds(canary));
  for (const tap of [toHost, toEdge]) tap.isDown = false;
  await reached("running");
  await searchEverywhere("reboot");
});

test("a crash in the middle of a start: of the agent's process, and of the host agent that started it", async () => {
  const hanging = fresh("sk-or-hang-at-start-*");
  await put(hanging);
  await until(() => onlyItsProcessHolds(hanging));
  // While it starts, and only there: so the search would see a file that stays.
  expect((await searchDisk(memory())).found).toHaveLength(1);
  await searchEverywhere("mid-start", true);
  await platform.host.killAgent();
  await docker("kill", `chelar-${id}`);
  await searchEverywhere("crash in mid-start", true);
  await platform.host.startAgent();
  const mended = fresh();
  await put(mended);
  await reached("running");
  await onlyItsProcessHolds(mended);
  await searchEverywhere("after the crash");
});

test("a failed start: the state says so, and a better key mends it", async () => {
  const refusing = fresh("sk-or-exit-at-start-*");
  await put(refusing);
  expect((await reached("failed")).failure).toMatch(/stopping right after it was started/);
  expect(await searchProcesses()).toEqual({ environ: [], cmdline: [] });
  await searchEverywhere("failed start");
  const mended = fresh();
  await put(mended);
  await reached("running");
  await onlyItsProcessHolds(mended);
});

test("refusals: no answer repeats what was sent", async () => {
  const wrong = fresh("sk-ant-*");
  for (const [name, value] of [
    [NAME, `${wrong.value}\n`],
    [NAME, wrong.value],
    ["NO_SUCH_NAME", wrong.value],
    [NAME, wrong.value.repeat(2_000)],
  ] as const) {
    const answer = await api(`/api/v1/tenants/${id}/secrets/${name}`, { method: "PUT", body: { value } });
    expect(answer.status).toBeGreaterThanOrEqual(400);
  }
  const body = { name: "leak-proof", runtime: "echo", secrets: { ANTHROPIC_API_KEY: wrong.value } };
  expect((await api("/api/v1/tenants", { body })).status).toBe(409);
  await api(`/api/v1/tenants/${id}/secrets/${NAME}`, { method: "PUT", body: `{"value":"${wrong.value}` });
  await searchEverywhere("refusals");
});

test("deletion: nobody holds any of them, and nothing of them was ever written", async () => {
  expectStatus(await api(`/api/v1/tenants/${id}`, { method: "DELETE" }), 202);
  await until(async () => expect((await api(`/api/v1/tenants/${id}`)).status).toBe(404));
  expect(await searchProcesses()).toEqual({ environ: [], cmdline: [] });
  await searchEverywhere("deletion");
});
