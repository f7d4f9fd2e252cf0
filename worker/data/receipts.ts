import { and, eq, gt, ne, notExists, sql } from "drizzle-orm";
import type { tenants } from "../../schema/db/index.ts";
import { deletionReceipts, outbox, receiptKeys, secrets, slugLocks, tickets } from "../../schema/db/index.ts";
import {
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
import { NAME_KEPT_MS, remainsOf } from "./rules.ts";

type TenantRow = typeof tenants.$inferSelect;

export interface ReceiptContext {
  db: Database;
  world: World;
  config: { dashboardOrigin: string; commandKeys: CommandKeys };
}

/**
 * The receipt, made when a host says that nothing is left, in the transaction that takes its word in. Nothing is written
 * for words that its key has not signed, or that are about another agent. What it says of the database is insisted on
 * in that transaction: a receipt that is stored is true.
 */
export async function receiptStatements(
  { db, world, config }: ReceiptContext,
  host: { id: string; signingKey: string },
  tenant: TenantRow,
  { statement: compact }: Pick<TenantReceipt, "statement">,
): Promise<Statement[]> {
  const hostJwk = signingJwk.parse(JSON.parse(host.signingKey));
  const hostKid = await keyId(hostJwk);
  const verified = await verifyStatement("host", compact, new Map([[hostKid, await importSigningKey(hostJwk)]]));
  if (!verified || verified.statement.iss !== host.id || verified.statement.sub !== tenant.id) return [];
  if (tenant.desired !== "deleted") return [];

  const { kid, privateKey, published } = await edgeSigner(config, world.now());
  const now = world.now();
  const receipt: Signed<"edge"> = {
    iss: config.dashboardOrigin,
    sub: tenant.id,
    iat: Math.floor(now / 1000),
    name: tenant.slug,
    askedAt: tenant.updatedAt,
    host: compact,
    steps: [
      { step: "name", at: now, checked: "every visit to its name is answered like one to a name that is nobody's" },
      { step: "secrets", at: now, checked: "the database holds no sealed value of it, its volume's key included" },
      { step: "tickets", at: now, checked: "the database holds no ticket to it, and nothing is on its way to a host" },
    ],
    remains: remainsOf(now),
  };
  const signed = await signStatement("edge", receipt, { kid, privateKey });
  const keys = [
    published,
    { kid: hostKid, holder: host.id, jwk: JSON.stringify(publicPart(hostJwk)), firstUsedAt: now },
  ];
  const row = { id: toBase64url(world.random(16)), tenantId: tenant.id, ownerId: tenant.ownerId, slug: tenant.slug };
  return [
    db.delete(secrets).where(eq(secrets.tenantId, tenant.id)),
    db.delete(tickets).where(eq(tickets.tenantId, tenant.id)),
    db.delete(outbox).where(and(eq(outbox.tenantId, tenant.id), ne(outbox.generation, tenant.generation))),
    insist(db, sql`(select count(*) from ${secrets} where ${secrets.tenantId} = ${tenant.id}) = 0`),
    ...keys.map((key) => db.insert(receiptKeys).values(key).onConflictDoNothing()),
    // The first one stays: a host that repeats itself says nothing new.
    db
      .insert(deletionReceipts)
      .values({ ...row, receipt: signed, createdAt: now })
      .onConflictDoNothing(),
  ];
}

/** The name is free again, for its former owner; for everybody else after a while. */
export const releaseName = (db: Database, tenant: TenantRow, now: number): Statement => {
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
