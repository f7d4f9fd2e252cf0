import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dockerContainers } from "../../host-agent/containers/index.ts";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { RUNTIME_TABLE, runtimes } from "../../host-agent/runtimes/index.ts";
import { createVolumes, ensureMemoryBacked } from "../../host-agent/storage/index.ts";
import { type Tenant, tenantLayout } from "../../host-agent/tenants/layout.ts";
import { newId } from "../../schema/protocol/index.ts";
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
