import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dockerContainers } from "../../host-agent/containers/index.ts";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { runtimes } from "../../host-agent/runtimes/index.ts";
import { createVolumes, ensureMemoryBacked } from "../../host-agent/storage/index.ts";
import { type Tenant, tenantLayout } from "../../host-agent/tenants/layout.ts";
import type { Containers, Runtimes, Volumes } from "../../host-agent/tenants/ports.ts";
import { newId } from "../../schema/protocol/index.ts";
import { createTestHost, type TestHost } from "../hosts/index.ts";

let host: TestHost;
let containers: Containers;
let volumes: Volumes;
let runtime: Runtimes;
const VOLUME_KEY = "k".repeat(43);
const SECRET = `it's $(not) a "shell" \`word\`\n${"s".repeat(20)}`;

beforeAll(async () => {
  host = await createTestHost({ images: ["echo"] });
  containers = dockerContainers({ docker: host.docker, hostId: "hst_test", resolvers: ["198.51.100.1"], imageRef });
  volumes = createVolumes({ stateDir: `${host.dir}/chelar` });
  runtime = runtimes({ isRunning: async (id) => (await containers.find(id))?.running === true });
  await ensureMemoryBacked(`${host.dir}/run`);
});
afterAll(async () => {
  if (!host) return;
  for (const { layout } of tenants) {
    await containers.remove(layout.tenantId);
    await volumes.close(layout);
  }
  execFileSync("umount", [`${host.dir}/run`]);
  await host.destroy();
});

const tenants: Tenant[] = [];
function newTenant(limits: Partial<Tenant["spec"]["limits"]> = {}): Tenant {
  const id = newId("tnt");
  const slot = tenants.length;
  const places = { pool: "10.213.0.0/16", stateDir: `${host.dir}/chelar`, runDir: `${host.dir}/run` };
  const layout = tenantLayout({ tenantId: id, uid: 300_000 + slot, slot, ...places });
  const spec = {
    id,
    slug: `ada${slot}`,
    hostname: `ada${slot}.agents.localhost`,
    origin: `http://ada${slot}.agents.localhost`,
    ownerId: "usr_1",
    runtime: "echo" as const,
    limits: {
      memoryMiB: 128,
      cpuMillis: 500,
      pids: 32,
      diskMiB: 64,
      tmpMiB: 16,
      shmMiB: 8,
      requestsPerMinute: 600,
      ...limits,
    },
  };
  tenants.push({ spec, layout });
  return { spec, layout };
}

async function prepared(tenant: Tenant, env: Record<string, string> = {}): Promise<Tenant> {
  await containers.ensureNetwork(tenant.layout);
  await volumes.open(tenant.layout, { diskMiB: tenant.spec.limits.diskMiB, key: VOLUME_KEY });
  await runtime.writeConfig(tenant);
  await runtime.writeEnv(tenant, env);
  await containers.ensureCreated(tenant, 0);
  return tenant;
}

async function running(tenant: Tenant, env: Record<string, string> = {}): Promise<Tenant> {
  await prepared(tenant, env);
  await containers.start(tenant);
  await until(async () => (await ask(tenant, "/healthz").catch(() => null)) !== null);
  return tenant;
}

/** Asks the runtime from inside: the test process stands outside of the host. */
async function ask(tenant: Tenant, path: string) {
  const argv = ["/bin/busybox", "wget", "-q", "-O", "-", `http://127.0.0.1:8080${path}`];
  const { exitCode, output } = await host.docker.exec(tenant.layout.containerName, argv);
  if (exitCode !== 0) throw new Error(output);
  return JSON.parse(output);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(50);
}

describe("a hardened container", () => {
  let tenant: Tenant;
  let self: Record<string, never> & { status: Record<string, string>; mounts: string[]; limits: string[] };
  beforeAll(async () => {
    tenant = await running(newTenant(), { SECRET_KEY: SECRET });
    self = await ask(tenant, "/proc-self");
  });

  it("has no capability, no way to new privileges, a seccomp filter and its own user", () => {
    const { uid } = tenant.layout;
    expect(self.status).toMatchObject({
      CapInh: "0000000000000000",
      CapPrm: "0000000000000000",
      CapEff: "0000000000000000",
      CapBnd: "0000000000000000",
      CapAmb: "0000000000000000",
      NoNewPrivs: "1",
      Seccomp: "2",
      Uid: [uid, uid, uid, uid].join("\t"),
      Gid: [uid, uid, uid, uid].join("\t"),
    });
  });

  it("has the limits of its plan, as the kernel tells them", () => {
    expect(self).toMatchObject({
      memoryLimitBytes: String(128 * 2 ** 20),
      pidsLimit: "32",
      hostname: tenant.layout.hostname,
      init: "docker-init",
      ipv6Disabled: "1",
    });
    expect(String(self.cpuLimit)).toMatch(/^50000/);
    expect(self.limits.find((line) => line.startsWith("Max core file size"))).toMatch(/0 +0 +bytes/);
    expect(self.limits.find((line) => line.startsWith("Max open files"))).toMatch(/16384 +16384/);
  });

  it("writes to /data, /tmp and /dev/shm, and nowhere else", async () => {
    const may = async (path: string) => (await ask(tenant, `/fs?path=${path}`)).written;
    for (const path of ["/data/x", "/tmp/x", "/dev/shm/x"]) expect([path, await may(path)]).toEqual([path, true]);
    for (const path of [
      "/x",
      "/app/x",
      "/etc/x",
      "/dev/x",
      "/chelar/config/x",
      "/chelar/env/x",
      "/proc/sys/kernel/core_pattern",
    ]) {
      expect([path, await may(path)]).toEqual([path, false]);
    }
  });

  it("mounts what is writable without setuid and devices, and /tmp without programs", () => {
    const options = (path: string) =>
      self.mounts
        .find((line) => line.split(" ")[4] === path)
        ?.split(" ")[5]
        ?.split(",");
    expect(options("/")).toContain("ro");
    expect(options("/data")).toEqual(expect.arrayContaining(["rw", "nosuid", "nodev"]));
    expect(options("/tmp")).toEqual(expect.arrayContaining(["rw", "nosuid", "nodev", "noexec"]));
    for (const path of ["/chelar/config", "/chelar/env", "/chelar/busybox"]) expect(options(path)).toContain("ro");
    expect(self.mounts.join("\n")).not.toContain("docker.sock");
  });

  it("gets its secrets, and none of them lies in the engine's state", async () => {
    const env = await ask(tenant, "/env");
    expect(env.SECRET_KEY).toBe(createHash("sha256").update(SECRET).digest("hex"));
    const files = () => {
      const places = ["data/containers", "chelar", "x", "run"].map((name) => `${host.dir}/${name}`);
      const found = spawnSync("grep", ["-rlsF", "--devices=skip", "--", "s".repeat(20), ...places]).stdout.toString();
      return found.split("\n").filter(Boolean);
    };
    expect(files()).toEqual([`${tenant.layout.envDir}/env`]);
    await runtime.clearEnv(tenant.layout);
    expect(files()).toEqual([]);
  });

  it("has no published port and answers at its own address to its host", async () => {
    const text = await host.run("curl", ["-s", `http://${runtime.upstream(tenant)}/healthz`]);
    expect(JSON.parse(text)).toEqual({ ok: true });
  });
});

describe("converging", () => {
  it("makes exactly one container, however often and at once it is asked", async () => {
    const tenant = await prepared(newTenant());
    const first = await containers.find(tenant.spec.id);
    await Promise.allSettled([containers.ensureCreated(tenant, 0), containers.ensureCreated(tenant, 0)]);
    expect((await containers.find(tenant.spec.id))?.containerId).toBe(first?.containerId);
    const listed = (await containers.list()).filter(({ tenantId }) => tenantId === tenant.spec.id);
    expect(listed.length).toBe(1);
  });

  it("replaces a container of another plan, running or not", async () => {
    const tenant = await running(newTenant());
    const before = await containers.find(tenant.spec.id);
    const after = await containers.ensureCreated(tenant, 1);
    expect(after).toMatchObject({ running: false, restarts: 1, exitCode: null });
    expect(after.containerId).not.toBe(before?.containerId);
  });

  it("starts, stops, freezes and removes what already is so", async () => {
    const tenant = await running(newTenant());
    const { id } = tenant.spec;
    await containers.start(tenant);
    await containers.pause(id);
    await containers.pause(id);
    await containers.unpause(id);
    await containers.unpause(id);
    await containers.pause(id);
    // Frozen, it could not hear SIGTERM, but Docker thaws it: 137 would be the killed one's code.
    await containers.stop(id, 20);
    expect(await containers.find(id)).toMatchObject({ running: false, exitCode: 0 });
    await containers.stop(id, 20);
    await containers.remove(id);
    await containers.remove(id);
    expect(await containers.find(id)).toBeNull();
    await containers.removeNetwork(tenant.layout);
    await containers.removeNetwork(tenant.layout);
    expect(await host.run("ip", ["-br", "link"])).not.toContain(`${tenant.layout.network} `);
  });

  it("does not start without its environment", async () => {
    const tenant = await prepared(newTenant());
    await runtime.clearEnv(tenant.layout);
    await containers.start(tenant);
    await until(async () => (await containers.find(tenant.spec.id))?.running === false);
    expect((await containers.find(tenant.spec.id))?.exitCode).not.toBe(0);
  });

  it("starts at the next try where somebody has deleted the bridge", async () => {
    const tenant = await prepared(newTenant());
    await host.run("ip", ["link", "delete", tenant.layout.network]);
    await expect(containers.start(tenant)).rejects.toMatchObject({ retryable: true });
    await running(tenant);
    await containers.remove(tenant.spec.id);
    await containers.removeNetwork(tenant.layout);
  });

  it("replaces a network of the right name and the wrong addresses", async () => {
    const { layout } = newTenant();
    await containers.ensureNetwork({ ...layout, subnet: "10.214.0.0/28", gateway: "10.214.0.1" });
    await containers.ensureNetwork(layout);
    await containers.ensureNetwork(layout);
    expect(await host.run("ip", ["-br", "-4", "address", "show", layout.network])).toContain(`${layout.gateway}/28`);
  });
});

describe("exits", () => {
  it("are heard at once, with the reason, and also those that happened while Docker was down", async () => {
    const [crashing, greedy, lost] = [
      await running(newTenant()),
      await running(newTenant({ memoryMiB: 96 })),
      await running(newTenant()),
    ];
    const heard: string[] = [];
    const stopListening = containers.watch({
      died: (tenantId) => void heard.push(tenantId),
      back: () => void heard.push("back"),
    });
    try {
      await sleep(300);
      await ask(crashing, "/misbehave/exit?code=3");
      await until(async () => heard.includes(crashing.spec.id));
      expect(await containers.find(crashing.spec.id)).toMatchObject({ running: false, exitCode: 3, oomKilled: false });

      await ask(greedy, "/misbehave/leak");
      await until(async () => heard.includes(greedy.spec.id));
      expect(await containers.find(greedy.spec.id)).toMatchObject({ running: false, oomKilled: true });

      await host.stopDocker("SIGTERM");
      await expect(containers.ping()).rejects.toMatchObject({ retryable: true });
      heard.length = 0;
      await host.startDocker();
      await until(async () => heard.includes(lost.spec.id));
      expect(heard[0]).toBe("back");
      expect((await containers.find(lost.spec.id))?.running).toBe(false);
    } finally {
      stopListening();
    }
  });
});

describe("an engine that was killed before it knew that it had started a container", () => {
  /** What a kill between the start of the process and the engine's record of it leaves: the record of before. */
  async function forgotten(): Promise<Tenant> {
    const tenant = await running(newTenant());
    const { Id } = await host.docker.inspectContainer(tenant.layout.containerName);
    await host.stopDocker("SIGKILL");
    const file = `${host.dir}/data/containers/${Id}/config.v2.json`;
    const record = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify({ ...record, State: { ...record.State, Running: false, Pid: 0 } }));
    await host.startDocker();
    expect((await containers.find(tenant.spec.id))?.running).toBe(false);
    expect(processesOf(tenant)).toContain("docker-init");
    return tenant;
  }
  const processesOf = ({ layout }: Tenant) =>
    spawnSync("ps", ["-u", String(layout.uid), "-o", "pid=,stat=,comm="], { encoding: "utf8" })
      .stdout.split("\n")
      // What has ended and waits for a process 1 that reaps late is at work no more.
      .filter((line) => line !== "" && !/^ *\d+ Z/.test(line))
      .join("\n");

  it("has nothing of it at work beside the next start", async () => {
    const tenant = await forgotten();
    const before = processesOf(tenant);
    await expect(containers.start(tenant)).rejects.toMatchObject({ retryable: true });
    expect(processesOf(tenant)).toBe("");
    await running(tenant);
    expect(processesOf(tenant)).not.toBe(before);
  });

  it.each([
    ["a stop", ({ spec }: Tenant) => containers.stop(spec.id, 1)],
    ["a removal", ({ spec }: Tenant) => containers.remove(spec.id)],
  ])("has nothing of it at work after %s", async (_, end) => {
    const tenant = await forgotten();
    await end(tenant);
    expect(processesOf(tenant)).toBe("");
  });
});

describe("volumes", () => {
  it("never hold an environment file: it is refused outside of memory", async () => {
    const tenant = newTenant();
    const onDisk = { ...tenant, layout: { ...tenant.layout, envDir: `${host.dir}/disk/env` } };
    await expect(runtime.writeEnv(onDisk, { KEY: "x" })).rejects.toMatchObject({ name: "StepError" });
    expect(await readdir(onDisk.layout.envDir)).toEqual([]);
  });
});
