import type { HostInventory } from "../../schema/protocol/index.ts";

/** What one host can carry and carries. Memory and disk are promised in full: a host never overbooks them. */
export interface HostRoom {
  id: string;
  region: string;
  memoryMiB: number;
  diskMiB: number;
  maxTenants: number;
  usedMemoryMiB: number;
  usedDiskMiB: number;
  usedTenants: number;
}

/** What has to fit, and where; null: in any region. */
export interface Need {
  memoryMiB: number;
  diskMiB: number;
  region: string | null;
}

/** The host with the most free memory among those where it fits; ties by id, so that a test can say which. */
export function choosePlace(rooms: readonly HostRoom[], need: Need): string | null {
  const free = (room: HostRoom) => room.memoryMiB - room.usedMemoryMiB;
  const fitting = rooms.filter(
    (room) =>
      (need.region === null || room.region === need.region) &&
      room.usedTenants < room.maxTenants &&
      free(room) >= need.memoryMiB &&
      room.diskMiB - room.usedDiskMiB >= need.diskMiB,
  );
  fitting.sort((a, b) => free(b) - free(a) || (a.id < b.id ? -1 : 1));
  return fitting[0]?.id ?? null;
}

export const HOST_ACTIONS = {
  /** Receives no new tenant; what is there stays. */
  drain: { from: ["enrolled", "draining"], to: "draining" },
  /** Takes tenants again. */
  reopen: { from: ["enrolled", "draining"], to: "enrolled" },
  /** Forgotten: its reports are refused from now on. Never while it holds anybody's data. */
  remove: { from: ["enrolled", "draining"], to: "removed" },
  /** The same with all that it holds, for a server that will never come back: deletions end without its word. */
  abandon: { from: ["enrolled", "draining"], to: "removed" },
} as const;
export type HostAction = keyof typeof HOST_ACTIONS;

/** What an operator's word makes of a host. `tenants`: those not purged yet. Asking for what is, is success. */
export function decideHostAction(
  action: HostAction,
  host: { state: "enrolled" | "draining" | "removed"; tenants: number; isSilent: boolean },
):
  | { ok: true; to: "enrolled" | "draining" | "removed" }
  | { ok: false; reason: "gone" }
  | { ok: false; reason: "speaks" }
  | { ok: false; reason: "not_empty"; tenants: number } {
  const { from, to } = HOST_ACTIONS[action];
  if (!from.some((state) => state === host.state)) return { ok: false, reason: "gone" };
  if (action === "abandon" && !host.isSilent) return { ok: false, reason: "speaks" };
  if (action === "remove" && host.tenants > 0) return { ok: false, reason: "not_empty", tenants: host.tenants };
  return { ok: true, to };
}

const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 5 * 60_000;

/** Exponential with full jitter, so that a thousand waiting rows do not call a returning host at one moment. */
export function retryDelayMs(attempts: number, random01: number): number {
  const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts, 16));
  return Math.round(ceiling / 2 + (ceiling / 2) * random01);
}

/** A host tells its inventory every 30 seconds: whoever has missed three of them was away, or has only begun. */
const AWAY_MS = 90_000;
export const wasAway = (lastReportAt: number | null, now: number): boolean =>
  lastReportAt === null || now - lastReportAt > AWAY_MS;

/** Of the edge's own turns, one each minute: after so long without any it has been away itself. */
export const TURNS_MISSED_MS = 3 * 60_000;

/** A host that is silent for so long, and is seen to be so for as long again, may be lost. */
export const LOST_AFTER_MS = 5 * 60_000;

/** Measured by the newest word of any host, not by the clock. */
export const isSilent = (host: { lastReportAt: number | null; enrolledAt: number }, newestReportAt: number): boolean =>
  newestReportAt - (host.lastReportAt ?? host.enrolledAt) > LOST_AFTER_MS;

/** A deletion that takes longer waits for somebody: every fault that passes by itself has passed, and been tried again. */
export const DELETION_WAITS_MS = 3_600_000;

/**
 * What a report tells of the journal that it comes from. A journal never forgets a number, so one that ends below what was
 * heard is an older copy, or it is the right one and this report was overtaken on its way. The host has signed when it was
 * made: what is older than the newest that was heard is late. A copy that was put back within that same second, or with a
 * clock that went back, is found out by one of its next reports; the host itself by the answer to this one.
 */
export function judgeJournal(
  said: { lastSeq: number; signedAtSeconds: number },
  heard: { lastSeq: number; signedAtSeconds: number },
): "newest" | "late" | "rolled_back" {
  if (said.lastSeq >= heard.lastSeq) return "newest";
  return said.signedAtSeconds <= heard.signedAtSeconds ? "late" : "rolled_back";
}

const MAX_LEAP = 1_000_000;

/**
 * The generation above everything that a host has seen, or null when what it says cannot be: no database was ever
 * restored from so far back, and numbers beyond 2^53 could be stored but not read again, by anybody.
 */
export function overtakingGeneration(own: number, have: number): number | null {
  return have > own + MAX_LEAP ? null : Math.max(own, have) + 1;
}

export interface WantedTenant {
  id: string;
  desired: "running" | "suspended" | "stopped" | "deleted";
  generation: number;
  updatedAt: number;
  observed: string;
  observedGeneration: number;
}

export type Drift =
  /** The host has not said a word about this generation. */
  | { tenantId: string; kind: "unheard"; generation: number }
  /** The host does not know the tenant at all. */
  | { tenantId: string; kind: "missing"; generation: number }
  /** It is gone here and still there. */
  | { tenantId: string; kind: "left_over"; generation: number };

/** How long an operator has, who sees it in the audit, to bring back a database that has forgotten somebody. */
export const STRANGER_GRACE_MS = 3_600_000;

/**
 * What is to be done about an agent that a host has and the edge has never heard of. Its data is never destroyed: a
 * database that was restored from an older copy would take every newer owner's work with it.
 */
export function decideStranger(
  now: { state: string; firstSeenAt: number | null; haltedAt: number | null },
  nowMs: number,
): "note" | "wait" | "halt" | "rest" {
  if (now.firstSeenAt === null) return "note";
  if (now.state === "stopped") return "rest";
  if (nowMs - now.firstSeenAt < STRANGER_GRACE_MS) return "wait";
  // Told a moment ago: the host's next inventory will say what came of it.
  return now.haltedAt !== null && nowMs - now.haltedAt < SETTLE_MS ? "wait" : "halt";
}

/** How an agent left a host: which restore has to prove itself elsewhere, and whether the host was lost then. */
export interface Departure {
  restore: number;
  lost: boolean;
}

/**
 * What becomes of the data that an agent has left behind. It is destroyed only when that loses nothing: its owner has
 * deleted the agent, or the copy was made after its last words and is open where it lives now. A copy from before a host
 * was lost may lack its last hours, and a move that nobody remembers may be younger than our database: an operator decides.
 */
export function decideLeftBehind(now: {
  isDeleted: boolean;
  departure: Departure | null;
  restored: { number: number; ok: boolean } | null;
}): "purge" | "purge_moved" | "wait" | "ask" {
  const { isDeleted, departure, restored } = now;
  if (isDeleted) return "purge";
  if (departure === null || departure.lost) return "ask";
  return restored?.ok && restored.number >= departure.restore ? "purge_moved" : "wait";
}

/** A change younger than this is on its way, not drifting. */
export const SETTLE_MS = 2 * 60_000;

/**
 * Compares what is wanted on one host with what the host last said. `inventory` is null before its first report.
 * Every difference is repaired by telling the newest word again, which is harmless to a host that knows it.
 */
export function findDrift(
  wanted: readonly WantedTenant[],
  inventory: Pick<HostInventory, "at" | "tenants"> | null,
  nowMs: number,
): Drift[] {
  const there = new Map(inventory?.tenants.map((tenant) => [tenant.tenantId, tenant]));
  const drift: Drift[] = [];
  for (const { id: tenantId, desired, generation, updatedAt, observedGeneration } of wanted) {
    if (nowMs - updatedAt < SETTLE_MS) continue;
    if (observedGeneration < generation) drift.push({ tenantId, kind: "unheard", generation });
    else if (!inventory || inventory.at < updatedAt + SETTLE_MS) continue;
    else if (desired === "deleted" && there.get(tenantId)) drift.push({ tenantId, kind: "left_over", generation });
    else if (desired !== "deleted" && !there.has(tenantId)) drift.push({ tenantId, kind: "missing", generation });
  }
  return drift;
}
