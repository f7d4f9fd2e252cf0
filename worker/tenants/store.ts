import { and, asc, count, desc, eq, gt, isNull, sql } from "drizzle-orm";
import {
  audit,
  hosts,
  tenantDataWishes,
  tenantEvents,
  tenantImages,
  tenantStatus,
  tenantStorage,
  tenants,
} from "../../schema/db/index.ts";
import { changedOne, type Database, insist, type Statement } from "../db.ts";
import type { TenantRow } from "./rules.ts";
import type { Waiting } from "./undo.ts";

/** The images of its host, as JSON text, ride along: the rest of the inventory is long and not the owner's business. */
const withImages = {
  tenant: tenants,
  images: sql<string | null>`json_extract(${hosts.inventory}, '$.images')`,
  /** What its host last said of how it is, as JSON text. */
  status: tenantStatus.report,
  usedBytes: tenantStorage.usedBytes,
  limitBytes: tenantStorage.limitBytes,
  wishes: tenantDataWishes,
  runs: tenantImages,
};
export interface TenantRecord {
  tenant: TenantRow;
  images: string | null;
  status: string | null;
  /** Of ciphertext; null before its host has said anything about it. */
  usedBytes: number | null;
  limitBytes: number | null;
  /** Its deletion, while that can be undone. */
  waiting: Waiting | null;
  isMoving: boolean;
  /** What it runs from, where that is not what its host makes. */
  runs: typeof tenantImages.$inferSelect | null;
}

function recordOf({ wishes, ...row }: Omit<TenantRecord, "waiting" | "isMoving"> & { wishes: Wishes | null }) {
  const { deleteAt = null, deleteFrom = null, moveTo = null } = wishes ?? {};
  const waiting = deleteAt === null || deleteFrom === null ? null : { deleteAt, deleteFrom };
  return { ...row, waiting, isMoving: moveTo !== null };
}
type Wishes = typeof tenantDataWishes.$inferSelect;

export async function listOwned(db: Database, ownerId: string): Promise<TenantRecord[]> {
  const rows = await db
    .select(withImages)
    .from(tenants)
    .leftJoin(hosts, eq(hosts.id, tenants.hostId))
    .leftJoin(tenantStorage, eq(tenantStorage.tenantId, tenants.id))
    .leftJoin(tenantStatus, eq(tenantStatus.tenantId, tenants.id))
    .leftJoin(tenantDataWishes, eq(tenantDataWishes.tenantId, tenants.id))
    .leftJoin(tenantImages, eq(tenantImages.tenantId, tenants.id))
    .where(and(eq(tenants.ownerId, ownerId), isNull(tenants.purgedAt)))
    .orderBy(desc(tenants.createdAt));
  return rows.map(recordOf);
}

/** Somebody else's agent is not found, like one that never was: an id must not tell whether it exists. */
export async function findOwned(db: Database, ownerId: string, id: string): Promise<TenantRecord | null> {
  const rows = await db
    .select(withImages)
    .from(tenants)
    .leftJoin(hosts, eq(hosts.id, tenants.hostId))
    .leftJoin(tenantStorage, eq(tenantStorage.tenantId, tenants.id))
    .leftJoin(tenantStatus, eq(tenantStatus.tenantId, tenants.id))
    .leftJoin(tenantDataWishes, eq(tenantDataWishes.tenantId, tenants.id))
    .leftJoin(tenantImages, eq(tenantImages.tenantId, tenants.id))
    .where(and(eq(tenants.id, id), eq(tenants.ownerId, ownerId)));
  return rows[0] ? recordOf(rows[0]) : null;
}

/** The last reports of its host on itself, as JSON. */
export async function postureOf(
  db: Database,
  tenantId: string,
): Promise<{ posture: string | null; inventory: string | null } | undefined> {
  const { posture, inventory } = hosts;
  const rows = await db
    .select({ posture, inventory })
    .from(tenants)
    .innerJoin(hosts, eq(hosts.id, tenants.hostId))
    .where(eq(tenants.id, tenantId));
  return rows[0];
}

const living = sql<number>`count(*) filter (where ${tenants.desired} <> 'deleted')`;
const ofOwner = (ownerId: string) => and(eq(tenants.ownerId, ownerId), isNull(tenants.purgedAt));

/** `all`: with those whose deletion has not ended, which hold room and name until then. */
export async function countOwned(db: Database, ownerId: string): Promise<{ living: number; all: number }> {
  const rows = await db.select({ living, all: count() }).from(tenants).where(ofOwner(ownerId));
  return rows[0] ?? { living: 0, all: 0 };
}

export async function isNameTaken(db: Database, slug: string): Promise<boolean> {
  return (await db.select({ id: tenants.id }).from(tenants).where(eq(tenants.slug, slug))).length > 0;
}

export function eventsAfter(db: Database, tenantId: string, after: number, limit: number) {
  return db
    .select()
    .from(tenantEvents)
    .where(and(eq(tenantEvents.tenantId, tenantId), gt(tenantEvents.id, after)))
    .orderBy(asc(tenantEvents.id))
    .limit(limit);
}

/** The last ones, oldest first. */
export async function newestEvents(db: Database, tenantId: string, limit: number) {
  const rows = await db
    .select()
    .from(tenantEvents)
    .where(eq(tenantEvents.tenantId, tenantId))
    .orderBy(desc(tenantEvents.id))
    .limit(limit);
  return rows.reverse();
}

export function insertTenant(db: Database, row: TenantRow): Statement {
  return db.insert(tenants).values(row);
}

export function insistOwnerHasRoom(db: Database, ownerId: string, max: { living: number; all: number }): Statement {
  const isWithin = sql`${living} <= ${max.living} and count(*) <= ${max.all}`;
  return insist(db, sql`(select ${isWithin} from ${tenants} where ${ofOwner(ownerId)})`);
}

/** Changes what is wanted, provided that nobody was faster: the generation is still the one that was read. */
export function changeWanted(
  db: Database,
  row: Pick<TenantRow, "id" | "generation">,
  to: Pick<TenantRow, "desired" | "generation" | "restarts" | "updatedAt"> &
    Partial<Pick<TenantRow, "plan" | "heldFrom">>,
): Statement[] {
  return [
    db
      .update(tenants)
      .set(to)
      .where(and(eq(tenants.id, row.id), eq(tenants.generation, row.generation))),
    insist(db, changedOne),
  ];
}

export function insertOwnerEvent(
  db: Database,
  event: { tenantId: string; generation: number; at: number; step: string; detail?: string },
): Statement {
  return db.insert(tenantEvents).values({ ...event, status: "done" });
}

export function insertAudit(db: Database, row: Omit<typeof audit.$inferInsert, "id">): Statement {
  return db.insert(audit).values(row);
}
