import { and, asc, eq, isNull, sql } from "drizzle-orm";
import { secrets, tenantSalts, vaultWraps } from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";

export type SecretRow = typeof secrets.$inferSelect;

export function putSecret(db: Database, row: SecretRow): Statement {
  return db
    .insert(secrets)
    .values(row)
    .onConflictDoUpdate({ target: [secrets.tenantId, secrets.name], set: row });
}

export function deleteSecret(db: Database, tenantId: string, name: string): Statement {
  return db.delete(secrets).where(and(eq(secrets.tenantId, tenantId), eq(secrets.name, name)));
}

/** What may be told of them. */
export function listSecrets(db: Database, tenantId: string) {
  const { name, version, lastFour, createdAt, createdBy, deliveredAt } = secrets;
  return db
    .select({ name, version, lastFour, createdAt, createdBy, deliveredAt })
    .from(secrets)
    .where(eq(secrets.tenantId, tenantId))
    .orderBy(asc(secrets.name));
}

export function readSalt(db: Database, tenantId: string) {
  return db.select({ salt: tenantSalts.salt }).from(tenantSalts).where(eq(tenantSalts.tenantId, tenantId));
}

export function insertSalt(db: Database, row: { tenantId: string; salt: string; createdAt: number }) {
  return db.insert(tenantSalts).values(row);
}

/** In the transaction of the rows that were wrapped. */
export function countWraps(db: Database, keyVersion: number, wraps: number): Statement {
  return db
    .insert(vaultWraps)
    .values({ keyVersion, wraps })
    .onConflictDoUpdate({ target: vaultWraps.keyVersion, set: { wraps: sql`${vaultWraps.wraps} + ${wraps}` } });
}

/** Only a version that is still there: one that was written meanwhile has not been delivered. */
export function markDelivered(
  db: Database,
  { tenantId, name, version }: Pick<SecretRow, "tenantId" | "name" | "version">,
  deliveredAt: number,
): Statement {
  return db
    .update(secrets)
    .set({ deliveredAt })
    .where(and(eq(secrets.tenantId, tenantId), eq(secrets.name, name), eq(secrets.version, version)));
}

/**
 * Destroys the tenant's salt, and its rows with it. Whatever copy of the rows there is elsewhere in this database's
 * pages, nothing derives their key again. Doing it twice changes nothing, not even the time.
 */
export function eraseTenant(db: Database, tenantId: string, now: number): Statement[] {
  const newest = sql<number>`(select max(${vaultWraps.keyVersion}) from ${vaultWraps})`;
  return [
    db
      .insert(tenantSalts)
      .values({ tenantId, salt: null, createdAt: now, erasedAt: now, erasedUnder: newest })
      .onConflictDoUpdate({
        target: tenantSalts.tenantId,
        set: { salt: null, erasedAt: now, erasedUnder: newest },
        setWhere: isNull(tenantSalts.erasedAt),
      }),
    db.delete(secrets).where(eq(secrets.tenantId, tenantId)),
  ];
}
