import { readFileSync } from "node:fs";

/** Established connections of one network namespace, by who began them. Those of a process with itself do not count. */
export interface Connections {
  /** To the given port: visitors, through Caddy or a relay of this agent. */
  inbound: number;
  /** To anywhere else: the tenant's own, such as a model that is answering. */
  outbound: number;
}

const ESTABLISHED = "01";
/** 127/8 in the kernel's hexadecimal, little-endian by word: the first octet is the last byte. */
const isLoopback = (address: string): boolean =>
  address.length === 8
    ? address.endsWith("7F")
    : address === `${"0".repeat(24)}01000000` || /^0{16}FFFF0000.{6}7F$/i.test(address);

/** Reads what the kernel writes to /proc/net/tcp and tcp6 (proc(5)). */
export function countConnections(tables: readonly string[], port: number): Connections {
  const found = { inbound: 0, outbound: 0 };
  for (const line of tables.join("\n").split("\n")) {
    const [, local = "", remote = "", state] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED) continue;
    const [address = "", localPort = ""] = local.split(":");
    if (isLoopback(address) || isLoopback(remote.split(":")[0] ?? "")) continue;
    if (Number.parseInt(localPort, 16) === port) found.inbound += 1;
    else found.outbound += 1;
  }
  return found;
}

/**
 * The kernel's own table of a container, by its first process: true whoever opened the connection, and after a restart of
 * this agent. Null when the process is gone.
 */
export function connectionsOf(pid: number, port: number): Connections | null {
  try {
    return countConnections([readFileSync(`/proc/${pid}/net/tcp`, "utf8"), tcp6Of(pid)], port);
  } catch {
    return null;
  }
}

/** A kernel without IPv6 has no such file. */
function tcp6Of(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/net/tcp6`, "utf8");
  } catch {
    return "";
  }
}
