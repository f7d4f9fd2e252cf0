import { and, count, desc, eq, gte, isNull, lt, lte, type SQL, sql } from "drizzle-orm";
import { audit, billingAccounts, hosts, mails, sweeps, tenants, user } from "../../schema/db/index.ts";
import type { Database } from "../db.ts";
import { type AuditSearch, auditTimes } from "./rules.ts";

const SHOWN = 100;

/** How many agents are in each state of what is wanted and what was said; the tenants' room has one word for each. */
export const countAgents = (db: Database) =>
  db
    .select({
      desired: tenants.desired,
      observed: tenants.observed,
      isHeard: sql<number>`${tenants.observedGeneration} >= ${tenants.generation}`.as("is_heard"),
      n: count(),
    })
    .from(tenants)
    .where(isNull(tenants.purgedAt))
    .groupBy(tenants.desired, tenants.observed, sql`is_heard`);

export const failedAgents = (db: Database) =>
  db
    .select({
      id: tenants.id,
      name: tenants.slug,
      owner: user.email,
      host: hosts.name,
      wanted: tenants.desired,
      failure: tenants.failure,
      since: tenants.updatedAt,
    })
    .from(tenants)
    .leftJoin(user, eq(user.id, tenants.ownerId))
    .leftJoin(hosts, eq(hosts.id, tenants.hostId))
    .where(
      and(
        isNull(tenants.purgedAt),
        eq(tenants.observed, "failed"),
        sql`${tenants.observedGeneration} >= ${tenants.generation}`,
      ),
    )
    .orderBy(desc(tenants.updatedAt))
    .limit(SHOWN);

/** Accounts by plan and standing, counted by the payment provider's word as it was last fetched. */
export const countAccounts = (db: Database, now: number) => {
  const standing = sql<"trial" | "none" | "paid" | "leaving" | "owing" | "ended">`case
    when ${billingAccounts.standing} = 'paid' and ${billingAccounts.cancelsAt} is not null then 'leaving'
    when ${billingAccounts.standing} is not null then ${billingAccounts.standing}
    when ${billingAccounts.trialEndsAt} > ${now} then 'trial' else 'none' end`.as("standing_now");
  return db
    .select({ plan: billingAccounts.plan, standing, n: count() })
    .from(billingAccounts)
    .groupBy(billingAccounts.plan, sql`standing_now`);
};

export const countPeople = (db: Database) => db.select({ n: count() }).from(user).where(eq(user.emailVerified, true));
export const countMails = (db: Database) => db.select({ n: count() }).from(mails);

export const newestSweeps = (db: Database, limit: number) =>
  db.select().from(sweeps).orderBy(desc(sweeps.id)).limit(limit);

/** Ids are what the audit knows people by; operators know their addresses. */
async function idOf(db: Database, text: string): Promise<string> {
  if (!text.includes("@")) return text;
  const rows = await db.select({ id: user.id }).from(user).where(eq(user.email, text.toLowerCase()));
  return rows[0]?.id ?? text;
}

async function matching(db: Database, search: AuditSearch): Promise<SQL | undefined> {
  const { who, what, about } = search;
  const [actor, subject] = await Promise.all([idOf(db, who), idOf(db, about)]);
  const { from, before } = auditTimes(search);
  return and(
    actor ? eq(audit.actor, actor) : undefined,
    // A prefix as a range, so that the index serves it: `tenant` finds `tenant.create`.
    what ? and(gte(audit.action, what), lt(audit.action, `${what}\uffff`)) : undefined,
    subject ? eq(audit.subject, subject) : undefined,
    from === null ? undefined : gte(audit.at, from),
    before === null ? undefined : lt(audit.at, before),
  );
}

/** A reader of what matches, newest first, in steps: `below` is the last id of the step before. */
export async function auditReader(db: Database, search: AuditSearch) {
  const matches = await matching(db, search);
  return (below: number | null, limit: number) =>
    db
      .select()
      .from(audit)
      .where(and(matches, below === null ? undefined : lte(audit.id, below - 1)))
      .orderBy(desc(audit.id))
      .limit(limit);
}

export const writeAudit = (db: Database, row: Omit<typeof audit.$inferInsert, "id">) => db.insert(audit).values(row);
