import { and, eq, isNull, ne } from "drizzle-orm";
import { hosts, session, tenants, tickets, user } from "../../schema/db/index.ts";
import type { Database } from "../db.ts";
import type { IngressHashes } from "./askers.ts";
import type { Knowledge } from "./rules.ts";

/** What one query tells about a host name and a session. A suspended person has no live session. */
export async function readKnowledge(
  db: Database,
  slug: string,
  sessionId: string | null,
): Promise<Pick<Knowledge, "tenant" | "session">> {
  const rows = await db
    .select({
      id: tenants.id,
      ownerId: tenants.ownerId,
      hostId: tenants.hostId,
      desired: tenants.desired,
      userId: user.id,
      expiresAt: session.expiresAt,
    })
    .from(tenants)
    .leftJoin(session, eq(session.id, sessionId ?? ""))
    .leftJoin(user, and(eq(user.id, session.userId), isNull(user.suspendedAt)))
    .where(eq(tenants.slug, slug));
  const row = rows[0];
  if (!row) return { tenant: null, session: null };
  const { id, ownerId, hostId, desired, userId, expiresAt } = row;
  return {
    tenant: { id, ownerId, hostId, deleted: desired === "deleted" },
    session: userId && expiresAt ? { userId, expiresAtMs: expiresAt.getTime() } : null,
  };
}

/** Of every enrolled host, what its ingress proves itself by. */
export async function readIngressHashes(db: Database): Promise<IngressHashes> {
  const rows = await db.select({ id: hosts.id, hash: hosts.ingressHash }).from(hosts).where(ne(hosts.state, "removed"));
  return new Map(rows.flatMap(({ id, hash }) => (hash === null ? [] : [[id, hash]])));
}

export type TicketRow = typeof tickets.$inferSelect;

export async function saveTicket(db: Database, row: TicketRow): Promise<void> {
  await db.insert(tickets).values(row);
}

/** Whoever shows a ticket ends it, rightly or not: it is gone for the second, also when both come at once. */
export async function takeTicket(db: Database, hash: string): Promise<TicketRow | null> {
  return (await db.delete(tickets).where(eq(tickets.hash, hash)).returning())[0] ?? null;
}
