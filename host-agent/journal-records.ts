import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { ObservedState, TenantSpec } from "../schema/protocol/index.ts";
import type { Goal } from "./journal-rules.ts";

export interface TenantRecord {
  id: string;
  generation: number;
  bodyHash: string;
  goal: Goal;
  /** Null once purged, and for a tenant of which only a purge was ever heard. */
  spec: TenantSpec | null;
  secretsJwe: string | null;
  restarts: number;
  uid: number | null;
  slot: number | null;
  /** What was last reported, and about which generation. */
  state: ObservedState;
  stateGeneration: number;
  detail: string | null;
  /** Null while it is awake. Of this generation: a newer word wakes. */
  asleep: Depth | null;
  asleepSinceMs: number | null;
  /** When it has to be awake again by itself. */
  wakeAtMs: number | null;
}

/** How deep it sleeps: frozen with its memory, or nothing left of it but its volume. */
export type Depth = "paused" | "stopped";

const COLUMNS = `id, tenants.generation, body_hash AS bodyHash, goal, spec, secrets_jwe AS secretsJwe, restarts, uid, slot, state,
  state_generation AS stateGeneration, detail, asleep.depth AS asleep, asleep.since_ms AS asleepSinceMs,
  asleep.wake_at_ms AS wakeAtMs
  FROM tenants LEFT JOIN sleeping AS asleep ON asleep.tenant_id = id AND asleep.generation = tenants.generation`;

/** How tenants are read, and how what was read is forgotten. */
export function tenantRecords(db: DatabaseSync) {
  const byId = db.prepare(`SELECT ${COLUMNS} WHERE id = ?`);
  const present = db.prepare(`SELECT ${COLUMNS} WHERE state <> 'purged' ORDER BY id`);
  /** A host with hundreds of sleepers looks at each of them every few seconds, and nothing about them changes. */
  let known: readonly Readonly<TenantRecord>[] | null = null;
  return {
    get(id: string): TenantRecord | undefined {
      const row = byId.get(id);
      return row && toRecord(row);
    },

    /** All that are not purged. Not within a transaction: what is read there may never come true. */
    all(): readonly Readonly<TenantRecord>[] {
      known ??= present.all().map(toRecord);
      return known;
    },

    /** A statement that changes them: every one of them must come from here. */
    changing(sql: string): { run(...values: SQLInputValue[]): void } {
      const statement = db.prepare(sql);
      return {
        run(...values) {
          known = null;
          statement.run(...values);
        },
      };
    },
  };
}

function toRecord(row: Record<string, unknown>): TenantRecord {
  return { ...row, spec: row.spec === null ? null : JSON.parse(row.spec as string) } as unknown as TenantRecord;
}
