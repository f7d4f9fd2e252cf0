import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@libsql/client/http";
import { compactVerify, createLocalJWKSet } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readIdentity } from "../../host-agent/identity.ts";
import { importSealingKey, newId, openSecrets } from "../../schema/protocol/index.ts";
import { Account } from "../../stack/client.ts";
import { runDir } from "../../stack/testnet-cleanup.ts";
import { internet, type TestHost, testRun } from "../hosts/index.ts";
import { type S3StandIn, startS3 } from "../stand-ins/s3.ts";
import { gone, takeCensus } from "./agent-lab.ts";
import { type Platform, startPlatform } from "./platform.ts";

const S3_PORT = 9_444;
const S3_DIR = `${runDir(testRun())}/s3`;
const canary = randomBytes(12).toString("hex");
let s3: S3StandIn;
let platform: Platform;
let account: Account;

const openS3 = async () => {
  s3 = await startS3({ directory: S3_DIR, address: internet.address, port: S3_PORT });
};

beforeAll(async () => {
  mkdirSync(S3_DIR, { recursive: true });
  await openS3();
  const credentialsFile = `${S3_DIR}/keys.json`;
  writeFileSync(credentialsFile, JSON.stringify(s3.credentials), { mode: 0o600 });
  const copies = { endpoint: s3.endpoint, bucket: s3.bucket, region: "us-east-1", credentialsFile };
  platform = await startPlatform({ hosts: 2, place: { agent: { copies, spareNetworks: 0 } } });
  account = new Account(platform.edge.dashboard);
  const tag = randomBytes(6).toString("hex");
  await account.signUp({ name: "keeper", email: `${tag}@example.test`, password: `${tag}-correct-horse` });
});
afterAll(async () => {
  await platform?.stop();
  await s3?.close().catch(() => {});
});

const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 120_000, interval: 250 });
const api = async <T>(path: string, options: Parameters<Account["api"]>[1] = {}): Promise<T> => {
  const answer = await account.api(path, options);
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text.slice(0, 200)}`);
  return (answer.text === "" ? null : answer.json()) as T;
};

async function create(name: string): Promise<string> {
  const { id } = await api<{ id: string }>("/api/v1/tenants", { body: { name, runtime: "echo" } });
  await running(id);
  return id;
}
const running = (id: string) =>
  until(async () => expect((await api<{ state: string }>(`/api/v1/tenants/${id}`)).state).toBe("running"));

interface Storage {
  snapshots: string[];
  backup: { at: string } | null;
  restored: { from: string; ok: boolean; tookMs: number } | null;
  moveDownMs: number | null;
}
const storageOf = async (id: string) =>
  (await api<{ storage: Storage | null }>(`/api/v1/tenants/${id}/storage`)).storage;

/** Asked of Docker: on which server it runs. */
async function serverOf(id: string): Promise<{ server: TestHost; stateDir: string; other: Platform["hosts"][number] }> {
  for (const [index, { server, host }] of platform.hosts.entries()) {
    const census = await takeCensus({ host: server, stateDir: host.place.dir, tenantId: id });
    const other = platform.hosts[1 - index];
    if (census.running === 1 && other) return { server, stateDir: host.place.dir, other };
  }
  throw new Error(`${id} runs nowhere`);
}
async function inside(id: string, script: string): Promise<string> {
  const { server } = await serverOf(id);
  const { output } = await server.docker.exec(`chelar-${id}`, ["/chelar/busybox", "sh", "-c", script]);
  return output.trim();
}
const copiesOf = (id: string) =>
  readdirSync(s3.directory, { recursive: true })
    .map(String)
    .filter((path) => path.includes(id) && path.endsWith("_object"));

/** Everything that the agent and this test may write into a volume to trouble whoever packs or unpacks it. */
const HOSTILE = [
  `mkdir -p '/data/-rf' '/data/a b' "/data/$(printf 'new\\nline')" /data/deep/er`,
  `echo ${canary} > '/data/-rf/--checkpoint-action=exec=sh'; echo two > "/data/$(printf 'new\\nline')/$(printf '\\377\\376')"`,
  "echo three > '/data/a b/$(id)'; ln -s /etc/shadow /data/shadow; ln -s ../../../../etc /data/deep/er/out",
  "mkfifo /data/pipe; dd if=/dev/urandom of=/data/deep/large bs=64k count=512 2>/dev/null; ln /data/deep/large /data/again",
  "truncate -s 64M /data/hole; ln -s data /data/..hidden",
];

describe("an agent's own files", () => {
  it("come as one archive that holds all of them, byte for byte, and nothing that is not theirs", async () => {
    const id = await create(`files-${canary.slice(0, 6)}`);
    await inside(id, HOSTILE.join("; "));
    const sums = (place: string, box: string) =>
      `cd ${place} && find . -type f -exec ${box} sh -c '${box} sha256sum < "$0"' {} ';' | sort`;
    const written = await inside(id, sums("/data", "/chelar/busybox"));
    const path = `/api/v1/tenants/${id}/files`;
    const stolen = await fetch(`${platform.edge.dashboard}${path}`);
    expect(stolen.status).toBe(401);
    const ask = (signal?: AbortSignal) => {
      const url = new URL(path, platform.edge.dashboard);
      return fetch(url, { headers: { cookie: account.client.cookieHeader(url) }, signal });
    };
    const archive = await ask();
    expect(archive.status).toBe(200);
    // One at a time: each reads the whole volume.
    expect((await ask()).status).toBe(429);
    const tar = Buffer.from(await archive.arrayBuffer());
    const place = mkdtempSync(`${tmpdir()}/chelar-files-`);
    writeFileSync(`${place}/a.tar`, tar);
    const listed = execFileSync("tar", ["--numeric-owner", "-tvf", `${place}/a.tar`], { encoding: "latin1" });
    expect(listed.split("\n").filter((line) => line !== "" && !/^[-dlh]\S+ 1000\/1000 /.test(line))).toEqual([]);
    execFileSync("tar", ["-xf", `${place}/a.tar`, "-C", place]);
    expect(readlinkSync(`${place}/data/shadow`)).toBe("/etc/shadow");
    expect(readlinkSync(`${place}/data/deep/er/out`)).toBe("../../../../etc");
    expect(() => lstatSync(`${place}/data/pipe`)).toThrow();
    expect(readFileSync(`${place}/README.txt`, "utf8")).toContain("files-");
    const got = execFileSync("/bin/sh", ["-c", sums(`${place}/data`, "busybox")], { encoding: "utf8" });
    expect(written.split("\n").length).toBeGreaterThan(5);
    expect(got.trim()).toBe(written);
    expect(tar.includes(readFileSync("/etc/shadow").subarray(0, 40))).toBe(false);
    console.log(`files: ${tar.length} bytes of tar for ${listed.split("\n").length - 1} entries`);
    execFileSync("rm", ["-rf", place]);

    // Whoever leaves in the middle leaves nothing open on the server.
    const { server, stateDir } = await serverOf(id);
    const leaving = new AbortController();
    const begun = await ask(leaving.signal);
    await begun.body?.getReader().read();
    leaving.abort();
    await until(() => expect(readdirSync(`${stateDir}/exports`)).toEqual([]));
    await until(() => expect(readdirSync(`${stateDir}/volumes/${id}`)).not.toContain("export"));
    // Nor does whoever reads on, slowly, hold up a deletion: the archive ends, short of its end.
    const reading = await ask();
    const reader = reading.body?.getReader();
    await reader?.read();
    await api(`/api/v1/tenants/${id}`, { method: "DELETE" });
    await until(async () => expect(await takeCensus({ host: server, stateDir, tenantId: id })).toEqual(gone));
    await until(() => expect(readdirSync(`${stateDir}/exports`)).toEqual([]));
    await reader?.cancel().catch(() => {});
  });
});

interface Sweep {
  found: number;
  removed: number;
  orphans: { what: string }[];
}
const sweep = async () => {
  const headers = { authorization: `Bearer ${platform.edge.operatorToken}` };
  const url = `${platform.edge.dashboard}/api/v1/operator/sweeps`;
  return (await (await fetch(url, { method: "POST", headers })).json()) as Sweep;
};

describe("what belongs to nobody", () => {
  it("is found on disk, in object storage, among certificates and rows, and goes after its time; what lives stays", async () => {
    const id = await create(`owned-${canary.slice(0, 6)}`);
    await api(`/api/v1/tenants/${id}/backup`, { method: "POST" });
    await until(async () => expect((await storageOf(id))?.backup).toBeTruthy());
    const { stateDir } = await serverOf(id);
    const stray = newId("tnt");
    const hers = copiesOf(id).length;
    mkdirSync(`${stateDir}/volumes/${stray}/live`, { recursive: true });
    const certificate = `${stateDir}/caddy/certificates/acme/stray.agents.localhost`;
    mkdirSync(certificate, { recursive: true });
    execFileSync("cp", ["-a", `${s3.directory}/tenants/${id}`, `${s3.directory}/tenants/${stray}`]);
    const database = createClient({ url: platform.edge.databaseUrl, authToken: platform.edge.databaseAuthToken });
    await database.execute(
      `insert into tenant_events (tenant_id, generation, at, step, status) values ('${stray}', 1, 1, 'route', 'done')`,
    );
    const named = (it: Sweep, ...words: string[]) =>
      it.orphans.filter(({ what }) => words.every((word) => what.includes(word)));
    await until(async () => {
      const found = await sweep();
      expect(named(found, id)).toEqual([]);
      for (const kind of ["directory", "copies", "row"]) expect(named(found, kind, stray).length).toBeGreaterThan(0);
      expect(named(found, "certificate", "stray.agents")).toHaveLength(1);
      expect(found.removed).toBe(0);
    });
    await database.execute(`update orphans set first_seen_at = first_seen_at - ${8 * 24 * 3_600_000}`);
    expect((await sweep()).removed).toBeGreaterThan(3);
    await until(async () => expect((await sweep()).found).toBe(0));
    database.close();
    expect(readdirSync(`${stateDir}/volumes`)).not.toContain(stray);
    expect(readdirSync(`${stateDir}/caddy/certificates/acme`)).toEqual([]);
    expect(copiesOf(stray)).toEqual([]);
    expect(copiesOf(id)).toHaveLength(hers);
    await running(id);
    await api(`/api/v1/tenants/${id}`, { method: "DELETE" });
    await until(() => expect(copiesOf(id)).toEqual([]));
  });
});

describe("an agent's data", () => {
  it("is what it was again, from a copy that was asked for, and follows it to another server", async () => {
    const id = await create(`mover-${canary.slice(0, 6)}`);
    await inside(id, `echo ${canary} > /data/notes`);
    await api(`/api/v1/tenants/${id}/backup`, { method: "POST" });
    await until(async () => expect((await storageOf(id))?.backup).toBeTruthy());
    await inside(id, "rm /data/notes; echo spoilt > /data/other");
    await api(`/api/v1/tenants/${id}/restore`, { body: { from: "backup" } });
    await until(async () => expect((await storageOf(id))?.restored).toMatchObject({ from: "backup", ok: true }));
    await running(id);
    await until(async () => expect(await inside(id, "cat /data/notes; ls /data")).toContain(canary));
    expect(await inside(id, "ls /data")).not.toContain("other");
    expect((await account.api(`/api/v1/tenants/${id}/restore`, { body: { from: "20200101T000000Z" } })).status).toBe(
      409,
    );

    const before = await serverOf(id);
    await inside(id, "echo last words > /data/last");
    const askedMs = performance.now();
    await api(`/api/v1/tenants/${id}/move`, { method: "POST" });
    await until(async () => {
      await platform.edge.tick();
      expect((await serverOf(id)).server.namespace).toBe(before.other.server.namespace);
    });
    await running(id);
    const tookMs = performance.now() - askedMs;
    expect(await inside(id, "cat /data/notes /data/last")).toBe(`${canary}\nlast words`);
    const downMs = (await storageOf(id))?.moveDownMs ?? 0;
    expect(downMs).toBeGreaterThan(0);
    const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
    console.log(
      `move: ${seconds(tookMs)} from the wish until it ran elsewhere, ${seconds(downMs)} of it not reachable`,
    );
    // What it left behind goes when its old server tells of it.
    await until(async () => {
      await platform.edge.tick();
      expect(await takeCensus({ host: before.server, stateDir: before.stateDir, tenantId: id })).toEqual(gone);
    });
    expect(copiesOf(id).length).toBeGreaterThan(0);
    await api(`/api/v1/tenants/${id}`, { method: "DELETE" });
    await until(() => expect(copiesOf(id)).toEqual([]));
  });
});

describe("a deletion", () => {
  it("goes on while object storage is away, and ends with a receipt that a stock tool verifies", async () => {
    const name = `gone-${canary.slice(0, 6)}`;
    const id = await create(name);
    await inside(id, `echo ${canary} > /data/notes`);
    await api(`/api/v1/tenants/${id}/backup`, { method: "POST" });
    await until(async () => expect((await storageOf(id))?.backup).toBeTruthy());
    const { server, stateDir } = await serverOf(id);
    const receipts = () => api<{ receipts: { tenantId: string; receipt: string }[] }>("/api/v1/receipts");
    const mine = async () => (await receipts()).receipts.find(({ tenantId }) => tenantId === id);

    await s3.close();
    await api(`/api/v1/tenants/${id}`, { method: "DELETE" });
    await until(async () => expect(await takeCensus({ host: server, stateDir, tenantId: id })).toEqual(gone));
    await sleep(1_000);
    expect(await mine()).toBeUndefined();
    expect(
      (await account.client.ask(`${platform.host.place.tenantSite.replace("*", name)}/`).catch(() => null))?.status ??
        404,
    ).toBe(404);

    await openS3();
    await until(async () => expect(await mine()).toBeDefined());
    expect(copiesOf(id)).toEqual([]);
    expect(readdirSync(`${stateDir}/volumes`).join()).not.toContain(id);
    expect(execFileSync("btrfs", ["subvolume", "list", `${stateDir}/volumes`], { encoding: "utf8" })).not.toContain(id);

    const { edge } = platform;
    const database = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
    for (const table of ["secrets", "tickets"]) {
      expect((await database.execute(`select * from ${table} where tenant_id = '${id}'`)).rows).toEqual([]);
    }
    database.close();

    const keys = createLocalJWKSet((await account.api("/.well-known/chelar-receipt-keys.json")).json());
    const words = async (compact: string) =>
      JSON.parse(new TextDecoder().decode((await compactVerify(compact, keys)).payload)) as {
        sub: string;
        name?: string;
        host?: string;
        steps: { step: string; checked: string }[];
      };
    const whole = await words((await mine())?.receipt ?? "");
    expect(whole).toMatchObject({ sub: id, name });
    const hosts = await words(whole.host ?? "");
    console.log(hosts.steps.map(({ step, checked }) => `${step}: ${checked}`).join("\n"));
    expect(hosts.steps.map(({ step }) => step)).toEqual([
      ...["remove_container", "remove_network", "remove_volume", "remove_copies"].filter((step) =>
        hosts.steps.some((one) => one.step === step),
      ),
    ]);
    expect(hosts.steps).toHaveLength(4);
  });
});

/** Of everything that a platform still holds: the files of its hosts, its edge and its store, but for what tenants wrote. */
const holds = (needle: string, ...places: string[]): string[] => {
  const besides = ["--exclude-dir=mounts", "--exclude-dir=volumes", "--exclude=*.img"];
  const found = spawnSync("grep", ["-rlaF", ...besides, "--", needle, ...places], { encoding: "utf8" });
  return found.stdout.split("\n").filter((line) => line !== "");
};

/** The key of an agent's volume, as a thief of its server's disk finds it: sealed in the journal, with what opens it beside. */
async function volumeKeyOf(stateDir: string, id: string): Promise<{ key: string; sealed: string }> {
  const { sealing } = readIdentity(stateDir);
  const journals = ["journal.db", "journal.db-wal"].map((name) => readFileSync(`${stateDir}/${name}`, "latin1"));
  const jwes = journals.flatMap((text) => text.match(/eyJ[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]{22}/g) ?? []);
  for (const sealed of new Set(jwes)) {
    const opened = await openSecrets(sealed, await importSealingKey(sealing), id);
    if (opened?.volumeKey) return { key: opened.volumeKey, sealed };
  }
  throw new Error(`no key of ${id} in ${stateDir}`);
}

describe("deletions whose edge is killed", () => {
  it("end with nothing left on host, object store and database, and nothing that still exists opens a stolen copy", async () => {
    const { edge } = platform;
    const names = ["asked", "away", "store"].map((name) => `${name}-${canary.slice(0, 6)}`);
    const agents = await Promise.all(
      names.map(async (name) => {
        const id = await create(name);
        await inside(id, `echo ${canary} > /data/notes`);
        await api(`/api/v1/tenants/${id}/backup`, { method: "POST" });
        await until(async () => expect((await storageOf(id))?.backup).toBeTruthy());
        return { id, ...(await serverOf(id)) };
      }),
    );
    const [asked, away, store] = agents as [Agent, Agent, Agent];
    const thief = mkdtempSync(`${tmpdir()}/chelar-stolen-`);
    execFileSync("cp", ["-a", `${store.stateDir}/volumes/${store.id}/live`, `${thief}/copy`]);
    const { key, sealed } = await volumeKeyOf(store.stateDir, store.id);
    const opens = () => {
      const plain = mkdtempSync(`${thief}/plain-`);
      const { status } = spawnSync("gocryptfs", ["-q", "-ro", `${thief}/copy`, plain], { input: `${key}\n` });
      const read = status === 0 ? readFileSync(`${plain}/notes`, "utf8").trim() : null;
      if (status === 0) execFileSync("umount", [plain]);
      return read;
    };
    // The thief has the right key, and it is found where the thief looks.
    expect(opens()).toBe(canary);
    const places = [platform.dir, ...platform.hosts.map(({ host }) => host.place.dir), S3_DIR];
    expect(holds(sealed, ...places)).not.toEqual([]);

    const destroy = (id: string) => api(`/api/v1/tenants/${id}`, { method: "DELETE" });
    const kill = async () => {
      await edge.restartWorker();
      await until(async () => expect((await fetch(`${edge.dashboard}/healthz`)).ok).toBe(true));
    };
    const census = ({ id, server, stateDir }: Agent) => takeCensus({ host: server, stateDir, tenantId: id });
    // Networks do not say whose they are: they are counted when nobody is left.
    const isGone = async (agent: Agent) =>
      expect(await census(agent)).toMatchObject({ ...gone, networks: expect.any(Number) });
    const survived: string[] = [];
    // Killed while the wish is on the wire: its person asks again.
    const inFlight = destroy(asked.id).catch(() => survived.push("the wish was lost with its answer"));
    await edge.restartWorker();
    await inFlight;
    await until(() => destroy(asked.id).catch(() => isGone(asked)));
    // Its host is away, and comes back to another edge than the one that called it.
    const host = platform.hosts.find(({ server }) => server === away.server)?.host;
    await host?.killAgent();
    await destroy(away.id);
    await kill();
    await host?.startAgent();
    await until(() => isGone(away));
    // Everything is gone but what the store cannot be asked about; then all of it, but for its host's last word.
    await s3.close();
    await destroy(store.id);
    await until(() => isGone(store));
    await kill();
    await openS3();
    await until(() => expect(copiesOf(store.id)).toEqual([]));
    await kill();

    const database = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
    const keys = createLocalJWKSet((await account.api("/.well-known/chelar-receipt-keys.json")).json());
    await until(async () => {
      const { rows } = await database.execute("select slug from tenants where purged_at is null");
      expect(rows).toEqual([]);
    });
    for (const agent of agents) {
      const { id } = agent;
      expect(await census(agent)).toEqual(gone);
      expect(copiesOf(id)).toEqual([]);
      expect(readdirSync(`${agent.stateDir}/volumes`).join()).not.toContain(id);
      const tables = ["secrets", "tickets", "channels", "tenant_status", "tenant_samples", "tenant_images"];
      for (const table of tables) {
        expect((await database.execute(`select * from ${table} where tenant_id = '${id}'`)).rows).toEqual([]);
      }
      const salts = await database.execute(`select * from tenant_salts where tenant_id = '${id}' and salt is not null`);
      expect(salts.rows).toEqual([]);
      const { receipts } = await api<{ receipts: { tenantId: string; receipt: string }[] }>("/api/v1/receipts");
      const mine = receipts.filter(({ tenantId }) => tenantId === id);
      expect(mine).toHaveLength(1);
      await compactVerify(mine[0]?.receipt ?? "", keys);
    }
    database.close();
    expect(holds(sealed, ...places)).toEqual([]);
    expect(holds(key, ...places)).toEqual([]);
    execFileSync("rm", ["-rf", thief]);
    console.log(`edge killed in ${agents.length} deletions: nothing left, ${survived[0] ?? "no answer was lost"}`);
  });
});
type Agent = { id: string } & Awaited<ReturnType<typeof serverOf>>;

/** The last test: afterwards there is one server less. */
describe("a server that is lost for good", () => {
  it("is forgotten: its agent runs elsewhere from the last copy, byte for byte", async () => {
    const id = await create(`lost-${canary.slice(0, 6)}`);
    const furnish = "mkdir /data/kept; head -c 3000000 /dev/urandom > /data/kept/large; date > /data/kept/small";
    const fingerprint = "cd /data/kept; stat -c '%n %s %a %Y' *; sha256sum *";
    await inside(id, furnish);
    const before = await inside(id, fingerprint);
    await api(`/api/v1/tenants/${id}/backup`, { method: "POST" });
    await until(async () => expect((await storageOf(id))?.backup).toBeTruthy());
    const pointMs = Date.parse((await storageOf(id))?.backup?.at ?? "");
    // What came after the copy is what a lost server costs.
    await inside(id, "echo later > /data/kept/later");

    const { server, other } = await serverOf(id);
    const lost = platform.hosts.find((one) => one.server === server)?.host;
    const lostMs = Date.now();
    await lost?.killAgent();
    await server.destroy();
    // The edge counts by what it hears, for ten minutes: they are taken off its memory of both.
    const { edge } = platform;
    const database = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
    const quarter = 15 * 60_000;
    await database.execute(
      `update hosts set last_report_at = last_report_at - ${quarter} where id = '${lost?.hostId}'`,
    );
    await until(async () => {
      await edge.tick();
      const noted = await database.execute("select 1 from alerts where kind = 'host_silent' and resolved_at is null");
      expect(noted.rows).toHaveLength(1);
    });
    await database.execute(`update alerts set first_at = first_at - ${quarter} where kind = 'host_silent'`);
    database.close();

    await api(`/api/v1/tenants/${id}/move`, { method: "POST" });
    const there = { host: other.server, stateDir: other.host.place.dir, tenantId: id };
    await until(async () => {
      await edge.tick();
      expect((await takeCensus(there)).running).toBe(1);
    });
    await running(id);
    const script = ["/chelar/busybox", "sh", "-c", fingerprint];
    const { output } = await other.server.docker.exec(`chelar-${id}`, script);
    expect(output.trim()).toBe(before);
    console.log(
      `lost: recovery point ${new Date(pointMs).toISOString()} (${lostMs - pointMs} ms before the loss), recovery time ${Date.now() - lostMs} ms`,
    );
  });
});
