import { and, inArray, isNotNull, lt, type SQLWrapper } from "drizzle-orm";
import { channels, outbox, slugLocks, tenants } from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";
import { HOLDINGS } from "./holdings.ts";
import { FORGET_AFTER_MS, LINE_KEPT_MS } from "./rules.ts";

const AFTER_MS = { at_once: 0, soon: FORGET_AFTER_MS, last: LINE_KEPT_MS } as const;

/** Their ids, or what selects them. */
type Agents = string[] | SQLWrapper;

/** The rows that go after a deletion in this time, of these agents and their channels. */
function rowsOfAgents(db: Database, when: keyof typeof AFTER_MS, agents: Agents): Statement[] {
  const theirs = db.select({ id: channels.id }).from(channels).where(inArray(channels.tenantId, agents));
  return HOLDINGS.flatMap(({ table, whose, goes }): Statement[] => {
    if (goes !== when) return [];
    switch (whose.by) {
      case "tenant":
        return [db.delete(table).where(inArray(whose.column, agents))];
      case "channel":
        return [db.delete(table).where(inArray(whose.column, theirs))];
      default:
        return [];
    }
  });
}

/** What nobody needs once these agents are proven to be gone. */
export const forgettingAtOnce = (db: Database, ids: string[]): Statement[] => rowsOfAgents(db, "at_once", ids);

/** What receipts have promised to forget, and is due: every row of the agents that are proven to be gone. */
export function forgetting(db: Database, now: number): Statement[] {
  const goneFor = (ms: number) =>
    db
      .select({ id: tenants.id })
      .from(tenants)
      .where(and(isNotNull(tenants.purgedAt), lt(tenants.purgedAt, now - ms)));
  const rows = (Object.keys(AFTER_MS) as (keyof typeof AFTER_MS)[]).flatMap((when) =>
    rowsOfAgents(db, when, goneFor(AFTER_MS[when])),
  );
  return [
    ...rows,
    db.delete(outbox).where(and(inArray(outbox.tenantId, goneFor(FORGET_AFTER_MS)), isNotNull(outbox.deliveredAt))),
    db.delete(slugLocks).where(lt(slugLocks.until, now)),
    db.delete(tenants).where(lt(tenants.purgedAt, now - LINE_KEPT_MS)),
  ];
}
