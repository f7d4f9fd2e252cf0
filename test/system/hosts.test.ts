import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { afterAll, describe, expect, test } from "vitest";
import { imageRef } from "../../host-agent/runtimes/images.ts";
import { mountPoints } from "../../stack/testnet-cleanup.ts";
import { createTestHost, internet, type TestHost, UFW_DIRECTORIES } from "../hosts/index.ts";
import { METADATA_ADDRESS, STOLEN, startMetadataService } from "../stand-ins/metadata.ts";
import { recordTcp, recordUdp } from "../stand-ins/recorder.ts";

const made: { destroy(): Promise<unknown> }[] = [];
afterAll(async () => {
  for (const one of made.reverse()) await one.destroy();
});
async function hostWith(options: Parameters<typeof createTestHost>[0]): Promise<TestHost> {
  const host = await createTestHost(options);
  made.push(host);
  return host;
}

async function startEcho(host: TestHost): Promise<string> {
  const body = { Image: imageRef("echo"), Cmd: ["/usr/local/bin/node", "/app/server.mjs"], Env: ["PORT=8080"] };
  const docker = (...args: string[]) => host.run("docker", ["-H", `unix://${host.dockerSocket}`, ...args]);
  await docker("run", "--detach", "--name", "echo", "--env", "PORT=8080", body.Image, ...body.Cmd);
  return (await docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "echo")).trim();
}

const get = (host: TestHost, url: string) =>
  host.run("curl", [
    "--silent",
    "--show-error",
    "--max-time",
    "5",
    "--retry",
    "40",
    "--retry-delay",
    "0",
    "--retry-connrefused",
    url,
  ]);

describe("test hosts", () => {
  test("two servers side by side run the same container at the same address and both reach the internet", async () => {
    const [one, two] = await Promise.all([hostWith({ images: ["echo"] }), hostWith({ images: ["echo"] })]);
    const web = await recordTcp(internet.address);
    const datagrams = await recordUdp(internet.address);
    const addresses = await Promise.all([startEcho(one), startEcho(two)]);
    expect(addresses[0]).toBe(addresses[1]);
    for (const [index, host] of [one, two].entries()) {
      const echo = `http://${addresses[index]}:8080`;
      expect(await get(host, `${echo}/healthz`)).toBeTruthy();
      const target = `host=${internet.address}&timeoutMs=3000`;
      await get(host, `${echo}/connect?${target}&port=${web.port}&proto=tcp`);
      await get(host, `${echo}/connect?${target}&port=${datagrams.port}&proto=udp`);
    }
    for (const recorder of [web, datagrams]) {
      expect(recorder.arrived.map(({ from }) => from).toSorted()).toEqual([one.address, two.address].toSorted());
      await recorder.close();
    }
  });

  test("a server without any wall reaches the metadata stand-in: what a wall stops is really there", async () => {
    await internet.addAddress(METADATA_ADDRESS);
    const metadata = await startMetadataService();
    const host = await hostWith({ docker: false });
    expect(await get(host, `${metadata.url}/latest/meta-data/iam/`)).toContain(STOLEN);
    expect(metadata.seen[0]).toMatchObject({ method: "GET", from: host.address });
    await metadata.close();
    await internet.removeAddress(METADATA_ADDRESS);
  });

  test("a neighbour on the same wire reaches a container's address directly", async () => {
    const host = await hostWith({ images: ["echo"] });
    const address = await startEcho(host);
    const neighbour = await host.addNeighbour();
    await host.run("iptables", ["-P", "FORWARD", "ACCEPT"]);
    await host.run("iptables", ["-I", "DOCKER-USER", "-j", "ACCEPT"]);
    await neighbour.run("ip", ["route", "add", `${address}/32`, "via", host.address]);
    const url = `http://${address}:8080/healthz`;
    expect(
      await neighbour.run("curl", [
        "--silent",
        "--fail",
        "--max-time",
        "5",
        "--retry",
        "20",
        "--retry-connrefused",
        url,
      ]),
    ).toBeTruthy();
  });

  test("a server's own UFW is not this machine's", async () => {
    const before = await readFile("/etc/ufw/ufw.conf", "utf8");
    const host = await hostWith({ docker: false, ownDirectories: UFW_DIRECTORIES });
    await host.run("ufw", ["--force", "enable"]);
    expect(await host.run("ufw", ["status"])).toContain("Status: active");
    expect(await host.run("iptables", ["-S", "INPUT"])).toContain("-P INPUT DROP");
    expect(await readFile("/etc/ufw/ufw.conf", "utf8")).toBe(before);
    const other = await hostWith({ docker: false });
    expect(await other.run("iptables", ["-S", "INPUT"])).toBe("-P INPUT ACCEPT\n");
  });

  test("Docker can be ended and started again", async () => {
    const host = await hostWith({ images: ["echo"] });
    await startEcho(host);
    await host.stopDocker("SIGKILL");
    await expect(host.docker.ping()).rejects.toThrow();
    await host.startDocker();
    expect(await host.docker.imageExists(imageRef("echo"))).toBe(true);
  });

  test("destroy leaves nothing, even of a server whose Docker was killed under running containers", async () => {
    const host = await createTestHost({ images: ["echo"] });
    await startEcho(host);
    const processes = () => pidsMentioning(host.dir);
    expect(await processes()).not.toEqual([]);
    await host.stopDocker("SIGKILL");
    await host.destroy();
    expect(await processes()).toEqual([]);
    expect(existsSync(host.dir)).toBe(false);
    expect(await mountPoints(host.dir)).toEqual([]);
    expect(await readdir("/run/netns")).not.toContain(host.namespace);
    expect(existsSync(`/sys/fs/cgroup/pids/${host.namespace}`)).toBe(false);
    await host.destroy();
  });
});

/** Processes whose command line or root names that directory: dockerd, containerd, shims and containers. */
async function pidsMentioning(directory: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const read = async (pid: string) =>
    (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")) +
    (await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => "")).replace(/^.*?- /gm, "").replaceAll("\n", " ");
  const own = String(process.pid);
  const found = await Promise.all(pids.map(async (pid) => ((await read(pid)).includes(`${directory}/`) ? pid : null)));
  return found.filter((pid) => pid !== null && pid !== own) as string[];
}
