import { and, count, eq, isNull, ne, sql } from "drizzle-orm";
import { audit, hosts, tenants } from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import { atomically, changedOne, type Database, insist, retryingGuards } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { decideHostAction, type HostAction, isSilent } from "./rules.ts";

export interface ChangedHost {
  id: string;
  state: "enrolled" | "draining" | "removed";
  /** Those that still take room there. */
  tenants: number;
}

/** Drains, reopens or removes one host. The state, its audit row and the proof that nobody is left commit together. */
export function changeHost(
  context: { db: Database; world: World },
  id: string,
  action: HostAction,
  /** Of the audit: a person's id, or `operator` for whoever holds the token. */
  actor = "operator",
): Promise<Result<ChangedHost>> {
  // A guard fails when somebody was faster: a tenant placed here, another operator. Then look again.
  return retryingGuards(() => attempt(context, id, action, actor));
}

async function attempt(
  { db, world }: { db: Database; world: World },
  id: string,
  action: HostAction,
  actor: string,
): Promise<Result<ChangedHost>> {
  const [rows, held] = await db.batch([
    db
      .select()
      .from(hosts)
      .where(and(eq(hosts.id, id), ne(hosts.state, "removed"))),
    db
      .select({ n: count() })
      .from(tenants)
      .where(and(eq(tenants.hostId, id), isNull(tenants.purgedAt))),
  ]);
  const host = rows[0];
  const tenantCount = held[0]?.n ?? 0;
  if (!host) return refuse("not_found");
  const now = world.now();
  const seen = { state: host.state, tenants: tenantCount, isSilent: isSilent(host, now) };
  const decided = decideHostAction(action, seen);
  if (!decided.ok) return refused(decided);
  const { to } = decided;
  if (to === host.state) return good({ id, state: to, tenants: tenantCount });
  await atomically(db, [
    db
      .update(hosts)
      .set({ state: to })
      .where(and(eq(hosts.id, id), eq(hosts.state, host.state), eq(hosts.reportSeq, host.reportSeq))),
    insist(db, changedOne),
    // A tenant may have been placed here since we counted; its owner must not lose the host under it.
    ...(action === "remove"
      ? [
          insist(
            db,
            sql`(select count(*) from ${tenants} where ${tenants.hostId} = ${id} and ${tenants.purgedAt} is null) = 0`,
          ),
        ]
      : []),
    db.insert(audit).values({ at: now, actor, action: `host.${action}`, subject: id, detail: null }),
  ]);
  return good({ id, state: to, tenants: tenantCount });
}

function refused(why: Exclude<ReturnType<typeof decideHostAction>, { ok: true }>) {
  switch (why.reason) {
    case "gone":
      return refuse("not_found");
    case "speaks":
      return refuse("host_not_empty", { detail: "It has spoken in the last minutes: drain it and remove it instead." });
    case "not_empty": {
      const held = why.tenants === 1 ? "1 agent is" : `${why.tenants} agents are`;
      return refuse("host_not_empty", { detail: `${held} there: drain the host and delete or move them first.` });
    }
  }
}
