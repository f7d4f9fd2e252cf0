import { and, desc, eq, gt, isNull, ne, notExists, sql } from "drizzle-orm";
import { decodeJwt } from "jose";
import { z } from "zod";
import {
  audit,
  deletionReceipts,
  outbox,
  receiptKeys,
  secrets,
  slugLocks,
  tenants,
  tickets,
} from "../../schema/db/index.ts";
import {
  type DeletionRest,
  importSigningKey,
  keyId,
  publicPart,
  type Statement as Signed,
  signingJwk,
  signStatement,
  type TenantReceipt,
  toBase64url,
  verifyStatement,
} from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import type { CommandKeys } from "../command-keys.ts";
import { type Database, insist, type Statement } from "../db.ts";
import { eraseTenant } from "../vault/service.ts";
import { forgettingAtOnce } from "./forgetting.ts";
import { NAME_KEPT_MS, remainsOf, remainsOnLost } from "./rules.ts";

type TenantRow = typeof tenants.$inferSelect;

export interface ReceiptContext {
  db: Database;
  world: World;
  config: { dashboardOrigin: string; commandKeys: CommandKeys };
}

/**
 * The receipt, made when a host says that nothing is left, in the transaction that takes its word in. Nothing is written
 * for words that its key has not signed, that are about another agent, or about an earlier stay there: an agent may have
 * left that host and come back. What it says of the database is insisted on in that transaction: a receipt that is stored
 * is true.
 */
export async function receiptStatements(
  context: ReceiptContext,
  host: { id: string; signingKey: string },
  tenant: TenantRow,
  { statement: compact }: Pick<TenantReceipt, "statement">,
): Promise<Statement[]> {
  const hostJwk = signingJwk.parse(JSON.parse(host.signingKey));
  const hostKid = await keyId(hostJwk);
  const verified = await verifyStatement("host", compact, new Map([[hostKid, await importSigningKey(hostJwk)]]));
  if (!verified || verified.statement.iss !== host.id || verified.statement.sub !== tenant.id) return [];
  if (tenant.desired !== "deleted") return [];
  if (verified.statement.generation < (await cameWith(context.db, tenant.id))) return [];
  const firstUsedAt = context.world.now();
  const hostKey = { kid: hostKid, holder: host.id, jwk: JSON.stringify(publicPart(hostJwk)), firstUsedAt };
  return [
    ...(await signedBy(context, tenant, { host: compact, more: [] })),
    context.db.insert(receiptKeys).values(hostKey).onConflictDoNothing(),
  ];
}

/** The receipt of an agent whose server will never speak again: what is proven is what the database can show. */
export const receiptWithoutHost = (context: ReceiptContext, tenant: TenantRow, server: string): Promise<Statement[]> =>
  signedBy(context, tenant, { host: null, more: remainsOnLost(server, tenant.updatedAt) });

async function signedBy(
  { db, world, config }: ReceiptContext,
  tenant: TenantRow,
  { host, more }: { host: string | null; more: DeletionRest[] },
): Promise<Statement[]> {
  const now = world.now();
  const { kid, privateKey, published } = await edgeSigner(config, now);
  const receipt: Signed<"edge"> = {
    iss: config.dashboardOrigin,
    sub: tenant.id,
    iat: Math.floor(now / 1000),
    name: tenant.slug,
    askedAt: tenant.updatedAt,
    host,
    steps: [
      { step: "name", at: now, checked: "every visit to its name is answered like one to a name that is nobody's" },
      { step: "secrets", at: now, checked: "the database holds no sealed value of it, its volume's key included" },
      { step: "tickets", at: now, checked: "the database holds no ticket to it, and nothing is on its way to a host" },
    ],
    remains: [...more, ...remainsOf(now)],
  };
  const signed = await signStatement("edge", receipt, { kid, privateKey });
  const row = { id: toBase64url(world.random(16)), tenantId: tenant.id, ownerId: tenant.ownerId, slug: tenant.slug };
  const has = (table: typeof secrets | typeof tickets) =>
    sql`exists (select 1 from ${table} where ${table.tenantId} = ${tenant.id})`;
  return [
    db.delete(secrets).where(eq(secrets.tenantId, tenant.id)),
    db.delete(tickets).where(eq(tickets.tenantId, tenant.id)),
    db
      .delete(outbox)
      // The host that has just spoken takes its own word once more; nobody else is there to hear it.
      .where(and(eq(outbox.tenantId, tenant.id), host === null ? undefined : ne(outbox.generation, tenant.generation))),
    insist(db, sql`not ${has(secrets)} and not ${has(tickets)}`),
    db.insert(receiptKeys).values(published).onConflictDoNothing(),
    // The first one stays: a host that repeats itself says nothing new.
    db
      .insert(deletionReceipts)
      .values({ ...row, receipt: signed, createdAt: now })
      .onConflictDoNothing(),
  ];
}

/** Whether somebody has vouched for what became of an agent: no row ends without. */
export const hasReceipt = async (db: Database, tenantId: string): Promise<boolean> =>
  (await db.select().from(deletionReceipts).where(eq(deletionReceipts.tenantId, tenantId))).length > 0;

/** Of a receipt of ours, whether its host has sworn that nothing is left. */
export const isSworn = (receipt: string): boolean => decodeJwt<Signed<"edge">>(receipt).host !== null;

const arrival = z.object({ generation: z.int() });
/** The generation with which an agent came to the host where it lives; 0: it was made there. */
async function cameWith(db: Database, tenantId: string): Promise<number> {
  const isIt = and(eq(audit.subject, tenantId), eq(audit.action, "tenant.moved"));
  const [line] = await db.select().from(audit).where(isIt).orderBy(desc(audit.id)).limit(1);
  return line?.detail ? arrival.parse(JSON.parse(line.detail)).generation : 0;
}

/** The last of an agent: its rows go, its name is kept for its former owner, and that is in the audit. */
export function goneStatements(
  db: Database,
  tenant: TenantRow,
  { now, actor, detail }: { now: number; actor: string; detail: object },
): Statement[] {
  const { id: subject } = tenant;
  // Said again: it is in the books.
  if (tenant.purgedAt !== null) return [];
  return [
    // A name that nobody can choose takes the place of its own, which is free again.
    db
      .update(tenants)
      .set({ purgedAt: now, slug: subject })
      .where(and(eq(tenants.id, subject), isNull(tenants.purgedAt))),
    // What belonged to it has no further use to anybody honest.
    ...eraseTenant(db, subject, now),
    db.delete(tickets).where(eq(tickets.tenantId, subject)),
    ...forgettingAtOnce(db, [subject]),
    releaseName(db, tenant, now),
    db.insert(audit).values({ at: now, actor, action: "tenant.purged", subject, detail: JSON.stringify(detail) }),
  ];
}

/** The name is free again, for its former owner; for everybody else after a while. */
const releaseName = (db: Database, tenant: TenantRow, now: number): Statement => {
  const { slug, ownerId } = tenant;
  const until = now + NAME_KEPT_MS;
  return db
    .insert(slugLocks)
    .values({ slug, ownerId, until })
    .onConflictDoUpdate({ target: slugLocks.slug, set: { ownerId, until } });
};

/** Whether a name is kept from this person, and a statement that fails a transaction as soon as it is. */
export async function lockOf(
  db: Database,
  { slug, ownerId, now }: { slug: string; ownerId: string; now: number },
): Promise<{ isLocked: boolean; insistFree: Statement }> {
  const isAnothers = and(eq(slugLocks.slug, slug), ne(slugLocks.ownerId, ownerId), gt(slugLocks.until, now));
  const found = db.select({ slug: slugLocks.slug }).from(slugLocks).where(isAnothers);
  return { isLocked: (await found).length > 0, insistFree: insist(db, notExists(found)) };
}

/** The key that the edge signs with now, and its line among those that are published. */
export async function edgeSigner({ dashboardOrigin, commandKeys }: ReceiptContext["config"], now: number) {
  const { current, keys } = commandKeys;
  const key = keys.find((one) => one.kid === current);
  if (!key) throw new Error("the keyset has no current key");
  const { kid, ...privateJwk } = key;
  const published = { kid, holder: dashboardOrigin, jwk: JSON.stringify(publicPart(privateJwk)), firstUsedAt: now };
  return { kid, privateKey: await importSigningKey(privateJwk), published };
}
