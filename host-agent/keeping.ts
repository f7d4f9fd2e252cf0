import type { Journal, TenantRecord } from "./journal.ts";
import type { StorageFacts } from "./journal-data.ts";
import { describeError, type Log } from "./log.ts";
import { countStrays, isDue, isNews, snapshotNameAt, snapshotTimeMs } from "./storage/index.ts";
import type { Ports } from "./tenants/index.ts";
import type { Tenant } from "./tenants/layout.ts";
import type { VolumeUsage } from "./tenants/ports.ts";

const EVERY_MS = 30_000;
/** Of those who sleep with their volume shut, this part in each round: nothing of theirs changes but by the calendar. */
const SLEEPERS_PART = 10;
/** For this long neighbours may feel somebody who has just reached the end of its volume. */
const RESTRAIN_EVERY_MS = 500;

export interface KeepingOptions {
  journal: Pick<Journal, "tenants" | "data">;
  ports: Pick<Ports, "volumes" | "copies">;
  tenantOf: (record: TenantRecord) => Tenant;
  /** Null where none came with the tenant's command. */
  keyOf: (record: TenantRecord) => Promise<string | null>;
  log: Log;
  nowMs: () => number;
}

export interface Keeping {
  /** A tenant is what was wanted of it: a copy that was asked for need not wait for the next round. */
  reached(tenantId: string): void;
  /** One round now; resolves when it and the copies that it began are through. */
  round(): Promise<void>;
  stop(): Promise<void>;
}

/** Looks after what tenants have stored: how much it is, whose it is, what it was, and that a copy is elsewhere. */
export function startKeeping({ journal, ports, tenantOf, keyOf, log, nowMs }: KeepingOptions): Keeping {
  const { volumes, copies } = ports;
  let turn = 0;
  let rounding: Promise<void> | null = null;
  let copying: Promise<void> | null = null;
  let restraining: Promise<void> | null = null;
  let stopped = false;

  const isKept = (record: TenantRecord) =>
    record.goal !== "purged" && record.uid !== null && record.slot !== null && record.spec !== null;

  /** Once more after it fell asleep: what it wrote last. */
  const isShut = ({ asleep, asleepSinceMs }: TenantRecord) =>
    asleep === "stopped" && nowMs() - (asleepSinceMs ?? nowMs()) > 2 * EVERY_MS;

  const tell = (tenantId: string, facts: StorageFacts) =>
    journal.data.put(tenantId, { told: facts }, { type: "tenant.storage", at: nowMs(), tenantId, ...facts });

  async function look(): Promise<void> {
    const records = journal.tenants.all().filter(isKept);
    if (records.length === 0) return;
    if (await volumes.recount()) log.warn("data.recounted", { why: "the file system had stopped counting" });
    const usage = await volumes.usage();
    // One tenant's files per round: a walk over all of a large host's would be felt.
    const swept = records[turn++ % records.length];
    if (swept) await tried(swept, "sweep", () => sweep(swept));
    for (const [index, record] of records.entries()) {
      if (isShut(record) && index % SLEEPERS_PART !== turn % SLEEPERS_PART) continue;
      const used = usage.get(record.id);
      if (used) await tried(record, "look", () => lookAt(record, used));
    }
    copying ??= copyAll(records).finally(() => {
      copying = null;
    });
  }

  async function lookAt(record: TenantRecord, usage: VolumeUsage): Promise<void> {
    const { spec, layout } = tenantOf(record);
    await volumes.freeze(layout, usage);
    const plan = spec.data;
    let snapshots = await volumes.snapshots.list(layout);
    const last = snapshots.at(-1);
    if (plan && plan.snapshots > 0 && isDue(last ? snapshotTimeMs(last) : null, plan.snapshotMinutes, nowMs())) {
      await volumes.snapshots.take(layout, snapshotNameAt(nowMs()));
      await volumes.snapshots.thin(layout, plan.snapshots);
      snapshots = await volumes.snapshots.list(layout);
    }
    const { told, backup, restored, strays } = journal.data.get(record.id);
    const facts: StorageFacts = { ...usage, strays, snapshots, backup, restored };
    if (isNews(told, facts)) tell(record.id, facts);
  }

  async function sweep(record: TenantRecord): Promise<void> {
    const { layout } = tenantOf(record);
    const { strays, first } = await countStrays(layout);
    if (strays > 0) log.warn("data.strays", { tenant: record.id, count: strays, first });
    if (strays !== journal.data.get(record.id).strays) journal.data.put(record.id, { strays });
  }

  /** One after the other: the network and the disk are everybody's. */
  async function copyAll(records: readonly TenantRecord[]): Promise<void> {
    for (const { id } of copies.isThere ? records : []) {
      const record = journal.tenants.get(id);
      if (stopped || !record || !isKept(record)) continue;
      const plan = record.spec?.data;
      const { backup, backups } = journal.data.get(id);
      // Stopped for a move: its last words must be in the copy.
      if (record.stateGeneration !== record.generation) continue;
      const isAsked = plan !== undefined && plan.backups > backups;
      if (!plan || !(isAsked || isDue(backup?.at ?? null, plan.backupMinutes, nowMs()))) continue;
      await tried(record, "copy", () => copy(record, plan.backups));
    }
  }

  async function copy(record: TenantRecord, backups: number): Promise<void> {
    const key = await keyOf(record);
    if (!key) return;
    const at = nowMs();
    const send = (directory: string) => copies.send(record.id, key, directory);
    const { bytes } = await volumes.snapshots.frozen(tenantOf(record).layout, send);
    const backup = { snapshot: snapshotNameAt(at), at, bytes, verifiedAt: nowMs(), number: backups };
    journal.data.put(record.id, { backup, backups });
    log.info("data.copied", { tenant: record.id, bytes, tookMs: nowMs() - at });
    const told = journal.data.get(record.id).told;
    if (told) tell(record.id, { ...told, backup });
  }

  /** What fails for one tenant is tried again at the next round, and holds up nobody else. */
  async function tried(record: TenantRecord, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (journal.tenants.get(record.id)?.goal === "purged") return;
      log.warn(`data.${what}`, { tenant: record.id, error: describeError(error) });
    }
  }

  function round(): Promise<void> {
    rounding ??= look()
      .catch((error) => log.warn("data.round", { error: describeError(error) }))
      .finally(() => {
        rounding = null;
      });
    return rounding;
  }

  function restrain(): void {
    restraining ??= volumes
      .restrain()
      .catch((error) => log.warn("data.restrain", { error: describeError(error) }))
      .finally(() => {
        restraining = null;
      });
  }

  const timers = [setInterval(() => void round(), EVERY_MS), setInterval(restrain, RESTRAIN_EVERY_MS)];
  return {
    reached(tenantId) {
      const asked = journal.tenants.get(tenantId)?.spec?.data?.backups ?? 0;
      if (asked > journal.data.get(tenantId).backups) void round();
    },
    async round() {
      await round();
      await copying;
    },
    async stop() {
      stopped = true;
      for (const timer of timers) clearInterval(timer);
      await Promise.all([rounding, restraining]);
    },
  };
}
