import { statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { type ImageState, type ObservedState, RUNTIMES, type UnnumberedReport } from "../schema/protocol/index.ts";
import type { HostConfig } from "./config.ts";
import type { Capacity } from "./enrol.ts";
import type { Containers, DiskRoom, Images, Volumes } from "./tenants/ports.ts";

const MIB = 2 ** 20;

/** What tenants may take together on this host. */
export async function readCapacity(
  config: Pick<HostConfig, "stateDir" | "memoryMiB" | "maxTenants">,
): Promise<Capacity> {
  const disk = await statfs(config.stateDir);
  return {
    memoryMiB: config.memoryMiB ?? Math.floor(totalmem() / MIB),
    diskMiB: Math.floor((disk.blocks * disk.bsize) / MIB),
    tenants: config.maxTenants,
  };
}

export interface InventoryInputs {
  tenants: readonly { id: string; stateGeneration: number; state: ObservedState }[];
  images: readonly ImageState[];
  versions: Record<string, string>;
  engine?: "answers" | "away";
  capacity: Capacity;
  /** By wall; told once the guard is at work. */
  drift?: Readonly<Record<string, number>>;
  disk?: DiskRoom;
  atMs: number;
}

/** A tenant of which nothing was reported yet has no generation to tell, so it is left out. */
export function inventoryReport({
  tenants,
  images,
  versions,
  engine,
  capacity,
  drift,
  disk,
  atMs,
}: InventoryInputs): UnnumberedReport {
  return {
    type: "host.inventory",
    at: atMs,
    tenants: tenants
      .filter(({ stateGeneration }) => stateGeneration > 0)
      .map(({ id, stateGeneration, state }) => ({ tenantId: id, generation: stateGeneration, state })),
    images: [...images],
    versions,
    engine,
    capacity,
    drift,
    disk,
  };
}

/** Gathers one. That the engine does not answer is news of its own, and no reason to say nothing. */
export async function takeInventory(parts: {
  tenants: InventoryInputs["tenants"];
  containers: Pick<Containers, "versions">;
  images: Pick<Images, "state">;
  volumes: Pick<Volumes, "disk">;
  config: HostConfig;
  drift: InventoryInputs["drift"];
  atMs: number;
}): Promise<UnnumberedReport> {
  const [versions, capacity, disk] = await Promise.all([
    parts.containers.versions().catch(() => null),
    readCapacity(parts.config),
    parts.volumes.disk().catch(() => null),
  ]);
  return inventoryReport({
    tenants: parts.tenants,
    images: RUNTIMES.map((runtime) => parts.images.state(runtime)),
    versions: { ...(versions ?? { docker: "does not answer" }), node: process.versions.node },
    engine: versions ? "answers" : "away",
    capacity,
    drift: parts.drift,
    disk: disk ?? undefined,
    atMs: parts.atMs,
  });
}
