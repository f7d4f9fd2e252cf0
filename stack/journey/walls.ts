import { Inside } from "./inside.ts";
import { insist, type Recorder } from "./recorder.ts";
import type { Target, Tenant } from "./target.ts";

const METADATA = ["169.254.169.254", "100.100.100.200", "168.63.129.16"];

/** The container as its kernel says it is, and what its packets do not reach. */
export async function walls(target: Target, recorder: Recorder, mine: Tenant, theirs: Tenant): Promise<void> {
  const inside = new Inside(target.dockerSocket, mine.id);
  const neighbour = new Inside(target.dockerSocket, theirs.id);
  let gateway = "";
  let neighbourAddress = "";
  await recorder.must("the container is hardened, as its kernel says", async () => {
    const [view, other] = [await inside.view(), await neighbour.view()];
    gateway = view.gateway;
    neighbourAddress = other.address;
    const { status, mounts, limits } = view;
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      insist(/^0+$/.test(status[set] ?? "?"), `${set} ${status[set]}`);
    insist(
      status.NoNewPrivs === "1" && status.Seccomp === "2",
      `NoNewPrivs ${status.NoNewPrivs}, Seccomp ${status.Seccomp}`,
    );
    const uid = Number(status.Uid?.split(/\s+/)[0]);
    const otherUid = Number(other.status.Uid?.split(/\s+/)[0]);
    insist(uid >= 100_000 && uid !== otherUid, `UID ${uid}, the neighbour's ${otherUid}`);
    const options = (path: string) => mounts.findLast((mount) => mount.target === path)?.options ?? [];
    insist(options("/").includes("ro"), "the root is writable");
    for (const flag of ["nosuid", "nodev"]) insist(options("/data").includes(flag), `/data lacks ${flag}`);
    for (const flag of ["nosuid", "nodev", "noexec"]) insist(options("/tmp").includes(flag), `/tmp lacks ${flag}`);
    insist(
      limits.memory > 0 && limits.memorySwap === limits.memory && limits.pids > 0,
      `limits ${JSON.stringify(limits)}`,
    );
    insist(
      limits.ports === 0 && !limits.privileged && ["no", ""].includes(limits.restart),
      `exposed: ${JSON.stringify(limits)}`,
    );
    return `CapBnd 0, NoNewPrivs 1, Seccomp 2, root read-only, UID ${uid}, ${limits.memory / 2 ** 20} MiB, ${limits.pids} processes`;
  });

  await recorder.step("packets to a second agent do not pass", async () => {
    const port = 8080;
    insist(
      await target.answersFromHost(neighbourAddress, port),
      `nothing listens at ${neighbourAddress}:${port}: nothing would be proven`,
    );
    const tcp = await inside.tcp(neighbourAddress, port);
    insist(tcp !== "connected", `${neighbourAddress}:${port} answered`);
    return `TCP ${neighbourAddress}:${port} ${tcp}`;
  });
  await recorder.step("packets to the host do not pass", async () => {
    const seen: string[] = [];
    for (const address of [gateway, target.hostAddress]) {
      const tcp = await inside.tcp(address, target.ingressPort);
      insist(tcp !== "connected", `${address}:${target.ingressPort} answered`);
      seen.push(`TCP ${address}:${target.ingressPort} ${tcp}`);
    }
    return seen.join("; ");
  });
  await recorder.step("packets to cloud metadata do not pass", async () => {
    const seen = await Promise.all(METADATA.map(async (address) => `${address} ${await inside.tcp(address, 80)}`));
    insist(!seen.some((line) => line.endsWith("connected")), seen.join("; "));
    return seen.join("; ");
  });
}
