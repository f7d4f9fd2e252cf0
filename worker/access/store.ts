import { eq } from "drizzle-orm";
import { session, tenants, tickets } from "../../schema/db/index.ts";
import { BoundedMap } from "../bounded-map.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Knowledge } from "./rules.ts";

/** Below it the cache answers alone; up to the limit it answers and looks again meanwhile; above it, it must look. */
const FRESH_MS = 2_000;
const LIMIT_MS = 4_000;

export type Later = (work: Promise<unknown>) => void;

/**
 * What is known about a host name and a session, at most four seconds old, so that a warm decision asks no database
 * and a revoked session is still refused within five. Values are shared between requests, promises never: workerd
 * forbids waiting for another request's I/O.
 */
export class Knowing {
  readonly #db: Database;
  readonly #world: World;
  readonly #known = new BoundedMap<string, { at: number; knowledge: Knowledge; refreshing: boolean }>(20_000);

  constructor(db: Database, world: World) {
    this.#db = db;
    this.#world = world;
  }

  async about(slug: string, sessionId: string | null, later: Later): Promise<Knowledge> {
    const key = `${slug} ${sessionId ?? ""}`;
    const entry = this.#known.get(key);
    const age = entry ? this.#world.now() - entry.at : Number.POSITIVE_INFINITY;
    // Below zero the clock was set back: what was asked in that future would count as fresh until it comes.
    if (!entry || age < 0 || age >= LIMIT_MS) return this.#look(key, slug, sessionId);
    if (age >= FRESH_MS && !entry.refreshing) {
      entry.refreshing = true;
      later(this.#look(key, slug, sessionId));
    }
    return entry.knowledge;
  }

  async #look(key: string, slug: string, sessionId: string | null): Promise<Knowledge> {
    // The moment of asking counts, not of the answer: a slow answer is older than it looks.
    const at = this.#world.now();
    const knowledge = await readKnowledge(this.#db, slug, sessionId);
    this.#known.set(key, { at, knowledge, refreshing: false });
    return knowledge;
  }
}

export async function readKnowledge(db: Database, slug: string, sessionId: string | null): Promise<Knowledge> {
  const rows = await db
    .select({
      id: tenants.id,
      ownerId: tenants.ownerId,
      desired: tenants.desired,
      userId: session.userId,
      expiresAt: session.expiresAt,
    })
    .from(tenants)
    .leftJoin(session, eq(session.id, sessionId ?? ""))
    .where(eq(tenants.slug, slug));
  const row = rows[0];
  if (!row) return { tenant: null, session: null };
  return {
    tenant: { id: row.id, ownerId: row.ownerId, deleted: row.desired === "deleted" },
    session: row.userId && row.expiresAt ? { userId: row.userId, expiresAtMs: row.expiresAt.getTime() } : null,
  };
}

export type TicketRow = typeof tickets.$inferSelect;

export async function saveTicket(db: Database, row: TicketRow): Promise<void> {
  await db.insert(tickets).values(row);
}

/** Whoever shows a ticket ends it, rightly or not: it is gone for the second, also when both come at once. */
export async function takeTicket(db: Database, hash: string): Promise<TicketRow | null> {
  return (await db.delete(tickets).where(eq(tickets.hash, hash)).returning())[0] ?? null;
}
