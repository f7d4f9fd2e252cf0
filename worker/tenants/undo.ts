import { and, eq, isNotNull, lte, ne } from "drizzle-orm";
import { tenantDataWishes, tenants } from "../../schema/db/index.ts";
import { atomically, type Database, isGuardFailure, type Statement } from "../db.ts";
import { describeError } from "../http.ts";
import { eraseTenant } from "../vault/service.ts";
import type { HostsPort } from "./ports.ts";
import * as store from "./store.ts";

/** A deletion that can still be taken back: the agent is stopped and kept, until then. */
export interface Waiting {
  /** Milliseconds since the epoch; its chain begins then. */
  deleteAt: number;
  /** What was wanted of it before, and is again when the deletion is undone. */
  deleteFrom: "running" | "suspended" | "stopped";
}

/** Notes that a deletion waits, or with null that it does no more. Either ends a move: nothing goes on behind it. */
export function setWaiting(db: Database, tenantId: string, waiting: Waiting | null): Statement {
  const set = { ...(waiting ?? { deleteAt: null, deleteFrom: null }), moveTo: null, moveAskedAt: null };
  return db
    .insert(tenantDataWishes)
    .values({ tenantId, ...set })
    .onConflictDoUpdate({ target: tenantDataWishes.tenantId, set });
}

type TenantRow = typeof tenants.$inferSelect;

/** What begins the deletion of one agent, whoever wanted it: nothing of it can be read from here on. */
export function deletion(
  db: Database,
  row: TenantRow,
  { actor, step, now }: { actor: string; step: string; now: number },
  announce: HostsPort["announce"],
): Statement[] {
  const [tenantId, generation] = [row.id, row.generation + 1];
  const to = { desired: "deleted", heldFrom: null, generation, restarts: row.restarts, updatedAt: now } as const;
  const detail = JSON.stringify({ generation });
  return [
    ...store.changeWanted(db, row, to),
    setWaiting(db, tenantId, null),
    store.insertOwnerEvent(db, { tenantId, generation, at: now, step }),
    store.insertAudit(db, { at: now, actor, action: "tenant.delete", subject: tenantId, detail }),
    ...eraseTenant(db, tenantId, now),
    announce({ hostId: row.hostId, tenantId, generation }),
  ];
}

/** Begins every deletion whose time to be undone is over. Whoever undoes one in that moment is faster, or too late. */
export async function beginDueDeletions(
  db: Database,
  hosts: Pick<HostsPort, "announce" | "deliver">,
  now: number,
): Promise<void> {
  const due = await db
    .select({ row: tenants })
    .from(tenantDataWishes)
    .innerJoin(tenants, eq(tenants.id, tenantDataWishes.tenantId))
    .where(
      and(isNotNull(tenantDataWishes.deleteAt), lte(tenantDataWishes.deleteAt, now), ne(tenants.desired, "deleted")),
    );
  for (const { row } of due) {
    try {
      await atomically(db, deletion(db, row, { actor: "system", step: "undo.over", now }, hosts.announce));
      await hosts.deliver(row.id);
    } catch (error) {
      // It was changed since it was read: the next turn looks again. One that fails must not stand before the others.
      if (!isGuardFailure(error))
        console.error(JSON.stringify({ event: "deletion_not_begun", tenant: row.id, error: describeError(error) }));
    }
  }
}
