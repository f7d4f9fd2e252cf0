import { mkdir, readlink, writeFile } from "node:fs/promises";
import { vi } from "vitest";
import { modprobeConf } from "../../host-agent/bootstrap/plan.ts";
import { createFirewall, createUfw, hostRun, parsePerimeter, type Run } from "../../host-agent/firewall/index.ts";
import type { PostureOptions } from "../../host-agent/posture/index.ts";
import { createTestHost, type TestHost, UFW_DIRECTORIES } from "../hosts/index.ts";

const POOL = "10.213.0.0/16";
const RESOLVERS = ["9.9.9.9"];
const CONTROL_PLANE = { networks: ["151.101.1.8/30", "2001:db8:9::/48"], https: ["151.101.1.9/32"] };

/** A server that posture runs attack. */
export interface Server {
  host: TestHost;
  run: Run;
  options: PostureOptions;
}

export async function createServer(ufw: boolean): Promise<Server> {
  const host = await createTestHost({ images: ["echo"] });
  const run = hostRun(host.enter);
  await applyFirewall(run);
  if (ufw) await manage(host);
  const options = {
    docker: host.docker,
    hostId: "hst_posture",
    pool: POOL,
    resolvers: RESOLVERS,
    uidBase: 300_000,
    stateDir: `${host.dir}/state`,
    runDir: `${host.dir}/run`,
    managed: { cloud: false, ufw, modules: ufw },
    controlPlane: CONTROL_PLANE,
    modprobeDirectories: [`${host.dir}/modprobe.d`],
    enter: host.enter,
  };
  return { host, run, options };
}

export async function applyFirewall(run: Run): Promise<void> {
  const firewall = createFirewall({ inputs: { pool: POOL, resolvers: RESOLVERS }, run });
  firewall.aim(CONTROL_PLANE);
  await firewall.apply();
}

/** As a production host: the kernel's modules blocked, and real UFW, whose files are in a mount namespace of its own. */
async function manage(host: TestHost): Promise<void> {
  await mkdir(`${host.dir}/modprobe.d`);
  await writeFile(modprobeFile(host), modprobeConf());
  const holder = host.spawn("unshare", ["--mount", "--propagation=private", "sleep", "infinity"], { stdio: "ignore" });
  const mounts = (of: number | "self" | undefined) => readlink(`/proc/${of}/ns/mnt`).catch(() => "");
  const own = await mounts("self");
  await vi.waitUntil(async () => ![own, ""].includes(await mounts(holder.pid)), { timeout: 10_000 });
  const inside = hostRun(["nsenter", "--target", String(holder.pid), "--mount", "--net", "--"]);
  for (const [index, directory] of UFW_DIRECTORIES.entries()) {
    const copy = `${host.dir}/ufw${index}`;
    // Debian's package makes its state directory only when it is first enabled.
    await inside("mkdir", ["-p", directory]);
    await inside("cp", ["-a", directory, copy]);
    await inside("mount", ["--bind", copy, directory]);
  }
  const parsed = parsePerimeter({ adminNetworks: ["203.0.113.9/32"] });
  if (!parsed.ok) throw new Error(parsed.refusals.join());
  await createUfw(parsed.openings, inside).repair();
}
export const modprobeFile = (host: TestHost) => `${host.dir}/modprobe.d/chelar.conf`;

/** What a posture run makes on a host, as far as it can be listed. */
export async function traces({ host }: Server): Promise<string[]> {
  const docker = (...args: string[]) => host.run("docker", ["-H", `unix://${host.dockerSocket}`, ...args]);
  const found = await Promise.all([
    docker("ps", "-aq", "--filter", "name=canary"),
    docker("network", "ls", "-q", "--filter", "name=chl"),
    host.run("ip", ["link", "show"]).then((text) =>
      text
        .split("\n")
        .filter((line) => / (posture|chl)\d/.test(line))
        .join(),
    ),
    host.run("ip", ["rule"]).then((text) =>
      text
        .split("\n")
        .filter((line) => /^53?\d\d\d:.*5300/.test(line))
        .join(),
    ),
    host.run("sh", ["-c", "grep -s canary /proc/self/mounts || true"]),
  ]);
  return found.map((text) => text.trim()).filter(Boolean);
}
