import { eq } from "drizzle-orm";
import { tenants } from "../../schema/db/index.ts";
import { atomically } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { resolveAlert } from "./alerts.ts";
import { type DeliveryContext, tellStranger } from "./deliver.ts";
import * as store from "./store.ts";

/**
 * Destroys, by the operator's own word, an agent that a host has and this edge has never heard of. Never one that has an
 * owner here: that is the owner's to delete. Said twice, it is still gone.
 */
export async function purgeStranger(
  context: DeliveryContext,
  hostId: string,
  tenantId: string,
): Promise<Result<{ hostId: string; tenantId: string }>> {
  const { db, world } = context;
  const host = await store.findHost(db, hostId);
  const there = host && store.inventoryOf(host)?.tenants.find((it) => it.tenantId === tenantId);
  if (!host || !there) return refuse("not_found", { detail: "This host does not say that it has such an agent." });
  const known = await db.select({ id: tenants.id }).from(tenants).where(eq(tenants.id, tenantId));
  if (known.length > 0) return refuse("not_a_stranger");
  const word = { type: "tenant.purge", tenantId, generation: there.generation } as const;
  const detail = JSON.stringify({ hostId, generation: there.generation });
  const now = world.now();
  // Before it is sent: what destroys data leaves a trace even when nothing after it does.
  await store.insertAudit(db, { at: now, actor: "operator", action: "stranger.purge", subject: tenantId, detail });
  if (!(await tellStranger(context, host, word))) return refuse("host_away");
  await atomically(db, [resolveAlert(db, "stranger", tenantId, world.now())]);
  return good({ hostId, tenantId });
}
