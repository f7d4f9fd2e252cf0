import type { TenantSpec } from "../../schema/protocol/index.ts";

/**
 * Where everything of one tenant lies on this host, derived from two numbers of the journal. Pure, so that any step,
 * the posture probe and a reader all see the same plan.
 */
export interface TenantLayout {
  tenantId: string;
  /** UID and GID of the container's process and owner of its data. Never used twice on a host. */
  uid: number;
  /** Which /28 of the pool; used again only after a purge is proven. */
  slot: number;
  /** Kernel name of the bridge and Docker name of the network: `chl` and the slot, at most 15 characters. */
  network: string;
  subnet: string;
  /** The bridge's own address: where Caddy and the host agent appear to come from. */
  gateway: string;
  /** The container's address. */
  address: string;
  containerName: string;
  /** Stable over the tenant's life: OpenClaw's owner lease is bound to it (upstream #155644). */
  hostname: string;
  /** Root-only; the backing of the data. */
  volumeDir: string;
  /** What the container sees as /data: 0700, owned by `uid`, nosuid and nodev. */
  dataDir: string;
  /** Platform-written configuration, mounted read-only at /chelar/config. */
  configDir: string;
  /** Memory-backed; the environment file lies here for the moment of a start, mounted read-only at /chelar/env. */
  envDir: string;
}

export interface LayoutInputs {
  tenantId: string;
  uid: number;
  slot: number;
  /** CIDR of the address pool, /28 aligned or larger, e.g. 10.213.0.0/16. */
  pool: string;
  stateDir: string;
  /** On a memory-backed filesystem. */
  runDir: string;
}

export const SLOT_SIZE = 16;

export function tenantLayout({ tenantId, uid, slot, pool, stateDir, runDir }: LayoutInputs): TenantLayout {
  return {
    tenantId,
    uid,
    slot,
    ...slotNetwork(pool, slot),
    containerName: `chelar-${tenantId}`,
    hostname: `agent-${tenantId.slice(4, 16)}`,
    volumeDir: `${stateDir}/volumes/${tenantId}`,
    dataDir: `${stateDir}/mounts/${tenantId}`,
    configDir: `${stateDir}/config/${tenantId}`,
    envDir: `${runDir}/env/${tenantId}`,
  };
}

/** The network of one slot: whoever has it, it is the same. */
export function slotNetwork(pool: string, slot: number) {
  const { base, slots } = parsePool(pool);
  if (!Number.isInteger(slot) || slot < 0 || slot >= slots) {
    throw new RangeError(`slot ${slot} is outside the pool ${pool}, which has ${slots}`);
  }
  const start = base + slot * SLOT_SIZE;
  return {
    network: `chl${slot}`,
    subnet: `${formatAddress(start)}/28`,
    gateway: formatAddress(start + 1),
    address: formatAddress(start + 2),
  };
}

/** Accepts an IPv4 CIDR between /8 and /24 whose host bits are zero. */
export function parsePool(pool: string): { base: number; slots: number; prefix: number } {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(pool);
  const [a, b, c, d, prefix] = (match?.slice(1) ?? []).map(Number) as [number, number, number, number, number];
  if (!match || [a, b, c, d].some((octet) => octet > 255) || prefix < 8 || prefix > 24) {
    throw new RangeError(
      `address pool ${JSON.stringify(pool)}: an IPv4 CIDR between /8 and /24 is accepted, e.g. 10.213.0.0/16`,
    );
  }
  const base = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  const size = 2 ** (32 - prefix);
  if (base % size !== 0) throw new RangeError(`address pool ${pool}: host bits are set`);
  return { base, slots: size / SLOT_SIZE, prefix };
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

/** What the steps need to know of a tenant besides its spec. */
export interface Tenant {
  spec: TenantSpec;
  layout: TenantLayout;
}
