import { spawn } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@libsql/client/http";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { COMMAND_PATH, importSigningKey, newId, privateSigningJwk } from "../../schema/protocol/index.ts";
import { Account } from "../../stack/client.ts";
import { openOperator } from "../../stack/operator.ts";
import { ROOT } from "../../stack/worker.ts";
import { signFor } from "../../worker/hosts/sign.ts";
import { type Platform, startPlatform } from "./platform.ts";

let platform: Platform;
let account: Account;
beforeAll(async () => {
  platform = await startPlatform({ hosts: 2 });
  const { dir, edge } = platform;
  writeFileSync(`${dir}/running.json`, JSON.stringify({ pid: process.pid, dashboard: edge.dashboard }));
  account = new Account(edge.dashboard);
  const tag = newId("tnt").slice(4, 14);
  await account.signUp({ name: "rotation", email: `${tag}@example.test`, password: `${tag}-correct-horse` });
});
afterAll(() => platform?.stop());

const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 250 });
const secretsFile = () => `${platform.dir}/edge-secrets.json`;
const commandKeys = (file = secretsFile()) => JSON.parse(JSON.parse(readFileSync(file, "utf8")).COMMAND_KEYS);
const keys = () => openOperator({ dir: platform.dir, edge: null }).keys();

/** `npm run host -- rotate-keys`. With `killAt`, it is ended as soon as it says that it has come to that step. */
async function rotate(options: { killAt?: string; waitSeconds?: number; force?: boolean } = {}) {
  const { killAt, waitSeconds = 60, force = false } = options;
  const args = ["stack/cli.ts", "host", "rotate-keys", "--dir", platform.dir, "--wait", String(waitSeconds)];
  if (force) args.push("--force");
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  child.stderr.on("data", (chunk) => {
    text += chunk;
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    text += `${line}\n`;
    if (killAt && line.startsWith(killAt)) child.kill("SIGKILL");
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, text };
}

async function create(): Promise<string> {
  const name = `r-${newId("tnt").slice(4, 14)}`;
  const answer = await account.api("/api/v1/tenants", { body: { name, runtime: "echo" } });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.json<{ id: string }>().id;
}
const stateOf = async (id: string) =>
  (await account.api(`/api/v1/tenants/${id}`)).json<{ tenant?: { state: string }; state?: string }>();
const isIn = (id: string, state: string) =>
  until(async () => expect(JSON.stringify(await stateOf(id))).toContain(`"state":"${state}"`));

/** What a host answers to somebody who has kept a command key. */
async function statusFor(jwk: object, host: Platform["hosts"][number]): Promise<number> {
  const { kid, ...key } = jwk as { kid: string };
  const stolen = { version: 1, current: kid, next: null, keys: [{ kid, ...privateSigningJwk.parse(key) }] };
  await importSigningKey(stolen.keys[0] as never);
  const { edge } = platform;
  const world = { now: Date.now, random: (n: number) => crypto.getRandomValues(new Uint8Array(n)), sleep };
  const compact = await signFor(
    "command",
    { id: host.host.hostId, epoch: 1, keyset: null },
    { command: { type: "host.probe" } },
    { world: world as never, edge: edge.dashboard, keys: stolen },
  );
  const headers = { "content-type": "application/jose" };
  return (await fetch(`${host.host.place.endpoint}${COMMAND_PATH}`, { method: "POST", headers, body: compact })).status;
}

it("loses no command in flight, with the operator's own command killed at each of its steps", async () => {
  const old = commandKeys();
  for (const host of platform.hosts) expect(await statusFor(old.keys[0], host)).toBe(200);
  let rotating = true;
  const ids: string[] = [];
  const load = (async () => {
    while (rotating && ids.length < 6) {
      // While the edge is deployed anew there is nobody to acknowledge anything; what is acknowledged must hold.
      const id = await create().catch(() => null);
      if (id) ids.push(id);
      await sleep(700);
    }
  })();
  const codes: (number | null)[] = [];
  for (const killAt of ["1/4", "2/4", "3/4", "4/4"]) codes.push((await rotate({ killAt })).code);
  const last = await rotate();
  rotating = false;
  await load;
  expect([last.code, codes.filter((code) => code === null).length > 1]).toEqual([0, true]);
  expect(ids.length).toBeGreaterThan(2);
  for (const id of ids) await isIn(id, "running");
  const seen = await keys();
  expect(seen).toMatchObject({ current: commandKeys().current, next: null });
  expect(seen.current).not.toBe(old.current);
  for (const { keyset } of seen.hosts) expect(keyset?.kids).toEqual([seen.current]);
  // The old key opens nothing any more, on any host.
  for (const host of platform.hosts) expect(await statusFor(old.keys[0], host)).toBe(403);
});

it("keeps the old key for a host that is away, says who it waits for, and goes on when it is back", async () => {
  const [near, far] = platform.hosts as [Platform["hosts"][number], Platform["hosts"][number]];
  const old = commandKeys().current;
  await far.host.killAgent();
  const waited = await rotate({ waitSeconds: 5 });
  expect(waited.code).toBe(1);
  expect(waited.text).toMatch(/host-2 did not learn the new key in time/);
  const between = await keys();
  expect(between.current).toBe(old);
  const named = Object.fromEntries(between.hosts.map(({ name, keyset }) => [name, keyset?.kids.length]));
  expect(named).toEqual({ [near.host.place.name]: 2, [far.host.place.name]: 1 });
  await far.host.startAgent();
  expect((await rotate()).code).toBe(0);
  expect((await keys()).current).not.toBe(old);
});

it("is healed by the hosts' own words when the edge's database is an older copy, and never goes back to older keys", async () => {
  const { edge, dir } = platform;
  const database = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
  const { rows } = await database.execute("select id, generation, desired_hash, keyset from hosts");
  copyFileSync(secretsFile(), `${dir}/secrets-before.json`);
  expect((await rotate()).code).toBe(0);
  for (const row of rows) {
    const args = [row.generation as number, row.desired_hash as string, row.keyset as string, row.id as string];
    await database.execute({ sql: "update hosts set generation = ?, desired_hash = ?, keyset = ? where id = ?", args });
  }
  await edge.tick();
  await isIn(await create(), "running");
  await until(async () => {
    const seen = await keys();
    for (const { keyset } of seen.hosts) expect(keyset).toEqual({ version: seen.version, kids: [seen.current] });
  });

  // Older keys as well: nobody believes them, the operator hears of it, and what was asked for waits.
  copyFileSync(secretsFile(), `${dir}/secrets-after.json`);
  copyFileSync(`${dir}/secrets-before.json`, secretsFile());
  await until(async () => expect((await keys()).current).toBe(commandKeys().current));
  const waiting = await create();
  await until(async () => {
    await edge.tick();
    const alerts = await openOperator({ dir, edge: null }).alerts();
    expect(alerts.map(({ kind }) => kind)).toEqual(["keyset_behind", "keyset_behind"]);
  });
  copyFileSync(`${dir}/secrets-after.json`, secretsFile());
  await until(async () => expect((await keys()).current).toBe(commandKeys().current));
  await edge.tick();
  await isIn(waiting, "running");
  database.close();
});

it("by force, leaves behind a host that is away, and no other: that one believes the old key alone", async () => {
  const [near, far] = platform.hosts as [Platform["hosts"][number], Platform["hosts"][number]];
  const old = commandKeys();
  await far.host.killAgent();
  const { code, text } = await rotate({ waitSeconds: 10, force: true });
  expect(code, text).toBe(0);
  const seen = await keys();
  expect(seen).toMatchObject({ current: commandKeys().current, next: null });
  expect(seen.current).not.toBe(old.current);
  const known = Object.fromEntries(seen.hosts.map(({ name, keyset }) => [name, keyset?.kids]));
  expect(known).toEqual({ [near.host.place.name]: [seen.current], [far.host.place.name]: [old.current] });
  await far.host.startAgent();
  expect(await statusFor(commandKeys().keys[0], far)).toBe(403);
  expect(await statusFor(old.keys[0], near)).toBe(403);
});
