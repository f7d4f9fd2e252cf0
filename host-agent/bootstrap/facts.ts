import type { refuseInputs } from "../firewall/index.ts";
import { parseFreeSpace, parseListening, parseOsRelease, parseResolvers, type ServerFacts } from "./rules.ts";
import type { Server } from "./ssh.ts";

/** Where images, volumes and packages go. Docker's directory may be a disk of its own. */
const DISKS = ["/var/lib", "/var/lib/docker", "/usr/local"];

/** Reads what a server is; changes nothing and needs nothing but Debian's essential packages. */
export async function readServerFacts(server: Server, nowMs: () => number): Promise<ServerFacts> {
  const out = async (...argv: string[]) => (await server.exec(argv)).stdout.trim();
  const exists = async (path: string) => (await server.exec(["test", "-e", path])).code === 0;
  const [uid, os, kernel, machine, memory, tcp, tcp6] = await Promise.all([
    out("id", "-u"),
    out("cat", "/etc/os-release"),
    out("uname", "-r"),
    out("uname", "-m"),
    out("cat", "/proc/meminfo"),
    out("cat", "/proc/net/tcp"),
    out("cat", "/proc/net/tcp6"),
  ]);
  const disks: { path: string; freeMiB: number }[] = [];
  for (const path of DISKS) {
    if (await exists(path)) disks.push({ path, freeMiB: parseFreeSpace(await out("df", "-Pk", path))[0] ?? 0 });
  }
  const before = nowMs();
  const clock = Number(await out("date", "+%s.%N"));
  return {
    uid: Number(uid),
    ...parseOsRelease(os),
    kernel,
    machine,
    systemd: await exists("/run/systemd/system"),
    disks,
    memoryMiB: Math.floor(Number(/^MemTotal:\s+(\d+) kB/m.exec(memory)?.[1] ?? 0) / 1024),
    listening: parseListening(`${tcp}\n${tcp6}`),
    ingressRuns: (await out("systemctl", "is-active", "chelar-ingress.service")) === "active",
    foreignDocker: (await exists("/etc/docker/daemon.json")) && !(await exists("/etc/chelar")),
    clockOffSeconds: clock - (before + nowMs()) / 2_000,
  };
}

/** Debian 12's: the packages come later, and the third wall looks at the real one then. */
const IPTABLES_TO_COME = "1.8.9";

/** Addresses of the server, for the third wall's own checks. */
export async function readAddresses(server: Server): Promise<Parameters<typeof refuseInputs>[1]> {
  const { stdout } = await server.exec(["ip", "-4", "-json", "address", "show"]);
  const interfaces = JSON.parse(stdout || "[]") as {
    ifname: string;
    addr_info?: { local?: string; prefixlen?: number }[];
  }[];
  return {
    iptablesVersion: IPTABLES_TO_COME,
    addresses: interfaces.flatMap(({ ifname, addr_info = [] }) =>
      addr_info.flatMap(({ local, prefixlen }) =>
        local && prefixlen !== undefined ? [{ interface: ifname, address: local, prefix: prefixlen }] : [],
      ),
    ),
  };
}

export async function readResolvers(server: Server): Promise<string[]> {
  return parseResolvers((await server.exec(["cat", "/etc/resolv.conf"])).stdout);
}

/** Whether a TCP connection from there to the edge comes about. */
export async function reaches(server: Server, url: string): Promise<boolean> {
  const { hostname, port, protocol } = new URL(url);
  const number = port || (protocol === "https:" ? "443" : "80");
  const script = 'exec 3<>"/dev/tcp/$0/$1"';
  return (
    (await server.exec(["timeout", "8", "bash", "-c", script, hostname.replace(/^\[|\]$/g, ""), number])).code === 0
  );
}
