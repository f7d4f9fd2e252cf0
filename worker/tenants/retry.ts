import { eq } from "drizzle-orm";
import { tenants } from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import { atomically, type Database, retryingGuards } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import type { HostsPort } from "./ports.ts";
import * as store from "./store.ts";

/**
 * An operator's word that a host shall try again what has failed: what is wanted stays as its owner wants it, with a
 * new generation, since a host tries nothing twice that it was told once. Said of an agent that has not failed, it is
 * refused: an operator restarts nobody's work.
 */
export function retryFailed(
  { db, world, hosts }: { db: Database; world: World; hosts: Pick<HostsPort, "announce"> },
  id: string,
  actor: string,
): Promise<Result<{ id: string; generation: number }>> {
  return retryingGuards(async () => {
    const [row] = await db.select().from(tenants).where(eq(tenants.id, id));
    if (!row || row.purgedAt !== null) return refuse("not_found");
    if (row.observed !== "failed" || row.observedGeneration < row.generation) return refuse("not_failed");
    const generation = row.generation + 1;
    const restarts = row.desired === "running" ? row.restarts + 1 : row.restarts;
    const at = world.now();
    const detail = JSON.stringify({ generation, failure: row.failure });
    await atomically(db, [
      ...store.changeWanted(db, row, { desired: row.desired, generation, restarts, updatedAt: at }),
      store.insertOwnerEvent(db, { tenantId: id, generation, at, step: "operator.retry" }),
      store.insertAudit(db, { at, actor, action: "tenant.retry", subject: id, detail }),
      hosts.announce({ hostId: row.hostId, tenantId: id, generation }),
    ]);
    return good({ id, generation });
  });
}
