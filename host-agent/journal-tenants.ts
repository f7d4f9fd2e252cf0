import type { DatabaseSync } from "node:sqlite";
import type { ObservedState, StepName } from "../schema/protocol/index.ts";
import { type Depth, type TenantRecord, tenantRecords } from "./journal-records.ts";
import type { ReportRows } from "./journal-reports.ts";
import { bodyHash, lowestFreeSlot, nextSlot, type TenantCommand } from "./journal-rules.ts";
import type { Transact } from "./journal-schema.ts";

export interface StepNote {
  step: StepName;
  status: "started" | "progress" | "done" | "failed";
  detail?: string;
  fraction?: number;
  tookMs?: number;
}

export interface Note {
  tenantId: string;
  generation: number;
  atMs: number;
  steps?: readonly StepNote[];
  state?: { state: ObservedState; detail?: string };
  /** The host's signed word that nothing is left; with the state `purged`. */
  receipt?: string;
}

interface Bedtime {
  tenantId: string;
  generation: number;
  depth: Depth;
  /** When it fell asleep first. */
  sinceMs: number;
  wakeAtMs: number | null;
  atMs: number;
}

/** An edge that repeats itself, as its outbox may, must not fill ours. */
const REPEAT_EVERY_MS = 60_000;

/** The tenants of this host, their steps, and the numbers given to them. */
export function tenantRows(db: DatabaseSync, transact: Transact, reports: ReportRows) {
  const { get, all, changing } = tenantRecords(db);
  const insert = changing(`INSERT INTO tenants (id, generation, body_hash, goal, restarts, state, state_generation)
    VALUES (?, ?, ?, ?, 0, ?, ?)`);
  const applyUpdate = changing(
    "UPDATE tenants SET generation = ?, body_hash = ?, goal = ?, restarts = ?, spec = ?, secrets_jwe = ? WHERE id = ?",
  );
  const purgeUpdate = changing(
    "UPDATE tenants SET generation = ?, body_hash = ?, goal = 'purged', secrets_jwe = NULL WHERE id = ?",
  );
  const haltUpdate = changing("UPDATE tenants SET generation = ?, body_hash = ?, goal = 'stopped' WHERE id = ?");
  const stateUpdate = changing("UPDATE tenants SET state = ?, state_generation = ?, detail = ? WHERE id = ?");
  const placeUpdate = changing("UPDATE tenants SET uid = ?, slot = ? WHERE id = ?");
  const tombstone = changing("UPDATE tenants SET spec = NULL, secrets_jwe = NULL, slot = NULL WHERE id = ?");
  const stepById = db.prepare("SELECT generation, status FROM steps WHERE tenant_id = ? AND step = ?");
  const stepUpsert = db.prepare(`INSERT INTO steps (tenant_id, step, generation, status, at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET generation = excluded.generation, status = excluded.status, at = excluded.at`);
  const sleepUpsert = changing(`INSERT INTO sleeping (tenant_id, generation, depth, since_ms, wake_at_ms)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation, depth = excluded.depth,
    since_ms = excluded.since_ms, wake_at_ms = excluded.wake_at_ms`);
  const sleepDelete = changing("DELETE FROM sleeping WHERE tenant_id = ?");
  const isMoved = db.prepare("SELECT 1 AS yes FROM moved WHERE tenant_id = ?");
  const movedInsert = db.prepare("INSERT OR IGNORE INTO moved (tenant_id) VALUES (?)");
  const movedDelete = db.prepare("DELETE FROM moved WHERE tenant_id = ?");
  const tenantDelete = changing("DELETE FROM tenants WHERE id = ?");
  const tenantsDelete = changing("DELETE FROM tenants");
  const dataDelete = db.prepare("DELETE FROM data WHERE tenant_id = ?");
  const stepsDelete = db.prepare("DELETE FROM steps WHERE tenant_id = ?");
  const receiptInsert = db.prepare("INSERT OR REPLACE INTO receipts (tenant_id, statement) VALUES (?, ?)");
  const receiptById = db.prepare("SELECT statement FROM receipts WHERE tenant_id = ?");
  const slotsTaken = db.prepare(
    "SELECT slot FROM tenants WHERE slot IS NOT NULL UNION SELECT slot FROM blocked_slots ORDER BY slot",
  );
  const blockSlot = db.prepare("INSERT INTO blocked_slots (slot) VALUES (?) ON CONFLICT DO NOTHING");
  const takeUid = db.prepare("UPDATE meta SET value = value + 1 WHERE name = 'nextUid' RETURNING value - 1 AS uid");

  const repeatedAtMs = new Map<string, number>();

  const takenSlots = (): number[] => slotsTaken.all().map((row) => row.slot as number);
  /** Must run inside a transaction. A repeated step of one generation is neither written nor reported again. */
  function writeNote({ tenantId, generation, atMs, steps = [], state, receipt }: Note, record: TenantRecord): void {
    for (const { step, status, ...rest } of steps) {
      const known = stepById.get(tenantId, step);
      if (known?.generation === generation && known.status === "done") continue;
      stepUpsert.run(tenantId, step, generation, status, atMs);
      reports.add({ type: "tenant.progress", at: atMs, tenantId, generation, step, status, ...rest });
    }
    if (!state || (state.state === record.state && generation === record.stateGeneration)) return;
    if (state.state === "purged" && isMoved.get(tenantId)) {
      // It lives elsewhere: a word that nothing is left of it would be believed if it came back here before that was heard.
      leave(tenantId);
      return;
    }
    stateUpdate.run(state.state, generation, state.detail ?? null, tenantId);
    if (state.state === "purged" && receipt) {
      receiptInsert.run(tenantId, receipt);
      reports.add({ type: "tenant.receipt", at: atMs, tenantId, generation, statement: receipt });
    }
    reports.add({ type: "tenant.state", at: atMs, tenantId, generation, ...state });
    if (state.state !== "purged") return;
    // The tombstone: the slot may be used again from here on, the id and the UID never.
    tombstone.run(tenantId);
    sleepDelete.run(tenantId);
    stepsDelete.run(tenantId);
    dataDelete.run(tenantId);
  }

  /**
   * Sealed secrets that were taken from the tables stay in the log until it is written over, and this host's key, which
   * opens them, beside it: with a copy of the volume, all that a thief of the disk needs. Before the word that they are gone.
   */
  function emptyLog(): void {
    const { busy } = db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get() as { busy: number };
    if (busy !== 0) throw new Error("the journal's log could not be emptied");
  }

  /** It went elsewhere and may come back: no tombstone, only its UID stays used. */
  function leave(tenantId: string): void {
    for (const statement of [sleepDelete, stepsDelete, dataDelete, movedDelete, tenantDelete]) statement.run(tenantId);
  }

  return {
    get,
    all,

    /** What is being removed here lives on another host. */
    isMoved: (id: string): boolean => isMoved.get(id) !== undefined,

    /** Must run inside a transaction. */
    forgetAll(): void {
      db.exec("DELETE FROM sleeping; DELETE FROM steps; DELETE FROM data; DELETE FROM moved");
      tenantsDelete.run();
    },

    /** Must run inside the transaction that accepts the command. */
    intend(command: TenantCommand, atMs: number): void {
      const { generation } = command;
      const id = command.type === "tenant.apply" ? command.tenant.id : command.tenantId;
      const hash = bodyHash(command);
      const isNew = !get(id);
      if (isNew) insert.run(id, generation, hash, "running", "creating", 0);
      if (command.type === "tenant.apply") {
        const { tenant, desired, restarts, secretsJwe } = command;
        applyUpdate.run(generation, hash, desired, restarts, JSON.stringify(tenant), secretsJwe, id);
      } else {
        (command.type === "tenant.purge" ? purgeUpdate : haltUpdate).run(generation, hash, id);
        if (command.type === "tenant.purge" && command.moved) movedInsert.run(id);
      }
      const state = isNew ? ({ state: "creating" } as const) : undefined;
      const note = { tenantId: id, generation, atMs, steps: [{ step: "accept", status: "done" } as const], state };
      writeNote(note, get(id) as TenantRecord);
    },

    /** Says once more what was said of this tenant: the edge asked again, so it may have lost it. */
    repeatState(tenantId: string, atMs: number): void {
      const record = get(tenantId);
      // Either way: a clock that was set back must not silence this host until it has caught up.
      const isRecent = Math.abs(atMs - (repeatedAtMs.get(tenantId) ?? Number.NEGATIVE_INFINITY)) < REPEAT_EVERY_MS;
      if (!record || record.stateGeneration === 0 || isRecent) return;
      repeatedAtMs.set(tenantId, atMs);
      const { stateGeneration: generation, state, detail } = record;
      const statement = receiptById.get(tenantId)?.statement as string | undefined;
      if (statement) reports.add({ type: "tenant.receipt", at: atMs, tenantId, generation, statement });
      reports.add({ type: "tenant.state", at: atMs, tenantId, generation, state, detail: detail ?? undefined });
    },

    /** Records and reports in one transaction. False, and nothing written, when a newer generation has come. */
    note(note: Note): boolean {
      if (note.state?.state === "purged") emptyLog();
      return transact(() => {
        const record = get(note.tenantId);
        if (record?.generation !== note.generation) return false;
        writeNote(note, record);
        return true;
      });
    },

    /** Falls asleep, or deeper. False, and nothing written, when a newer generation has come. */
    sleep({ tenantId, generation, depth, sinceMs, wakeAtMs, atMs }: Bedtime): boolean {
      return transact(() => {
        const record = get(tenantId);
        if (record?.generation !== generation) return false;
        sleepUpsert.run(tenantId, generation, depth, sinceMs, wakeAtMs);
        writeNote({ tenantId, generation, atMs, state: { state: "asleep", detail: depth } }, record);
        return true;
      });
    },

    /** Wakes. `running`: it is there already, and that is said; else it is on its way. */
    awake(tenantId: string, { running, atMs }: { running: boolean; atMs: number }): void {
      transact(() => {
        sleepDelete.run(tenantId);
        const record = get(tenantId);
        if (!record || !running) return;
        writeNote({ tenantId, generation: record.generation, atMs, state: { state: "running" } }, record);
      });
    },

    /**
     * UID and slot of a tenant, given once and kept; null when no slot is free. A UID is never given twice. `elsewhere`:
     * its slot is of no use on this host, and is given to nobody again. `ready`: slots that are given first.
     */
    place(tenantId: string, slots: number, { elsewhere = false, ready }: PlaceOptions = {}): Place | null {
      return transact(() => {
        const record = get(tenantId);
        if (!record) return null;
        if (elsewhere && record.slot !== null) blockSlot.run(record.slot);
        const slot = elsewhere || record.slot === null ? nextSlot(takenSlots(), slots, ready) : record.slot;
        if (slot === null) return null;
        const uid = record.uid ?? (takeUid.get() as { uid: number }).uid;
        placeUpdate.run(uid, slot, tenantId);
        return { uid, slot };
      });
    },

    /** The slot that would be given next if those in `besides` were given; null when there is none. */
    freeSlot: (slots: number, besides: ReadonlySet<number>): number | null =>
      lowestFreeSlot([...new Set([...takenSlots(), ...besides])].sort(ascending), slots),
  };
}

interface PlaceOptions {
  elsewhere?: boolean;
  ready?: ReadonlySet<number>;
}
interface Place {
  uid: number;
  slot: number;
}

const ascending = (a: number, b: number) => a - b;
