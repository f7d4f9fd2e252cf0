import { and, eq, gt, isNull, lt, notExists, or, sql } from "drizzle-orm";
import { account, enrolmentTokens, outbox, rateLimit, session, tenants, tickets, user } from "../../schema/db/index.ts";
import { atomically } from "../db.ts";
import { describeError } from "../http.ts";
import { type DeliveryContext, deliverHost, deliverTenant, failed } from "./deliver.ts";
import { type Drift, findDrift, SETTLE_MS } from "./rules.ts";
import * as store from "./store.ts";

const BATCH = 200;
const PARALLEL = 5;
const DAY_MS = 24 * 3600_000;
const SIGN_UP_TAKES_MS = 10 * 60_000;
const DELIVERED_KEPT_MS = 30 * DAY_MS;

/** The outbox's own loop: repairs the loss of a delivery (host down, worker ended, network gone). */
export async function deliverDue(context: DeliveryContext): Promise<number> {
  const due = await store.dueDeliveries(context.db, context.world.now(), BATCH);
  await deliverAll(context, due);
  return due.length;
}

/** A host that speaks is up again: what waited for it need not wait for its next turn. */
export async function deliverWaiting(context: DeliveryContext, hostId: string): Promise<void> {
  await deliverAll(context, await store.undeliveredOf(context.db, hostId, BATCH));
}

async function deliverAll(
  context: DeliveryContext,
  due: readonly { hostId: string; tenantId: string | null }[],
): Promise<void> {
  const queue = [...due];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      try {
        await (next.tenantId === null ? deliverHost(context, next.hostId) : deliverTenant(context, next.tenantId));
      } catch (error) {
        // What one host sent us, such as a key that nothing can be sealed to, must not end the round for all others.
        console.error(JSON.stringify({ event: "delivery_failed", ...next, error: describeError(error) }));
        await failed(context, next, "unforeseen");
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

/**
 * The full pass: repairs what the outbox cannot know, such as a host that lost its journal or a database that was
 * restored. Normally it finds nothing, so everything that it does find is in the audit as drift.
 */
export async function reconcile(context: DeliveryContext): Promise<Drift[]> {
  const { db, world } = context;
  const now = world.now();
  const found: Drift[] = [];
  for (const host of await store.listHosts(db)) {
    const wanted = await db
      .select()
      .from(tenants)
      .where(
        and(
          eq(tenants.hostId, host.id),
          or(isNull(tenants.purgedAt), gt(tenants.purgedAt, now - DAY_MS)),
          // What is still in the outbox, or was told a moment ago, is not drift.
          notExists(
            db
              .select({ one: sql`1` })
              .from(outbox)
              .where(
                and(
                  eq(outbox.tenantId, tenants.id),
                  or(isNull(outbox.deliveredAt), gt(outbox.createdAt, now - SETTLE_MS)),
                ),
              ),
          ),
        ),
      );
    for (const drift of findDrift(wanted, store.inventoryOf(host), now)) {
      const { tenantId, kind, generation } = drift;
      await atomically(db, [
        store.announce(db, { hostId: host.id, tenantId, generation }, now),
        store.insertAudit(db, {
          at: now,
          actor: "system",
          action: `drift.${kind}`,
          subject: tenantId,
          detail: JSON.stringify({ hostId: host.id, generation }),
        }),
      ]);
      found.push(drift);
    }
  }
  return found;
}

/** What has run out and is of no use to anybody. */
export async function sweep({ db, world }: Pick<DeliveryContext, "db" | "world">): Promise<void> {
  const now = world.now();
  await atomically(db, [
    db.delete(tickets).where(lt(tickets.expiresAt, now)),
    db.delete(enrolmentTokens).where(lt(enrolmentTokens.expiresAt, now - DAY_MS)),
    db.delete(outbox).where(lt(outbox.deliveredAt, now - DELIVERED_KEPT_MS)),
    db.delete(session).where(lt(session.expiresAt, new Date(now))),
    // A sign-up that broke between person and password: nobody can enter, and the address would be taken for ever. Every
    // way of signing in leaves a row in account or session.
    db
      .delete(user)
      .where(
        and(
          lt(user.createdAt, new Date(now - SIGN_UP_TAKES_MS)),
          notExists(db.select({ one: sql`1` }).from(account).where(eq(account.userId, user.id))),
          notExists(db.select({ one: sql`1` }).from(session).where(eq(session.userId, user.id))),
          notExists(db.select({ one: sql`1` }).from(tenants).where(eq(tenants.ownerId, user.id))),
        ),
      ),
    db.delete(rateLimit).where(lt(rateLimit.lastRequest, now - DAY_MS)),
  ]);
}
