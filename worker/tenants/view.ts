import { z } from "zod";
import type { tenantEvents } from "../../schema/db/index.ts";
import {
  hostInventory,
  hostPosture,
  imageState,
  type LedgerEntry,
  type LedgerVerdict,
  tenantStatus,
} from "../../schema/protocol/index.ts";
import { storageWarning } from "../data/rules.ts";
import { limitsOf } from "./plans.ts";
import { displayState } from "./rules.ts";
import type { TenantRecord } from "./store.ts";
import type { CommandsView, PostureView, TenantEvent, TenantView } from "./types.ts";

const images = z.array(imageState);

/** The row as its owner may see it: no host, no address, no internals. */
export function tenantViewOf(
  { tenant, status, images: imagesJson, usedBytes, limitBytes, waiting, runs }: TenantRecord,
  { hostname, url }: { hostname: string; url: string },
): TenantView {
  const state = displayState(tenant, waiting);
  const { memoryMiB, cpuMillis, pids, diskMiB, requestsPerMinute, openConnections, egressMiBPerDay } = limitsOf(
    tenant.runtime,
    tenant.plan,
  );
  return {
    id: tenant.id,
    name: tenant.slug,
    runtime: tenant.runtime,
    plan: tenant.plan,
    hostname,
    url,
    desired: tenant.desired,
    held: tenant.heldFrom !== null,
    state,
    generation: tenant.generation,
    observedGeneration: tenant.observedGeneration,
    failure: state === "failed" ? tenant.failure : null,
    limits: { memoryMiB, cpuMillis, pids, diskMiB, requestsPerMinute, openConnections, egressMiBPerDay },
    storage: usedBytes === null || limitBytes === null ? null : storageOf({ usedBytes, limitBytes }),
    undoUntil: tenant.desired !== "deleted" && waiting ? new Date(waiting.deleteAt).toISOString() : null,
    runs: runs && { image: runs.image, running: runs.running, refused: runs.refused },
    image: state === "pending" || state === "creating" ? imageOf(tenant.runtime, imagesJson) : null,
    status: state === "running" || state === "asleep" ? statusOf(status) : null,
    createdAt: new Date(tenant.createdAt).toISOString(),
    updatedAt: new Date(tenant.updatedAt).toISOString(),
  };
}

function storageOf(bytes: { usedBytes: number; limitBytes: number }): TenantView["storage"] {
  const mib = (count: number) => Math.ceil(count / 2 ** 20);
  return { usedMiB: mib(bytes.usedBytes), limitMiB: mib(bytes.limitBytes), warning: storageWarning(bytes) };
}

function imageOf(runtime: TenantView["runtime"], json: string | null): TenantView["image"] {
  if (json === null) return null;
  const image = images.safeParse(JSON.parse(json)).data?.find((candidate) => candidate.runtime === runtime);
  return image ? { state: image.state, fraction: image.fraction ?? null, detail: image.detail ?? null } : null;
}

function statusOf(json: string | null): TenantView["status"] {
  const report = json === null ? null : tenantStatus.safeParse(JSON.parse(json)).data;
  if (!report) return null;
  const { at, memoryMiB, cpuPercent, pids, runtime } = report;
  const jobs = runtime?.jobs.filter(({ enabled }) => enabled) ?? [];
  const due = jobs.flatMap(({ nextRunAt }) => (nextRunAt === null ? [] : [nextRunAt]));
  return {
    ...{ at: new Date(at).toISOString(), memoryMiB, cpuPercent, pids },
    healthy: runtime?.healthy ?? null,
    jobs: jobs.length,
    nextJobAt: due.length > 0 ? new Date(Math.min(...due)).toISOString() : null,
    channels: runtime?.channels ?? [],
    cell: report.cell ?? null,
    egressMiB: report.egressMiB ?? null,
  };
}

export function tenantEventOf(row: typeof tenantEvents.$inferSelect): TenantEvent {
  const { id, generation, at, step, status, detail, fraction, tookMs } = row;
  return { id, generation, at: new Date(at).toISOString(), step, status, detail, fraction, tookMs };
}

const HELD = { held: true, breached: false, unproven: false, not_managed: null } as const;

/** The chain as its host keeps it, so that whoever wants to can verify it again. */
export const commandsViewOf = ({
  entries,
  verdict,
}: {
  entries: LedgerEntry[];
  verdict: LedgerVerdict;
}): CommandsView => ({
  commands: entries.map((entry) => ({ ...entry, at: new Date(entry.at).toISOString() })),
  intact: verdict.ok,
  brokenAt: verdict.ok ? null : verdict.number,
});

/** Null where its host has not tried its walls yet. */
export function postureViewOf(
  reports: { posture: string | null; inventory: string | null } | undefined,
): PostureView | null {
  const read = <T>(shape: { safeParse(value: unknown): { data?: T } }, json: string | null | undefined) =>
    json ? shape.safeParse(JSON.parse(json)).data : undefined;
  const posture = read(hostPosture, reports?.posture);
  if (!posture) return null;
  const drift = read(hostInventory, reports?.inventory)?.drift ?? null;
  const { at, tookMs, attacks, gates } = posture;
  const count = (outcome: keyof typeof HELD) => attacks.filter((row) => row.outcome === outcome).length;
  return {
    at: new Date(at).toISOString(),
    tookMs,
    held: count("held"),
    breached: count("breached"),
    unproven: count("unproven"),
    notManaged: count("not_managed"),
    attacks: attacks.map((row) => ({ ...row, held: HELD[row.outcome] })),
    gates,
    drift,
  };
}
