import { and, inArray, isNotNull, lt } from "drizzle-orm";
import { channels, outbox, slugLocks, tenants } from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";
import { HOLDINGS } from "./holdings.ts";
import { FORGET_AFTER_MS, LINE_KEPT_MS } from "./rules.ts";

const AFTER_MS = { at_once: 0, soon: FORGET_AFTER_MS, last: LINE_KEPT_MS } as const;

/** What receipts have promised to forget, and is due: every row of the agents that are proven to be gone. */
export function forgetting(db: Database, now: number): Statement[] {
  const goneFor = (ms: number) =>
    db
      .select({ id: tenants.id })
      .from(tenants)
      .where(and(isNotNull(tenants.purgedAt), lt(tenants.purgedAt, now - ms)));
  const rows = HOLDINGS.flatMap(({ table, whose, goes }): Statement[] => {
    if (typeof goes !== "string" || (whose.by !== "tenant" && whose.by !== "channel")) return [];
    const gone = goneFor(AFTER_MS[goes]);
    const ids =
      whose.by === "tenant"
        ? gone
        : db.select({ id: channels.id }).from(channels).where(inArray(channels.tenantId, gone));
    return [db.delete(table).where(inArray(whose.column, ids))];
  });
  return [
    ...rows,
    db.delete(outbox).where(and(inArray(outbox.tenantId, goneFor(FORGET_AFTER_MS)), isNotNull(outbox.deliveredAt))),
    db.delete(slugLocks).where(lt(slugLocks.until, now)),
    db.delete(tenants).where(lt(tenants.purgedAt, now - LINE_KEPT_MS)),
  ];
}
