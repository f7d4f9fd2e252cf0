import { z } from "zod";

/** What a server must be before anything on it is changed. */
export interface Needs {
  /** `x86_64` or `aarch64`: what our Node runs on. */
  machine: string;
  diskMiB: number;
  memoryMiB: number;
  ports: readonly number[];
}

export interface ServerFacts {
  uid: number;
  osId: string;
  osVersion: number | null;
  osName: string;
  kernel: string;
  machine: string;
  systemd: boolean;
  /** Free space where it will be needed. */
  disks: readonly { path: string; freeMiB: number }[];
  memoryMiB: number;
  /** TCP ports on which something listens. */
  listening: readonly number[];
  /** Our own ingress runs here: then its ports are taken by ourselves. */
  ingressRuns: boolean;
  /** Configured by somebody else before us. */
  foreignDocker: boolean;
  /** The server's clock minus ours. */
  clockOffSeconds: number;
}

export type Unfit =
  | { reason: "not_root"; uid: number }
  | { reason: "not_debian"; name: string }
  | { reason: "no_systemd" }
  | { reason: "machine"; have: string; need: string }
  | { reason: "kernel"; have: string }
  | { reason: "disk"; path: string; haveMiB: number; needMiB: number }
  | { reason: "memory"; haveMiB: number; needMiB: number }
  | { reason: "port_taken"; port: number }
  | { reason: "docker_configured" }
  | { reason: "clock"; offSeconds: number }
  | { reason: "edge_unreachable"; edge: string }
  | { reason: "firewall"; detail: string };

const DEBIAN_MINIMUM = 12;
/** Debian 12's own; the hardening relies on seccomp, overlayfs and cgroups as they are since then. */
const KERNEL_MINIMUM = [6, 1] as const;
/** Signed commands live for a minute and forgive 30 s: a server must be well within. */
const CLOCK_SECONDS = 15;

export function refuseServer(facts: ServerFacts, needs: Needs): Unfit[] {
  const unfit: Unfit[] = [];
  if (facts.uid !== 0) unfit.push({ reason: "not_root", uid: facts.uid });
  if (facts.osId !== "debian" || (facts.osVersion ?? 0) < DEBIAN_MINIMUM) {
    unfit.push({ reason: "not_debian", name: facts.osName });
  }
  if (!facts.systemd) unfit.push({ reason: "no_systemd" });
  if (facts.machine !== needs.machine) unfit.push({ reason: "machine", have: facts.machine, need: needs.machine });
  const [major = 0, minor = 0] = facts.kernel.split(/[.-]/).map(Number);
  if (major < KERNEL_MINIMUM[0] || (major === KERNEL_MINIMUM[0] && minor < KERNEL_MINIMUM[1])) {
    unfit.push({ reason: "kernel", have: facts.kernel });
  }
  for (const { path, freeMiB } of facts.disks) {
    if (freeMiB < needs.diskMiB) unfit.push({ reason: "disk", path, haveMiB: freeMiB, needMiB: needs.diskMiB });
  }
  if (facts.memoryMiB < needs.memoryMiB) {
    unfit.push({ reason: "memory", haveMiB: facts.memoryMiB, needMiB: needs.memoryMiB });
  }
  for (const port of facts.ingressRuns ? [] : needs.ports) {
    if (facts.listening.includes(port)) unfit.push({ reason: "port_taken", port });
  }
  if (facts.foreignDocker) unfit.push({ reason: "docker_configured" });
  if (Math.abs(facts.clockOffSeconds) > CLOCK_SECONDS) {
    unfit.push({ reason: "clock", offSeconds: facts.clockOffSeconds });
  }
  return unfit;
}

export function describeUnfit(unfit: Unfit): string {
  const gib = (mib: number) => `${(mib / 1024).toFixed(1)} GiB`;
  switch (unfit.reason) {
    case "not_root":
      return `the SSH user has UID ${unfit.uid}; only root is accepted`;
    case "not_debian":
      return `it runs ${unfit.name}; Debian ${DEBIAN_MINIMUM} or newer is accepted`;
    case "no_systemd":
      return "systemd does not run there; it starts the host agent after a reboot";
    case "machine":
      return `its processor is ${unfit.have}; this build of Node needs ${unfit.need}`;
    case "kernel":
      return `its kernel is ${unfit.have}; ${KERNEL_MINIMUM.join(".")} or newer is accepted`;
    case "disk":
      return `${gib(unfit.haveMiB)} are free under ${unfit.path}; ${gib(unfit.needMiB)} are needed`;
    case "memory":
      return `it has ${gib(unfit.haveMiB)} of memory; ${gib(unfit.needMiB)} are needed`;
    case "port_taken":
      return `something listens on TCP port ${unfit.port}; 80 and 443 belong to our Caddy alone`;
    case "docker_configured":
      return "/etc/docker/daemon.json is there and not ours; a server that runs other things is not taken over";
    case "clock":
      return `its clock is ${Math.round(unfit.offSeconds)} s off ours; signed commands need it right (timedatectl set-ntp true)`;
    case "edge_unreachable":
      return `it does not reach the edge at ${unfit.edge}`;
    case "firewall":
      return unfit.detail;
  }
}

/** `ID`, `VERSION_ID` and `PRETTY_NAME` of os-release(5). Debian's testing has no version: it is newer than any. */
export function parseOsRelease(text: string): Pick<ServerFacts, "osId" | "osVersion" | "osName"> {
  const field = (name: string) => new RegExp(`^${name}=["']?([^"'\n]*)["']?$`, "m").exec(text)?.[1];
  const version = Number(field("VERSION_ID") ?? (field("ID") === "debian" ? Number.POSITIVE_INFINITY : Number.NaN));
  return {
    osId: field("ID") ?? "unknown",
    osVersion: Number.isNaN(version) ? null : version,
    osName: field("PRETTY_NAME") ?? "an unknown system",
  };
}

/** Local ports of sockets in state 0A (listening) of /proc/net/tcp and tcp6 (proc(5)); needs no tool. */
export function parseListening(text: string): number[] {
  const ports = text.split("\n").flatMap((line) => {
    const [, port = "", state] =
      /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2})/.exec(line) ?? [];
    return state === "0A" ? [Number.parseInt(port, 16)] : [];
  });
  return [...new Set(ports)].sort((a, b) => a - b);
}

/** Output of `df -Pk PATH…`. */
export function parseFreeSpace(text: string): number[] {
  return text
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => Math.floor(Number(line.trim().split(/\s+/)[3]) / 1024));
}

/** Name servers of resolv.conf(5) that a container can use: the server's own are never reachable from one. */
export const parseResolvers = (text: string): string[] =>
  [...text.matchAll(/^nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$/gm)]
    .map(([, address]) => address as string)
    .filter((address) => !address.startsWith("127."))
    .slice(0, 3);

/** `root@203.0.113.7`, `root@[2001:db8::7]` or `root@server.example`. Null: not accepted. */
export function parseTarget(text: string): { address: string } | null {
  const [, address = ""] = /^root@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})$/.exec(text) ?? [];
  return address === "" ? null : { address: address.replace(/^\[|\]$/g, "") };
}

/** Ports of Caddy's two sites. Anything but 80 and 443 would stay shut behind the second wall. */
export const sitePort = (site: string): number => {
  const url = new URL(site.replace("*", "any"));
  return url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
};

export const fingerprint = z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/);

/** `Docker version 29.5.1, build …` → `29.5.1`. */
export const parseEngineVersion = (text: string): string | null => /version (\d+(?:\.\d+)+)/.exec(text)?.[1] ?? null;

/** Docker can write nftables rules by itself since 29.0, and has a key to choose since then (docs: "Docker with nftables"). */
export const engineHasBackends = (version: string | null): boolean => Number(version?.split(".")[0] ?? 0) >= 29;

/** What Docker's `GET /info` still lacks of the settings that daemon.json asks for. */
export function engineFaults(text: string): string[] {
  const info = readEngineInfo(text);
  if (!info) return ["Docker's own account of itself cannot be read"];
  const backend = foreignBackend(text);
  return [
    ...(info.LiveRestoreEnabled ? [] : ["live-restore is off"]),
    ...(info.DefaultAddressPools?.length ? [] : ["no address pools are set"]),
    ...(backend ? [`Docker writes its rules with ${backend}, past iptables`] : []),
  ];
}

/** The backend of an engine whose rules ours would not stand before; null where it is iptables, or has no choice. */
export function foreignBackend(text: string): string | null {
  const driver = readEngineInfo(text)?.FirewallBackend?.Driver ?? "iptables";
  return driver.startsWith("iptables") ? null : driver;
}

function readEngineInfo(text: string): z.infer<typeof engineInfo> | null {
  try {
    return engineInfo.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
const engineInfo = z.object({
  LiveRestoreEnabled: z.boolean(),
  FirewallBackend: z.object({ Driver: z.string() }).nullish(),
  DefaultAddressPools: z.array(z.unknown()).nullish(),
});

/** Of modules that must not be there: those that modprobe would load, by its own words, and those that are loaded. */
export function looseModules(names: readonly string[], showconfig: string | null, procModules: string): string[] {
  const installs = new Map<string, string>();
  for (const [, name = "", what = ""] of showconfig?.matchAll(/^install (\S+) (.*)$/gm) ?? []) {
    if (!installs.has(name)) installs.set(name, what.trim());
  }
  return names.flatMap((name) => [
    ...(showconfig === null || installs.get(name) === "/bin/false" ? [] : [`modprobe would load ${name}`]),
    ...(new RegExp(`^${name} `, "m").test(procModules) ? [`${name} is loaded`] : []),
  ]);
}
