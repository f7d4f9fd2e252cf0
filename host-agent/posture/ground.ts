import type { ControlPlane, TenantLimits } from "../../schema/protocol/index.ts";
import { parsePool, type TenantLayout, tenantLayout } from "../tenants/layout.ts";

/** What the attacks are laid out on; pure, so that the whole table can be read without a host. */
export interface Ground {
  attacker: TenantLayout;
  neighbour: TenantLayout;
  limits: TenantLimits;
  pool: string;
  resolver: string;
  /** System call numbers differ. */
  arch: "x64" | "arm64";
  /** Link-local address of the attacker's bridge; null where bridges have no IPv6. */
  bridgeAddress6: string | null;
  /** MAC address of the attacker's bridge. */
  bridgeMac: string;
  cgroupVersion: "1" | "2";
  /** `pid:[…] net:[…] …` of the host. */
  hostNamespaces: string;
  /** TCP ports on which this host listens; swept besides the usual ones. */
  hostPorts: readonly number[];
  managed: Managed;
  /** As the edge has named them; null where it has not. */
  controlPlane: ControlPlane | null;
  /** Where modprobe looks; of files of one name the first counts. */
  modprobeDirectories: readonly string[];
}

/** modprobe.d(5). */
export const MODPROBE_DIRECTORIES: readonly string[] = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"].map(
  (path) => `${path}/modprobe.d`,
);

/** Walls that this host keeps itself; where one is not, its rows say so. */
export interface Managed {
  cloud: boolean;
  ufw: boolean;
  /** Which modules the kernel may load. */
  modules: boolean;
}

/** The last slots of the pool and the UIDs below the first tenant's are never a tenant's. */
export const CANARY_SEATS = 8;
export const CANARY_SLOTS = CANARY_SEATS * 2;
/** Of a pool of 16 slots there must be some left for tenants. */
export const tenantSlots = (slots: number): number => Math.max(slots - CANARY_SLOTS, Math.floor(slots / 2));

export const CANARY_LIMITS: TenantLimits = {
  memoryMiB: 256,
  cpuMillis: 1_000,
  pids: 96,
  diskMiB: 64,
  tmpMiB: 16,
  shmMiB: 16,
  requestsPerMinute: 60,
};

/** The stand-in for everything beyond the host: a network namespace at the other end of a cable (TEST-NET-1). */
export const WORLD = {
  device: "posture0",
  hostAddress: "192.0.2.253",
  address: "192.0.2.254",
  prefix: 30,
  hostAddress6: "fd00:c4e1:a5::1",
  address6: "fd00:c4e1:a5::2",
  attackerNetwork6: "fd00:c4e1:a6::",
  web: "93.184.216.34",
  flood: "93.184.216.35",
  spoofed: ["93.184.216.36", "93.184.216.37", "93.184.216.38"],
  otherResolver: "8.8.8.8",
  metadata: "169.254.169.254",
  alibaba: "100.100.100.200",
  wireServer: "168.63.129.16",
  metadata6: "fd00:ec2:0:0:0:0:0:254",
  privates: ["10.99.0.1", "172.16.5.5", "192.168.7.7", "100.64.0.9", "198.18.0.3", "203.0.113.9"],
} as const;

/** Ports of the decoys that the host itself puts up. */
export const DECOY = { tcp: 39_171, udp: 39_172, loopbackUdp: 39_173, marker: 39_175 } as const;

export interface Seat {
  /** Several pairs of canaries may stand side by side. */
  seat: number;
  pool: string;
  uidBase: number;
  stateDir: string;
  runDir: string;
}

export function canaryLayouts({ seat, pool, uidBase, stateDir, runDir }: Seat) {
  const { slots } = parsePool(pool);
  const layout = (which: 1 | 2, name: string) =>
    tenantLayout({
      tenantId: `canary-${seat}-${name}`,
      uid: uidBase - 2 * seat - which,
      slot: slots - 2 * seat - which,
      ...{ pool, stateDir, runDir },
    });
  return { attacker: layout(1, "attacker"), neighbour: layout(2, "neighbour") };
}
