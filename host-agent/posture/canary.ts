import { existsSync } from "node:fs";
import { chmod, chown, copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { type ContainerSpec, containerSpec, type Docker, networkSpec } from "../containers/index.ts";
import { imageRef, libraries, RUNTIME_TABLE, runtimes } from "../runtimes/index.ts";
import { createVolumes, ensureMemoryBacked, type StorageSettings } from "../storage/index.ts";
import type { Tenant, TenantLayout } from "../tenants/layout.ts";
import type { Volumes } from "../tenants/ports.ts";
import { CANARY_LIMITS } from "./ground.ts";
import { type Attempt, attemptLine, parseSeen, type Seen } from "./rules.ts";
import { PROGRAM, type Tools } from "./tools.ts";

/** Takes one defence away: what the tests do to see the attack succeed. Nothing else ever does. */
export interface Weaken {
  plan?: (plan: ContainerSpec) => ContainerSpec;
  /** After the volume was opened, before the container is made. */
  volume?: (layout: TenantLayout) => Promise<void>;
}

export interface CanaryOptions {
  docker: Docker;
  hostId: string;
  resolvers: readonly string[];
  tools: Tools;
  stateDir: string;
  storage?: StorageSettings;
  runDir: string;
  busyboxPath?: string;
  weaken?: Weaken;
}

export interface Canary {
  layout: TenantLayout;
  /** Runs a program as root of the container's network namespace. */
  enterNetwork: readonly string[];
  /** The program that makes attempts, as it is called inside. */
  command(attempts: ReadonlyMap<string, Attempt>): string[];
  /** Runs attempts as the tenant's own process, with the tools that it brought along. */
  attempt(attempts: ReadonlyMap<string, Attempt>): Promise<Map<string, Seen>>;
  remove(): Promise<void>;
}

/** Canaries carry a host label of their own: no look at the host's tenants ever sees them. */
export const canaryHost = (hostId: string): string => `${hostId}-canary`;
const TOOLS_DIRECTORY = "attack";

/** A tenant's container in all but its owner: the same plan, volume, network and image. */
export async function createCanary(layout: TenantLayout, options: CanaryOptions): Promise<Canary> {
  const { docker, hostId, resolvers, tools, weaken = {} } = options;
  const tenant = canaryTenant(layout);
  const volumes = createVolumes(options);
  const files = runtimes({ isRunning: async () => true });
  const image = imageRef("echo");
  const remove = () => removeCanary(layout, { docker, volumes });
  await remove();
  try {
    await ensureMemoryBacked(`${options.runDir}/env`);
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
    await volumes.open(layout, { diskMiB: CANARY_LIMITS.diskMiB, key });
    await files.writeConfig(tenant);
    await files.writeEnv(tenant, {});
    await docker.createNetwork(networkSpec(layout, canaryHost(hostId)));
    const { CgroupVersion } = await docker.info();
    const kernel = {
      cgroupVersion: CgroupVersion === "2" ? ("2" as const) : ("1" as const),
      ipv6: existsSync("/proc/sys/net/ipv6"),
    };
    const busyboxPath = options.busyboxPath ?? "/bin/busybox";
    const specOptions = { hostId: canaryHost(hostId), image, resolvers, busyboxPath, kernel };
    const planned = containerSpec(tenant, RUNTIME_TABLE.echo, 0, specOptions);
    const plan = weaken.plan?.(planned) ?? planned;
    const linker = await bringTools(layout, tools);
    await weaken.volume?.(layout);
    await docker.createContainer(plan);
    await docker.startContainer(plan.name);
    const pid = await untilRunning(docker, plan.name);
    await files.clearEnv(layout);
    const own = `/data/${TOOLS_DIRECTORY}`;
    const command: Canary["command"] = (attempts) => {
      const lines = [...attempts].map(([id, attempt]) => attemptLine(id, attempt));
      return [`${own}/${linker}`, "--library-path", own, `${own}/perl`, "-e", PROGRAM, "attempt", ...lines];
    };
    return {
      layout,
      enterNetwork: ["nsenter", `--net=/proc/${pid}/ns/net`, "--"],
      command,
      async attempt(attempts) {
        if (attempts.size === 0) return new Map();
        const { output } = await docker.exec(plan.name, command(attempts));
        const seen = parseSeen(output);
        for (const id of attempts.keys()) {
          if (!seen.has(id)) seen.set(id, { verdict: "broken", detail: `no word of it: ${output.slice(0, 200)}` });
        }
        return seen;
      },
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

function canaryTenant(layout: TenantLayout): Tenant {
  const { tenantId: id } = layout;
  const hostname = `${id}.invalid`;
  const origin = `https://${hostname}`;
  const limits = CANARY_LIMITS;
  return { layout, spec: { id, slug: "canary", hostname, origin, ownerId: "posture", runtime: "echo", limits } };
}

/** Converges: also removes what a crashed run left behind. */
export async function removeCanary(
  layout: TenantLayout,
  { docker, volumes }: { docker: Docker; volumes: Pick<Volumes, "destroy"> },
): Promise<void> {
  const gone = (error: { status?: number | null }) => {
    if (error.status !== 404) throw error;
  };
  await docker.removeContainer(layout.containerName).catch(gone);
  await docker.removeNetwork(layout.network).catch(gone);
  await volumes.destroy(layout);
  for (const path of [layout.configDir, layout.envDir]) await rm(path, { recursive: true, force: true });
}

/**
 * What a tenant may bring into its own volume: an interpreter. And two things that it could never make but a restored
 * backup could hold: a set-user-ID root program and a device node. Resolves with the dynamic linker's file name.
 */
async function bringTools(layout: TenantLayout, { run }: Tools): Promise<string> {
  const directory = `${layout.dataDir}/${TOOLS_DIRECTORY}`;
  await mkdir(directory);
  const perl = "/usr/bin/perl";
  const parts = [...(await libraries(perl)), perl];
  for (const part of parts) {
    await copyFile(part, `${directory}/${basename(part)}`);
    await chmod(`${directory}/${basename(part)}`, 0o755);
  }
  await copyFile("/bin/cat", `${directory}/rootcat`);
  await chmod(`${directory}/rootcat`, 0o4755);
  await run("mknod", ["-m", "666", `${directory}/zero`, "c", "1", "5"]);
  await writeFile(`${layout.dataDir}/secret`, "a neighbour's secret\n", { mode: 0o600 });
  await chown(`${layout.dataDir}/secret`, layout.uid, layout.uid);
  await chown(directory, layout.uid, layout.uid);
  const linker = parts.map((part) => basename(part)).find((name) => name.startsWith("ld-"));
  if (!linker) throw new Error("perl has no dynamic linker that could be brought along");
  return linker;
}

/** Resolves with the process of the container's init, once the entrypoint has read the environment and become the runtime. */
async function untilRunning(docker: Docker, name: string): Promise<number> {
  const [program] = RUNTIME_TABLE.echo.command ?? [];
  for (let attempt = 0; attempt < 200; attempt++) {
    const { State } = await docker.inspectContainer(name);
    const pid = (State as typeof State & { Pid?: number }).Pid ?? 0;
    if (State.Status === "exited") throw new Error(`the canary ended with ${State.ExitCode}`);
    // Without an init (Docker gives none to a container among the host's processes) it is the first process itself.
    if (State.Running && pid > 0 && (await commandsOf(pid)).some((command) => command === program)) return pid;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("the canary did not start");
}

const read = (path: string) => readFile(path, "utf8").catch(() => "");
const commandOf = async (pid: number): Promise<string> => (await read(`/proc/${pid}/cmdline`)).split("\0")[0] ?? "";
async function commandsOf(pid: number): Promise<string[]> {
  const [child = ""] = (await read(`/proc/${pid}/task/${pid}/children`)).split(" ");
  return Promise.all([commandOf(pid), commandOf(Number(child))]);
}
