import { eq } from "drizzle-orm";
import { tenants } from "../../schema/db/index.ts";
import { atomically } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { raiseAlert, resolveAlert } from "./alerts.ts";
import { type DeliveryContext, tellStranger } from "./deliver.ts";
import { decideLeftBehind, wasAway } from "./rules.ts";
import * as store from "./store.ts";

/**
 * Destroys, by the operator's own word, an agent that a host has and this edge has never heard of, or what one has left
 * behind there. Never one that lives there: that is its owner's to delete. Said twice, it is still gone.
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
  const [known] = await db.select().from(tenants).where(eq(tenants.id, tenantId));
  if (known?.hostId === hostId) return refuse("not_a_stranger");
  // Where it lives on, its copies in object storage are its own.
  const moved = known !== undefined && known.desired !== "deleted";
  const generation = Math.max(there.generation, known?.generation ?? 0);
  const word = { type: "tenant.purge", tenantId, generation, ...(moved ? { moved } : {}) } as const;
  const detail = JSON.stringify({ hostId, generation: there.generation });
  const now = world.now();
  // Before it is sent: what destroys data leaves a trace even when nothing after it does.
  await store.insertAudit(db, { at: now, actor: "operator", action: "stranger.purge", subject: tenantId, detail });
  if (!(await tellStranger(context, host, word))) return refuse("host_away");
  const kinds = ["stranger", "left_behind"] as const;
  await atomically(
    db,
    kinds.map((kind) => resolveAlert(db, kind, tenantId, world.now())),
  );
  return good({ hostId, tenantId });
}

/** An agent of this edge that lives on another host by now: never at work in two places, gone here when nothing is lost. */
export async function clearLeftBehind(
  context: DeliveryContext,
  host: store.HostRow,
  { row, generation: have, state }: { row: store.TenantRow; generation: number; state: string },
): Promise<void> {
  const { db, world } = context;
  const now = world.now();
  // What it said is old, and every call to it waits in vain.
  if (wasAway(host.lastReportAt, now)) return;
  const word = { tenantId: row.id, generation: Math.max(have, row.generation) };
  const facts = await store.departureOf(db, row.id, host.id);
  const step = decideLeftBehind({ isDeleted: row.desired === "deleted", ...facts });
  switch (step) {
    case "purge":
    case "purge_moved": {
      // Where it lives on, its copies in object storage are its own.
      const moved = step === "purge_moved" ? ({ moved: true } as const) : {};
      if (await tellStranger(context, host, { type: "tenant.purge", ...word, ...moved }))
        await atomically(db, [resolveAlert(db, "left_behind", row.id, now)]);
      return;
    }
    case "ask": {
      const detail = `${host.name} has what this agent was before it went to another server. It is kept: \`host stranger ${host.name} ${row.id} --purge\` when its owner misses nothing.`;
      await raiseAlert(db, { kind: "left_behind", subject: row.id, detail }, now);
      break;
    }
    case "wait":
      break;
  }
  if (state !== "stopped") await tellStranger(context, host, { type: "tenant.halt", ...word });
}
