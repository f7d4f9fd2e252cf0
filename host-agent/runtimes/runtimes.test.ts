import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { RuntimeName } from "../../schema/protocol/index.ts";
import type { TenantRecord } from "../journal.ts";
import { createLog } from "../log.ts";
import { type Tenant, tenantLayout } from "../tenants/layout.ts";
import { rootDirectory, writeAtomically } from "./files.ts";
import { runtimes, startConfigGuard } from "./index.ts";
import { pollUntilReady } from "./ready.ts";
import { environmentFile, pollDelayMs, refuseEnvironment } from "./rules.ts";
import { RUNTIME_TABLE } from "./table.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});
async function temporary(): Promise<string> {
  const dir = await mkdtemp("/tmp/chl-runtimes-");
  cleanups.push(() => rm(dir, { recursive: true }));
  return dir;
}

const tenantId = "tnt_abcdefghijklmnopqrstuvwxyz";
const layout = tenantLayout({ tenantId, uid: 200_000, slot: 0, pool: "10.213.0.0/16", stateDir: "/s", runDir: "/r" });
const limits = { memoryMiB: 128, cpuMillis: 500, pids: 32, diskMiB: 64, tmpMiB: 16, shmMiB: 8, requestsPerMinute: 600 };
const tenant = (runtime: RuntimeName): Tenant => ({
  layout,
  spec: {
    id: tenantId,
    slug: "ada",
    hostname: "ada.example",
    origin: "https://ada.example",
    ownerId: "usr_1",
    runtime,
    limits,
  },
});

describe("the environment file", () => {
  it("is read back byte for byte by a real shell, whatever the values hold", { timeout: 60_000 }, async () => {
    const file = join(await temporary(), "env");
    const name = fc
      .stringMatching(/^[A-Z][A-Z0-9_]{0,20}$/)
      .filter((text) => !/^(?:PATH|PWD|SHLVL|OLDPWD|IFS|PS\d|OPTIND|_)$/.test(text));
    const value = fc
      .string({ unit: "binary", minLength: 1, maxLength: 60 })
      .filter((text) => !text.includes("\0") && text.isWellFormed());
    const nasty = fc.constantFrom("'", "'\\''", "$(id)", "`id`", "a\nB=c", "\\", '"', "!x", "#", "\r\n");
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, fc.oneof(value, nasty), { minKeys: 1, maxKeys: 5 }), async (env) => {
        await writeFile(file, environmentFile(env));
        const script = `set -a; . ${file}; set +a; exec "$@"`;
        const read = execFileSync("/bin/sh", ["-c", script, "x", "env", "-0"], { env: { PATH: "/usr/bin:/bin" } });
        const pairs = read
          .toString()
          .split("\0")
          .filter(Boolean)
          .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]);
        expect(Object.fromEntries(pairs)).toMatchObject(env);
      }),
      { numRuns: 25 },
    );
  });

  it.each(["LD_PRELOAD", "NODE_OPTIONS", "PATH", "HOME", "OPENCLAW_CONFIG_PATH", "ENV", "lower", "A B", "A=B"])(
    "refuses %s: a secret must not become code, another configuration or another name",
    (name) => {
      expect(refuseEnvironment({ [name]: "secret-value" }, RUNTIME_TABLE.openclaw.env)).not.toBeNull();
      expect(refuseEnvironment({ [name]: "secret-value" }, RUNTIME_TABLE.openclaw.env)).not.toContain("secret-value");
    },
  );

  it("takes the keys that runtimes know", () => {
    expect(
      refuseEnvironment({ ANTHROPIC_API_KEY: "x", TELEGRAM_BOT_TOKEN: "y" }, RUNTIME_TABLE.openclaw.env),
    ).toBeNull();
  });
});

describe("OpenClaw's configuration", () => {
  const config = JSON.parse(RUNTIME_TABLE.openclaw.configFiles(tenant("openclaw"))["openclaw.json"] ?? "{}");
  it("believes the bridge's own address alone, and one owner", () => {
    expect(config.gateway.trustedProxies).toEqual([layout.gateway]);
    expect(config.gateway.auth).toEqual({
      mode: "trusted-proxy",
      trustedProxy: {
        userHeader: "x-chelar-user",
        requiredHeaders: ["x-forwarded-proto", "x-forwarded-host"],
        allowUsers: ["usr_1", "control-plane"],
        deviceAutoApprove: { enabled: true },
      },
      identityScopes: { usr_1: ["operator.admin"], "control-plane": ["operator.read"] },
    });
    expect(config.gateway.controlUi.allowedOrigins).toEqual(["https://ada.example"]);
  });
  it("has no terminal and nothing that fetches code at start", () => {
    expect(config.gateway.terminal).toEqual({ enabled: false });
    expect(config.plugins.deny).toContain("perplexity");
  });
});

describe("files", () => {
  it("appear whole, with their owner and mode whatever the umask, and leave nothing beside them", async () => {
    const dir = await temporary();
    const before = process.umask(0o077);
    try {
      await rootDirectory(join(dir, "a"), 0o755);
      await writeAtomically(join(dir, "a"), "env", "one", { uid: 200_000, mode: 0o400 });
      await writeAtomically(join(dir, "a"), "env", "two", { uid: 200_000, mode: 0o400 });
    } finally {
      process.umask(before);
    }
    const [directory, file] = [await stat(join(dir, "a")), await stat(join(dir, "a/env"))];
    expect([directory.mode & 0o777, directory.uid, file.mode & 0o777, file.uid, file.gid]).toEqual([
      0o755, 0, 0o400, 200_000, 200_000,
    ]);
    expect(await readdir(join(dir, "a"))).toEqual(["env"]);
  });

  it("are not written through a link where a directory should be", async () => {
    const dir = await temporary();
    await mkdir(join(dir, "victim"), { mode: 0o755 });
    await symlink(join(dir, "victim"), join(dir, "link"));
    await expect(rootDirectory(join(dir, "link"), 0o777)).rejects.toThrow("not a directory");
    expect((await stat(join(dir, "victim"))).mode & 0o777).toBe(0o755);
  });
});

describe("the written configuration", () => {
  async function written() {
    const dir = await temporary();
    const one = tenant("openclaw");
    const mine = { ...one, layout: { ...one.layout, configDir: join(dir, "config") } };
    const port = runtimes({ isRunning: async () => true });
    await port.writeConfig(mine);
    return { port, mine, file: join(dir, "config/openclaw.json"), dir: join(dir, "config") };
  }

  it.each<[string, (at: { file: string; dir: string }) => Promise<unknown>]>([
    ["changed", ({ file }) => writeFile(file, "{}")],
    ["removed", ({ file }) => rm(file)],
    ["joined by another", ({ dir }) => writeFile(join(dir, "more.json"), "{}")],
  ])("that was %s is found, put back and told once", async (_, change) => {
    const { port, mine, file, dir } = await written();
    const told: unknown[] = [];
    const record = { id: tenantId, state: "running", generation: 3, stateGeneration: 3 } as TenantRecord;
    const guard = startConfigGuard({
      journal: { tenants: { all: () => [record] }, reports: { add: (one) => told.push(one) } },
      ...{ runtimes: port, tenantOf: () => mine, log: createLog(() => {}), nowMs: () => 1 },
    });
    cleanups.push(guard.stop);
    const before = await readFile(file, "utf8");
    await guard.look();
    expect(told).toEqual([]);
    await change({ file, dir });
    await guard.look();
    expect(await readFile(file, "utf8")).toBe(before);
    expect(await readdir(dir)).toEqual(["openclaw.json"]);
    await guard.look();
    expect(told).toEqual([expect.objectContaining({ step: "config", generation: 3 })]);
  });
});

describe("ZeroClaw", () => {
  const zeroclaw = RUNTIME_TABLE.zeroclaw;
  it.each([
    ["landlock", null],
    ["none", "The agent's sandbox is not active (none)."],
    ["<script>", "The agent's sandbox is not active (script)."],
  ])("with %s as its active sandbox: %s", async (active_backend, expected) => {
    expect(await zeroclaw.readiness.proven?.(async () => ({ sandbox: { active_backend } }))).toBe(expected);
  });

  it("is not ready when it does not say what is active", async () => {
    const silent = async () => Promise.reject(new Error("HTTP 404"));
    expect(await zeroclaw.readiness.proven?.(silent)).toBe("The agent's sandbox is not active (no answer).");
  });

  it("gets its keys under its own names, no channel to poll, and of the host's bearer only the hash", () => {
    const env = zeroclaw.environment?.({ ANTHROPIC_API_KEY: "sk-x", TELEGRAM_BOT_TOKEN: "t" }, "the-bearer") ?? {};
    expect(Object.keys(env).sort()).toEqual([
      "ZEROCLAW_gateway__paired_tokens",
      "ZEROCLAW_providers__models__anthropic__default__api_key",
    ]);
    expect(JSON.stringify(env)).not.toContain("the-bearer");
  });

  it("demands pairing, Landlock and its own workspace in the configuration, which is TOML", () => {
    const text = zeroclaw.configFiles(tenant("zeroclaw"))["config.toml"] ?? "";
    for (const line of ["require_pairing = true", 'sandbox_backend = "landlock"', "workspace_only = true"]) {
      expect(text).toContain(line);
    }
    for (const line of text.split("\n"))
      expect(line).toMatch(/^(?:\[[\w.]+\]|\w+ = (?:"[^"]*"|\[.*\]|true|false|\d+)|)$/);
  });
});

describe("waiting until a runtime is ready", () => {
  async function runtime(listener: RequestListener) {
    const server = createServer(listener).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return {
      host: "127.0.0.1",
      port: (server.address() as AddressInfo).port,
      path: "/ready",
      headers: { "x-forwarded-for": "192.0.2.1" },
    };
  }
  const patience = (changes = {}) => ({
    deadline: Number.POSITIVE_INFINITY,
    alive: async () => true,
    signal: new AbortController().signal,
    ...changes,
  });

  it("asks with the runtime's own headers until it says yes", async () => {
    let asked = 0;
    const question = await runtime((request, response) => {
      asked++;
      const ready = asked > 3 && request.url === "/ready" && request.headers["x-forwarded-for"] === "192.0.2.1";
      response.writeHead(ready ? 204 : 503).end();
    });
    expect(await pollUntilReady(question, patience())).toEqual({ ready: true });
    expect(asked).toBe(4);
  });

  it("sees a container that died, long before its time is up", async () => {
    const closed = await runtime(() => {});
    const question = { ...closed, port: 1 };
    expect(await pollUntilReady(question, patience({ alive: async () => false }))).toEqual({
      ready: false,
      reason: "died",
      last: "ECONNREFUSED",
    });
  });

  it("gives up when time is up, and at once when called off", async () => {
    const question = await runtime((_, response) => response.writeHead(503).end());
    expect(await pollUntilReady(question, patience({ deadline: 0 }))).toEqual({
      ready: false,
      reason: "late",
      last: "HTTP 503",
    });
    const hanging = await runtime(() => {});
    const abort = new AbortController();
    const waiting = pollUntilReady(hanging, patience({ signal: abort.signal }));
    abort.abort();
    expect(await waiting).toMatchObject({ ready: false, reason: "aborted" });
  });

  it("asks quickly first and never less than four times a second", () => {
    expect(pollDelayMs(0)).toBe(10);
    expect(pollDelayMs(1_000)).toBe(250);
  });
});
