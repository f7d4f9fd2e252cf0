import { and, asc, desc, eq, gt, inArray, isNull, lte, max, ne, sql } from "drizzle-orm";
import { z } from "zod";
import {
  audit,
  channelPeople,
  channels,
  hosts,
  outbox,
  secrets,
  tenantDataWishes,
  tenantImages,
  tenantSalts,
  tenantStorage,
  tenants,
} from "../../schema/db/index.ts";
import {
  type HeldKeyset,
  type HostInventory,
  hostInventory,
  importSigningKey,
  keyId,
  signingJwk,
  tenantStorage as storageReport,
} from "../../schema/protocol/index.ts";
import { changedOne, type Database, insist, type Statement } from "../db.ts";

export type HostRow = typeof hosts.$inferSelect;
export type TenantRow = typeof tenants.$inferSelect;

export async function findHost(db: Database, id: string): Promise<HostRow | null> {
  const rows = await db
    .select()
    .from(hosts)
    .where(and(eq(hosts.id, id), ne(hosts.state, "removed")));
  return rows[0] ?? null;
}

export function listHosts(db: Database): Promise<HostRow[]> {
  return db.select().from(hosts).where(ne(hosts.state, "removed")).orderBy(asc(hosts.enrolledAt));
}

/** Every agent's name, with the host that it lives on. */
export const listNames = (db: Database) =>
  db
    .select({ slug: tenants.slug, endpoint: hosts.endpoint })
    .from(tenants)
    .innerJoin(hosts, eq(hosts.id, tenants.hostId))
    .where(isNull(tenants.purgedAt));

/** The host's own key as the envelope wants it. */
export async function signingKeysOf(host: Pick<HostRow, "signingKey">) {
  const jwk = signingJwk.parse(JSON.parse(host.signingKey));
  return new Map([[await keyId(jwk), await importSigningKey(jwk)]]);
}

/** The keys that this enrolment of the host believes, by its own signed word. */
export function rememberKeyset(db: Database, host: Pick<HostRow, "id" | "epoch">, keyset: HeldKeyset): Statement {
  return db
    .update(hosts)
    .set({ keyset: JSON.stringify(keyset) })
    .where(and(eq(hosts.id, host.id), eq(hosts.epoch, host.epoch)));
}

export function announce(
  db: Database,
  row: { hostId: string; tenantId: string | null; generation: number },
  now: number,
): Statement {
  return db.insert(outbox).values({ ...row, createdAt: now, nextAttemptAt: now });
}

/**
 * Tenants (or null: the host itself) with something due: the first of every host, then the second of every host, and
 * so on. A host that never answers has much due, and must not stand before all others with it.
 */
export function dueDeliveries(db: Database, now: number, limit: number) {
  const { hostId, tenantId, nextAttemptAt, deliveredAt } = outbox;
  return db
    .select({ hostId, tenantId })
    .from(outbox)
    .where(and(isNull(deliveredAt), lte(nextAttemptAt, now)))
    .groupBy(hostId, tenantId)
    .orderBy(sql`row_number() over (partition by ${hostId} order by min(${nextAttemptAt}))`)
    .limit(limit);
}

export function undeliveredOf(db: Database, { hostId, dueAt }: { hostId: string; dueAt: number }, limit: number) {
  const { deliveredAt, attempts, nextAttemptAt, tenantId } = outbox;
  return db
    .selectDistinct({ hostId: outbox.hostId, tenantId })
    .from(outbox)
    .where(and(isNull(deliveredAt), eq(outbox.hostId, hostId), gt(attempts, 0), lte(nextAttemptAt, dueAt)))
    .limit(limit);
}

/** One word about a host in the outbox is enough, however often it is missed. */
export async function announceUnlessWaiting(
  db: Database,
  { hostId, generation }: { hostId: string; generation: number },
  now: number,
): Promise<void> {
  const waiting = await db
    .select({ id: outbox.id })
    .from(outbox)
    .where(and(isAbout(hostId, null), isNull(outbox.deliveredAt)))
    .limit(1);
  if (waiting.length === 0) await announce(db, { hostId, tenantId: null, generation }, now);
}

const isAbout = (hostId: string, tenantId: string | null) =>
  and(eq(outbox.hostId, hostId), tenantId === null ? isNull(outbox.tenantId) : eq(outbox.tenantId, tenantId));

export function markDelivered(
  db: Database,
  about: { hostId: string; tenantId: string | null; upTo: number },
  now: number,
): Statement {
  return db
    .update(outbox)
    .set({ deliveredAt: now, lastError: null })
    .where(and(isAbout(about.hostId, about.tenantId), lte(outbox.generation, about.upTo), isNull(outbox.deliveredAt)));
}

export function markFailed(
  db: Database,
  about: { hostId: string; tenantId: string | null },
  { error, nextAttemptAt }: { error: string; nextAttemptAt: number },
): Statement {
  return db
    .update(outbox)
    .set({ attempts: sql`${outbox.attempts} + 1`, lastError: error, nextAttemptAt })
    .where(and(isAbout(about.hostId, about.tenantId), isNull(outbox.deliveredAt)));
}

export function attemptsOf(db: Database, about: { hostId: string; tenantId: string | null }) {
  return db
    .select({ attempts: sql<number>`coalesce(max(${outbox.attempts}), 0)` })
    .from(outbox)
    .where(and(isAbout(about.hostId, about.tenantId), isNull(outbox.deliveredAt)));
}

export function insertAudit(db: Database, row: Omit<typeof audit.$inferInsert, "id">): Statement {
  return db.insert(audit).values(row);
}

/** When each of these strangers was last written down, by `ID ACTION`. */
export async function lastDrifts(db: Database, ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .select({ subject: audit.subject, action: audit.action, at: max(audit.at).mapWith(Number) })
    .from(audit)
    .where(and(inArray(audit.subject, [...ids]), inArray(audit.action, ["drift.stranger", "drift.halted"])))
    .groupBy(audit.subject, audit.action);
  return new Map(rows.map(({ subject, action, at }) => [`${subject} ${action}`, at]));
}

/** Everything that a command about one tenant is built from, read at one moment. */
export async function readTenantForDelivery(db: Database, tenantId: string) {
  const [tenantRows, secretRows, salts, wishes, channelRows, images] = await db.batch([
    db.select().from(tenants).where(eq(tenants.id, tenantId)),
    db.select().from(secrets).where(eq(secrets.tenantId, tenantId)),
    db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, tenantId)),
    db.select().from(tenantDataWishes).where(eq(tenantDataWishes.tenantId, tenantId)),
    db
      .select({ id: channels.id, kind: channels.kind, senderId: channelPeople.senderId })
      .from(channels)
      .leftJoin(channelPeople, eq(channelPeople.channelId, channels.id))
      .where(eq(channels.tenantId, tenantId))
      .orderBy(asc(channelPeople.addedAt), asc(channelPeople.senderId)),
    db.select().from(tenantImages).where(eq(tenantImages.tenantId, tenantId)),
  ]);
  const [tenant, salt, image] = [tenantRows[0], salts[0]?.salt ?? null, images[0]?.image ?? null];
  return tenant ? { tenant, secrets: secretRows, salt, image, wishes: wishes[0] ?? null, channels: channelRows } : null;
}

export async function tenantsOnHost(db: Database, hostId: string, ids: readonly string[]): Promise<TenantRow[]> {
  return (await tenantsAnywhere(db, ids)).filter((row) => row.hostId === hostId);
}

export async function tenantsAnywhere(db: Database, ids: readonly string[]): Promise<TenantRow[]> {
  if (ids.length === 0) return [];
  return db
    .select()
    .from(tenants)
    .where(inArray(tenants.id, [...ids]));
}

const departureDetail = z.object({ restore: z.number(), lost: z.boolean() });

/** What decides about an agent's data on a host that it has left. The audit's line is the only proof that it ever did. */
export async function departureOf(db: Database, tenantId: string, hostId: string) {
  const isIt = and(
    eq(audit.subject, tenantId),
    eq(audit.action, "tenant.moved"),
    sql`json_extract(${audit.detail}, '$.from') = ${hostId}`,
  );
  const [lines, stored] = await db.batch([
    db.select().from(audit).where(isIt).orderBy(desc(audit.id)).limit(1),
    db.select({ restored: tenantStorage.restored }).from(tenantStorage).where(eq(tenantStorage.tenantId, tenantId)),
  ]);
  const restored = storageReport.shape.restored.parse(JSON.parse(stored[0]?.restored ?? "null") ?? undefined) ?? null;
  return { departure: departureDetail.safeParse(JSON.parse(lines[0]?.detail ?? "null")).data ?? null, restored };
}

export function raiseGeneration(
  db: Database,
  tenant: Pick<TenantRow, "id" | "generation">,
  generation: number,
  now: number,
): Statement[] {
  return [
    db
      .update(tenants)
      .set({ generation, updatedAt: now })
      .where(and(eq(tenants.id, tenant.id), eq(tenants.generation, tenant.generation))),
    insist(db, changedOne),
  ];
}

/** What the host last said about itself, or null. Rows were checked when they came in. */
export function inventoryOf(host: Pick<HostRow, "inventory">): HostInventory | null {
  return host.inventory === null ? null : (hostInventory.safeParse(JSON.parse(host.inventory)).data ?? null);
}
