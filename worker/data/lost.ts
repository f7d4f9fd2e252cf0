import { and, eq, isNull, sql } from "drizzle-orm";
import { hosts, tenants } from "../../schema/db/index.ts";
import { atomically, insist, isGuardFailure } from "../db.ts";
import { describeError } from "../http.ts";
import { goneStatements, type ReceiptContext, receiptWithoutHost } from "./receipts.ts";

/**
 * Ends the deletions that waited for a server which the operator has given up: no word of it will ever be believed again.
 * Their receipts say what is proven without it, and what is not.
 */
export async function endWithoutHosts(context: ReceiptContext): Promise<void> {
  const { db, world } = context;
  const waiting = await db
    .select({ tenant: tenants, host: hosts })
    .from(tenants)
    .innerJoin(hosts, eq(hosts.id, tenants.hostId))
    .where(and(eq(hosts.state, "removed"), eq(tenants.desired, "deleted"), isNull(tenants.purgedAt)));
  for (const { tenant, host } of waiting) {
    try {
      const gone = { now: world.now(), actor: "system", detail: { lost: host.id } };
      await atomically(db, [
        insist(db, sql`(select ${tenants.purgedAt} is null from ${tenants} where ${tenants.id} = ${tenant.id})`),
        ...goneStatements(db, tenant, gone),
        ...(await receiptWithoutHost(context, tenant, host.name)),
      ]);
    } catch (error) {
      // Another turn was faster. One that fails otherwise must not stand before the others.
      if (isGuardFailure(error)) continue;
      console.error(JSON.stringify({ event: "lost_not_ended", tenant: tenant.id, error: describeError(error) }));
    }
  }
}
