import { and, asc, count, eq, ne, sql } from "drizzle-orm";
import { tenants } from "../../schema/db/index.ts";
import { type Database, insist, type Statement } from "../db.ts";
import { eraseTenant } from "../vault/service.ts";
import type { TenantRow } from "./rules.ts";
import * as store from "./store.ts";

/** What an account gives its agents. */
export interface Allowance {
  /** What stands on each agent, and so its sizes. */
  plan: string;
  /** How many may exist and run. */
  tenants: number;
  /** Their time is over: all of them go, with their data. */
  remove: boolean;
  /** By id, whose servers have no room for that plan: they keep theirs until there is. */
  crowded?: ReadonlySet<string>;
}

export type AllowanceStep = "hold" | "release" | "plan" | "delete";
interface Change {
  step: AllowanceStep;
  row: TenantRow;
  to: Pick<TenantRow, "desired" | "generation" | "restarts" | "plan" | "heldFrom">;
}

/**
 * What must change so that an owner's agents are what their account allows; nothing where they are. The oldest stay. A
 * held agent is stopped rather than asleep, so that no request wakes it, and what its owner wanted is kept for later.
 */
export function changesFor(
  rows: readonly TenantRow[],
  { plan: paid, tenants: may, remove, crowded }: Allowance,
): Change[] {
  return rows.flatMap((row, index): Change[] => {
    const plan = crowded?.has(row.id) ? row.plan : paid;
    if (row.desired === "deleted") return [];
    const { restarts } = row;
    const generation = row.generation + 1;
    if (remove)
      return [{ step: "delete", row, to: { desired: "deleted", generation, restarts, plan, heldFrom: null } }];
    const held = row.heldFrom !== null;
    if (index >= may && !held) {
      return [{ step: "hold", row, to: { desired: "stopped", generation, restarts, plan, heldFrom: row.desired } }];
    }
    if (index < may && held) {
      const desired = row.heldFrom as TenantRow["desired"];
      return [{ step: "release", row, to: { desired, generation, restarts, plan, heldFrom: null } }];
    }
    if (row.plan === plan) return [];
    const { desired, heldFrom } = row;
    return [{ step: "plan", row, to: { desired, generation, restarts, plan, heldFrom } }];
  });
}

/** One owner's agents that are not deleted, oldest first. */
export function agentsOf(db: Database, ownerId: string): Promise<TenantRow[]> {
  return db
    .select()
    .from(tenants)
    .where(and(eq(tenants.ownerId, ownerId), ne(tenants.desired, "deleted")))
    .orderBy(asc(tenants.createdAt), asc(tenants.id));
}

export interface Settled {
  statements: Statement[];
  /** Whose hosts should hear of it. */
  changed: string[];
}

/**
 * The statements that bring `rows`, as {@link agentsOf} read them, to what the account allows. Their transaction fails
 * when one of them changed meanwhile, or when another was made.
 */
export function settle(
  db: Database,
  { ownerId, rows, allowance }: { ownerId: string; rows: readonly TenantRow[]; allowance: Allowance },
  announce: (row: { hostId: string; tenantId: string; generation: number }) => Statement,
  now: number,
): Settled {
  const changes = changesFor(rows, allowance);
  const living = db
    .select({ n: count() })
    .from(tenants)
    .where(and(eq(tenants.ownerId, ownerId), ne(tenants.desired, "deleted")));
  const statements = changes.flatMap(({ step, row, to }) => {
    const { id: tenantId, hostId } = row;
    const { generation } = to;
    return [
      ...store.changeWanted(db, row, { ...to, updatedAt: now }),
      store.insertOwnerEvent(db, { tenantId, generation, at: now, step: `billing.${step}` }),
      store.insertAudit(db, {
        at: now,
        actor: "system",
        action: `tenant.${step}`,
        subject: tenantId,
        detail: JSON.stringify({ generation, plan: to.plan }),
      }),
      ...(to.desired === "deleted" ? eraseTenant(db, tenantId, now) : []),
      announce({ hostId, tenantId, generation }),
    ];
  });
  return {
    statements: [insist(db, sql`(${living}) = ${rows.length}`), ...statements],
    changed: changes.map(({ row }) => row.id),
  };
}
