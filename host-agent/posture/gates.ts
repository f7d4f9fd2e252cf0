import { z } from "zod";
import { compareVersions } from "../firewall/index.ts";
import type { Row } from "./rules.ts";

/** One demand on what the host is made of. Told, never silently accepted; a developer's machine runs all the same. */
export interface Gate {
  name:
    | ("docker" | "runc" | "caddy" | "af_alg")
    | ("live_restore" | "inter_container" | "userland_proxy" | "address_pools" | "firewall_backend");
  have: string;
  need: string;
  ok: boolean;
}

export interface GateFacts {
  /** As the programs say them: `20.10.24+dfsg1`, `v2.11.4 h1:…`; null where one does not answer. */
  docker: string | null;
  runc: string | null;
  caddy: string | null;
  /** What the attack on it saw. */
  afAlg: Pick<Row, "outcome" | "evidence"> | undefined;
}

/**
 * Docker 29.5.1 and Caddy 2.11.4 are the first without holes that matter here; runc 1.2.8 and 1.3.3 close the way out
 * of masked paths (CVE-2025-31133, -52565, -52881).
 */
export function versionGates({ docker, runc, caddy, afAlg }: GateFacts): Gate[] {
  const atLeast = (name: Gate["name"], said: string | null, minimum: string): Gate => {
    const have = numberOf(said);
    const ok = have !== null && compareVersions(have, minimum) >= 0;
    return { name, have: said ?? "does not answer", need: `>= ${minimum}`, ok };
  };
  const have = numberOf(runc) ?? "0";
  const inTwo = compareVersions(have, "1.2.8") >= 0 && compareVersions(have, "1.3.0") < 0;
  return [
    atLeast("docker", docker, "29.5.1"),
    {
      name: "runc",
      have: runc ?? "does not answer",
      need: ">= 1.2.8 in 1.2, or >= 1.3.3",
      ok: inTwo || compareVersions(have, "1.3.3") >= 0,
    },
    atLeast("caddy", caddy, "2.11.4"),
    {
      name: "af_alg",
      have: afAlg?.evidence ?? "not tried",
      need: "socket(AF_ALG) refused by seccomp, or a kernel without it (CVE-2026-31431)",
      ok: afAlg?.outcome === "held",
    },
  ];
}

const numberOf = (said: string | null): string | null => /(\d+(?:\.\d+)+)/.exec(said ?? "")?.[1] ?? null;

/** What the engine says of itself (`GET /info`, `GET /networks/bridge`), and the kernel of a tenant's bridge. */
export interface SettingFacts {
  info: unknown;
  bridgeOptions: Readonly<Record<string, string>>;
  /** `net.ipv4.conf.BRIDGE.route_localnet`: dockerd sets it where it runs without its proxy. */
  routeLocalnet: string;
}

const engineInfo = z.object({
  LiveRestoreEnabled: z.boolean().default(false),
  DefaultAddressPools: z.array(z.unknown()).nullish(),
  FirewallBackend: z.object({ Driver: z.string() }).nullish(),
});

/** Docker's settings as they are in force, not as they lie in a file. An engine before 29 knows iptables alone. */
export function settingGates({ info, bridgeOptions, routeLocalnet }: SettingFacts): Gate[] {
  const { LiveRestoreEnabled, DefaultAddressPools, FirewallBackend } = engineInfo.parse(info);
  const icc = bridgeOptions["com.docker.network.bridge.enable_icc"];
  const pools = DefaultAddressPools?.length ?? 0;
  const backend = FirewallBackend?.Driver ?? "iptables";
  const onOff = (on: boolean) => (on ? "on" : "off");
  return [
    {
      name: "live_restore",
      have: onOff(LiveRestoreEnabled),
      need: "on: agents outlive a restart of dockerd",
      ok: LiveRestoreEnabled,
    },
    {
      name: "inter_container",
      have: onOff(icc !== "false"),
      need: "off: nothing speaks on Docker's own bridge",
      ok: icc === "false",
    },
    {
      name: "userland_proxy",
      have: onOff(routeLocalnet.trim() !== "1"),
      need: "off: no way around the rules",
      ok: routeLocalnet.trim() === "1",
    },
    {
      name: "address_pools",
      have: pools === 0 ? "Docker's own" : `${pools} set`,
      need: "set: Docker's own end after about 31 networks",
      ok: pools > 0,
    },
    {
      name: "firewall_backend",
      have: backend,
      need: "iptables, before whose rules ours stand",
      ok: backend.startsWith("iptables"),
    },
  ];
}
