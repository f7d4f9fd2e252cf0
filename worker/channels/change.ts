import { and, eq } from "drizzle-orm";
import { audit, tenantEvents, tenants } from "../../schema/db/index.ts";
import { changedOne, insist, type Row, type Statement } from "../db.ts";
import { decideTransition } from "../tenants/rules.ts";
import type { ChannelsContext } from "./context.ts";

export type TenantRow = Row<typeof tenants>;

/**
 * The agent's desired state changes along with its channels: who is heard stands in its configuration. One generation,
 * with event, audit and outbox row; the guard comes first, so that nobody's change is lost. Null: it is being deleted.
 */
export function changeAlong(
  { db, world, hosts }: Pick<ChannelsContext, "db" | "world" | "hosts">,
  row: TenantRow,
  { actor, step, detail }: { actor: string; step: string; detail: object },
): Statement[] | null {
  const transition = decideTransition(row, "secret_changed");
  if (transition.kind !== "change") return null;
  const { desired, generation, restarts } = transition.to;
  const [at, tenantId] = [world.now(), row.id];
  return [
    db
      .update(tenants)
      .set({ desired, generation, restarts, updatedAt: at })
      .where(and(eq(tenants.id, tenantId), eq(tenants.generation, row.generation))),
    insist(db, changedOne),
    db.insert(tenantEvents).values({ tenantId, generation, at, step: `owner.${step}`, status: "done" }),
    db
      .insert(audit)
      .values({ at, actor, action: step, subject: tenantId, detail: JSON.stringify({ generation, ...detail }) }),
    hosts.announce({ hostId: row.hostId, tenantId, generation }),
  ];
}
