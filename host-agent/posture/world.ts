import type { TenantLayout } from "../tenants/layout.ts";
import { WORLD } from "./ground.ts";
import type { Receiving, Tools } from "./tools.ts";

/** Ours alone; behind the routing lock's (5210 to 5290), so that the lock is put to the test too. */
const RULES = { answers: "5298", toNeighbour: "5299", fromAttacker: "5300", fromHost: "5301" } as const;
const TABLE = "5300";

export interface World {
  receiving: Receiving;
  /** Runs a program there. */
  enter: readonly string[];
  remove(): Promise<void>;
}

/**
 * A stand-in for everything beyond the host. Only packets of the attacking canary (and of our own end of the cable) are
 * steered there, so that every target exists, nothing leaves the machine, and no other tenant notices. The namespace
 * lives as long as the receiver in it: a crash leaves at most routing rules, which the next run removes.
 */
export async function createWorld(
  tools: Tools,
  attacker: TenantLayout,
  neighbour: TenantLayout,
  targets: readonly string[],
  pool: string,
): Promise<World> {
  const { run } = tools;
  await removeSteering(tools);
  const receiving = await tools.receive(["unshare", "--net", "--"], ["packets"]);
  const enter = ["nsenter", `--net=/proc/${receiving.pid}/ns/net`, "--"];
  const inside = (file: string, ...args: string[]) => run("nsenter", [...enter.slice(1), file, ...args]);
  const remove = async () => {
    await receiving.stop();
    await removeSteering(tools);
    await run("ip", ["link", "delete", WORLD.device]).catch(() => {});
  };
  try {
    const { device, address, hostAddress, address6, hostAddress6, prefix } = WORLD;
    await run("ip", ["link", "delete", device]).catch(() => {});
    await run("ip", ["link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", String(receiving.pid)]);
    await batch(run, "ip", [
      `address add ${hostAddress}/${prefix} dev ${device}`,
      `-6 address add ${hostAddress6}/64 dev ${device} nodad`,
      `link set ${device} up`,
    ]);
    // Loose: the world answers from addresses that this host would look for elsewhere.
    await run("sysctl", ["-q", "-w", `net.ipv4.conf.${device}.rp_filter=2`]);
    await inside("sysctl", "-q", "-w", "net.ipv4.icmp_ratelimit=0");
    await batch(
      run,
      "nsenter",
      [
        "link set lo up",
        `address add ${address}/${prefix} dev eth0`,
        `-6 address add ${address6}/64 dev eth0 nodad`,
        "link set eth0 up",
        ...targets.map((target) =>
          target.includes(":") ? `-6 address add ${target}/128 dev lo nodad` : `address add ${target}/32 dev lo`,
        ),
        `route add ${pool} via ${hostAddress}`,
        `-6 route add default via ${hostAddress6}`,
      ],
      enter,
    );
    await batch(run, "ip", [
      `route add default via ${address} dev ${device} table ${TABLE}`,
      // Should the world end early, nothing of the attacks may leave by the default route.
      `route add unreachable default metric 9999 table ${TABLE}`,
      `-6 route add default via ${address6} dev ${device} table ${TABLE}`,
      `-6 route add unreachable default metric 9999 table ${TABLE}`,
      `rule add priority ${RULES.toNeighbour} iif ${attacker.network} to ${neighbour.subnet} lookup main`,
      // Its answers to the attacker go back as they would without us.
      `rule add priority ${RULES.answers} from ${hostAddress} to ${attacker.subnet} lookup main`,
      // By the bridge and not by the source, which an attacker chooses.
      `rule add priority ${RULES.fromAttacker} iif ${attacker.network} lookup ${TABLE}`,
      `rule add priority ${RULES.fromHost} from ${hostAddress} lookup ${TABLE}`,
      `-6 rule add priority ${RULES.fromHost} from ${hostAddress6} lookup ${TABLE}`,
      `-6 rule add priority ${RULES.fromAttacker} iif ${attacker.network} lookup ${TABLE}`,
    ]);
    return { receiving, enter, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** One `ip` for many lines; a line that begins with -6 is of the other family. */
async function batch(
  run: Tools["run"],
  file: "ip" | "nsenter",
  lines: readonly string[],
  enter: readonly string[] = [],
): Promise<void> {
  for (const family of ["-4", "-6"] as const) {
    const own = lines
      .filter((line) => line.startsWith("-6 ") === (family === "-6"))
      .map((line) => line.replace(/^-6 /, ""));
    if (own.length === 0) continue;
    await run(
      file,
      [...enter.slice(1), ...(file === "ip" ? [] : ["ip"]), family, "-batch", "-"],
      `${own.join("\n")}\n`,
    );
  }
}

export async function removeSteering({ run }: Tools): Promise<void> {
  for (const family of ["-4", "-6"]) {
    const rules = await run("ip", [family, "rule", "show"]);
    for (const [, priority = ""] of rules.matchAll(/^(\d+):/gm)) {
      if (Object.values(RULES).includes(priority as "5300")) {
        await run("ip", [family, "rule", "delete", "priority", priority]).catch(() => {});
      }
    }
    await run("ip", [family, "route", "flush", "table", TABLE]).catch(() => {});
  }
}
