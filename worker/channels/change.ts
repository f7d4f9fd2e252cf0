import { and, eq } from "drizzle-orm";
import { audit, tenantEvents, tenants } from "../../schema/db/index.ts";
import type { ChannelName } from "../../schema/protocol/index.ts";
import { changedOne, insist, type Row, type Statement } from "../db.ts";
import { decideTransition } from "../tenants/rules.ts";
import type { ChannelsContext } from "./context.ts";
import { isTold } from "./rules.ts";

export type TenantRow = Row<typeof tenants>;

/**
 * The story and the audit of a change of a channel. Where the agent itself has the channel in its configuration, its
 * desired state changes along: one generation with an outbox row, and a new start; the guard comes first, so that nobody's
 * change is lost. Where the platform speaks for it, the list is the edge's alone, and nothing starts again. Null: it is
 * being deleted.
 */
export function changeAlong(
  { db, world, hosts }: Pick<ChannelsContext, "db" | "world" | "hosts">,
  row: TenantRow,
  kind: ChannelName,
  { actor, step, detail }: { actor: string; step: string; detail: object },
): Statement[] | null {
  const transition = decideTransition(row, "secret_changed");
  if (transition.kind !== "change") return null;
  const [at, tenantId] = [world.now(), row.id];
  const isToldOfIt = isTold(row.runtime, kind);
  const { desired, generation, restarts } = isToldOfIt ? transition.to : row;
  const isUnchanged = and(eq(tenants.id, tenantId), eq(tenants.generation, row.generation));
  return [
    db
      .update(tenants)
      .set(isToldOfIt ? { desired, generation, restarts, updatedAt: at } : { updatedAt: at })
      .where(isUnchanged),
    insist(db, changedOne),
    db.insert(tenantEvents).values({ tenantId, generation, at, step: `owner.${step}`, status: "done" }),
    db.insert(audit).values({
      ...{ at, actor, action: step, subject: tenantId },
      detail: JSON.stringify({ generation, channel: kind, ...detail }),
    }),
    ...(isToldOfIt ? [hosts.announce({ hostId: row.hostId, tenantId, generation })] : []),
  ];
}
