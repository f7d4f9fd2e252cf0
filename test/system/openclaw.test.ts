import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dockerContainers } from "../../host-agent/containers/index.ts";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { RUNTIME_TABLE, runtimes } from "../../host-agent/runtimes/index.ts";
import {
  CONTROL_PLANE,
  MethodRefused,
  OPENCLAW_HOOKS,
  OPENCLAW_METHODS,
  type OpenclawMethod,
  openclawRpc,
  RPC_PATH,
} from "../../host-agent/runtimes/openclaw-rpc.ts";
import type { Ask } from "../../host-agent/runtimes/runtime.ts";
import { createVolumes, ensureMemoryBacked } from "../../host-agent/storage/index.ts";
import { type Tenant, tenantLayout } from "../../host-agent/tenants/layout.ts";
import { newId, runtimeStatus } from "../../schema/protocol/index.ts";
import { createTestHost, internet, type TestHost } from "../hosts/index.ts";

const ownerId = "usr_owner";
const limits = {
  memoryMiB: 2048,
  cpuMillis: 2000,
  pids: 256,
  diskMiB: 1024,
  tmpMiB: 64,
  shmMiB: 16,
  requestsPerMinute: 600,
};
const { port, readiness, startTimeoutSeconds } = RUNTIME_TABLE.openclaw;
let host: TestHost;
let tenant: Tenant;

/** The real image, plan, configuration and volume; only the server around them is a namespace. */
beforeAll(async () => {
  host = await createTestHost({ images: ["openclaw"] });
  const id = newId("tnt");
  const [stateDir, runDir] = [`${host.dir}/state`, `${host.dir}/run`];
  const layout = tenantLayout({ tenantId: id, uid: 200_001, slot: 0, pool: "10.213.0.0/16", stateDir, runDir });
  const origin = "https://ada.agents.test";
  tenant = {
    layout,
    spec: { id, slug: "ada", hostname: "ada.agents.test", origin, ownerId, runtime: "openclaw", limits },
  };
  const { docker } = host;
  const containers = dockerContainers({
    docker,
    hostId: newId("hst"),
    resolvers: [internet.address],
    imageRef,
  });
  const runtime = runtimes({ isRunning: async () => true });
  await ensureMemoryBacked(`${runDir}/env`);
  const key = randomBytes(32).toString("base64url");
  await createVolumes({ stateDir }).open(layout, { diskMiB: limits.diskMiB, key });
  await containers.ensureNetwork(layout);
  await runtime.writeConfig(tenant);
  await runtime.writeEnv(tenant, { ANTHROPIC_API_KEY: "sk-ant-stand-in" });
  await containers.ensureCreated(tenant, 0);
  await containers.start(tenant);
  await runtime.clearEnv(layout);
});
afterAll(() => host?.destroy());

/** Status of a request from the host, where Caddy would dial from. */
async function status(path: string, headers: Readonly<Record<string, string>>, more: string[] = []): Promise<string> {
  const lines = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
  const format = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
  const url = `http://${tenant.layout.address}:${port}${path}`;
  return host.run("curl", [...format, "--max-time", "20", ...more, ...lines, url]).catch(() => "000");
}

const inside = (script: string) =>
  host.run("docker", ["-H", `unix://${host.dockerSocket}`, "exec", tenant.layout.containerName, "sh", "-c", script]);

test("the real gateway becomes ready in the hardened container", async () => {
  const deadline = Date.now() + startTimeoutSeconds * 1000;
  while (Date.now() < deadline && (await status(readiness.path, readiness.headers)) !== "200") {
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  expect(await status(readiness.path, readiness.headers)).toBe("200");
  expect(await status("/healthz", {})).toBe("200");
});

test("it has no capability, no way to new privileges, a seccomp filter, its own UID and a read-only root", async () => {
  const facts = await inside("cat /proc/1/status; id -u; touch /probe 2>&1; pwd");
  for (const line of [/^CapBnd:\s0+$/m, /^CapEff:\s0+$/m, /^NoNewPrivs:\s1$/m, /^Seccomp:\s2$/m, /^200001$/m]) {
    expect(facts).toMatch(line);
  }
  expect(facts).toContain("Read-only file system");
});

test("the image has no program that runs as another user", async () => {
  expect(await inside("find / -xdev -type f -perm /6000")).toBe("");
});

test("its Control UI is there for the owner whom the proxy names", async () => {
  const proxy = { ...readiness.headers, "x-chelar-user": ownerId };
  expect(await status("/", proxy)).toBe("200");
});

test("a key from the memory-backed file is in its environment and nowhere in Docker's", async () => {
  expect(await inside("grep -lsF sk-ant-stand-in /proc/[0-9]*/environ")).toMatch(/^\/proc\/\d+\/environ$/m);
  const inspected = await host.run("docker", [
    "-H",
    `unix://${host.dockerSocket}`,
    "inspect",
    tenant.layout.containerName,
  ]);
  expect(inspected).not.toContain("sk-ant-stand-in");
  const state = await host.run("grep", ["-rlF", "sk-ant-stand-in", `${host.dir}/data/containers`]).catch(() => "");
  expect(state).toBe("");
});

/** As the host agent asks: from the server's own network, where its address is the trusted proxy's. */
const ask: Ask = async ({ method = "GET", path, headers = {}, body }) => {
  const lines = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
  const json = body === undefined ? [] : ["--header", "content-type: application/json", "--data", JSON.stringify(body)];
  const url = `http://${tenant.layout.address}:${port}${path}`;
  return JSON.parse(
    await host.run("curl", ["--silent", "--max-time", "20", "--request", method, ...lines, ...json, url]),
  );
};

test("its status is what the protocol has and no word more, and its next job is known", async () => {
  const status = await OPENCLAW_HOOKS.status(ask);
  expect(runtimeStatus.parse(status)).toEqual(status);
  expect(status.healthy).toBe(true);
  // Its heartbeat, for one.
  expect(await OPENCLAW_HOOKS.nextRunMs(ask)).toBeGreaterThan(Date.now());
});

test("of every method that the gateway lists only the platform's own are ever sent", async () => {
  const source = await inside("cat dist/method-scopes-*.mjs");
  const listed = new Set(source.match(/(?<=")[a-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*(?=")/g));
  for (const method of ["chat.history", "sessions.list", "config.get", "config.set", "logs.tail", "agents.files.get"]) {
    expect(listed).toContain(method);
  }
  let sent = 0;
  const counted: Ask = async () => {
    sent += 1;
    return { ok: true, payload: null };
  };
  const passed = [];
  for (const method of listed) {
    const refused = await openclawRpc(counted, method as OpenclawMethod).then(
      () => false,
      (error) => error instanceof MethodRefused,
    );
    if (!refused) passed.push(method);
  }
  expect(passed.sort()).toEqual([...OPENCLAW_METHODS].sort());
  expect(sent).toBe(OPENCLAW_METHODS.length);
});

test("with the scope of reading, the gateway itself refuses every change", async () => {
  const headers = { ...readiness.headers, "x-chelar-user": CONTROL_PLANE, "x-openclaw-scopes": "operator.read" };
  for (const method of ["config.set", "cron.add", "cron.run", "agents.create", "gateway.suspend.prepare"]) {
    expect(await ask({ method: "POST", path: RPC_PATH, headers, body: { method, params: {} } })).toMatchObject({
      ok: false,
    });
  }
});

test("says itself when it is idle, and answers at once after it was frozen", async () => {
  const deadline = Date.now() + 120_000;
  // While it starts it may refuse to say, which is as good as busy.
  const busy = () => OPENCLAW_HOOKS.busy(ask).catch((error: Error) => error.message);
  while ((await busy()) !== null && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await busy()).toBeNull();
  await host.docker.pauseContainer(tenant.layout.containerName);
  await host.docker.unpauseContainer(tenant.layout.containerName);
  expect(await status("/healthz", {})).toBe("200");
  expect(await busy()).toBeNull();
});
