import { and, eq, exists, gt, isNull, lt, notExists, or, sql } from "drizzle-orm";
import {
  account,
  alerts,
  enrolmentTokens,
  outbox,
  rateLimit,
  session,
  tenants,
  tickets,
  user,
} from "../../schema/db/index.ts";
import type { HostInventory } from "../../schema/protocol/index.ts";
import { atomically, type Database, type Statement } from "../db.ts";
import { describeError } from "../http.ts";
import { raiseAlert } from "./alerts.ts";
import { type DeliveryContext, deliverHost, deliverTenant, failed, tellStranger } from "./deliver.ts";
import { heldBy, hostWord, knowsNewer, refreshHost } from "./host-word.ts";
import { type Drift, decideStranger, findDrift, SETTLE_MS } from "./rules.ts";
import * as store from "./store.ts";
import { clearLeftBehind } from "./strangers.ts";

const BATCH = 200;
const PARALLEL = 5;
/** Strangers of one host that are noted or told in one turn: it may list thousands, and take its time over each. */
const STRANGERS_PER_TURN = 20;
const DAY_MS = 24 * 3600_000;
const SIGN_UP_TAKES_MS = 10 * 60_000;
const DELIVERED_KEPT_MS = 30 * DAY_MS;

/** The outbox's own loop: repairs the loss of a delivery (host down, worker ended, network gone). */
export async function deliverDue(context: DeliveryContext): Promise<number> {
  const due = await store.dueDeliveries(context.db, context.world.now(), BATCH);
  await deliverAll(context, due);
  return due.length;
}

/**
 * A host that was away and speaks again need not wait for the next turn of what waits for it. Of one that speaks all the
 * time only what is due is tried: a command that fails must not be tried again with every report.
 */
export async function deliverWaiting(
  context: DeliveryContext,
  { hostId, isBack }: { hostId: string; isBack: boolean },
): Promise<void> {
  const dueAt = isBack ? Number.MAX_SAFE_INTEGER : context.world.now();
  await deliverAll(context, await store.undeliveredOf(context.db, { hostId, dueAt }, BATCH));
}

/** The same at an operator's wish, without waiting for the clock. */
export async function tellHosts(context: DeliveryContext): Promise<void> {
  await refreshHosts(context);
  const due = await store.dueDeliveries(context.db, context.world.now(), BATCH);
  await deliverAll(
    context,
    due.filter(({ tenantId }) => tenantId === null),
  );
}

/** Every host's own word: new where it has changed, once more where the host holds an older one than it once took. */
export async function refreshHosts({ db, world, config }: DeliveryContext): Promise<void> {
  const word = hostWord(config);
  const nowMs = world.now();
  for (const host of await store.listHosts(db)) {
    const refreshed = await refreshHost({ db, nowMs, word }, host);
    const held = heldBy(host)?.version ?? 0;
    if (knowsNewer(host, word)) {
      const detail = `It holds keyset ${held}, this edge has ${word.keyset.version}: run \`host rotate-keys\`.`;
      await raiseAlert(db, { kind: "keyset_behind", subject: host.id, detail }, nowMs);
    } else if (refreshed?.generation === host.generation && held < word.keyset.version) {
      await store.announceUnlessWaiting(db, { hostId: host.id, generation: host.generation }, nowMs);
    }
  }
}

async function deliverAll(
  outer: DeliveryContext,
  due: readonly { hostId: string; tenantId: string | null }[],
): Promise<void> {
  const context = { ...outer, silent: new Set<string>() };
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
export async function reconcile(outer: DeliveryContext): Promise<Drift[]> {
  const context = { ...outer, silent: new Set<string>() };
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
    const inventory = store.inventoryOf(host);
    for (const drift of findDrift(wanted, inventory, now)) {
      await tellAgain(context, host.id, drift);
      found.push(drift);
    }
    const known = new Set(wanted.map(({ id }) => id));
    const others = inventory?.tenants.filter(({ tenantId }) => !known.has(tenantId)) ?? [];
    found.push(...(await reconcileOthers(context, host, others)));
  }
  return found;
}

async function tellAgain({ db, world }: DeliveryContext, hostId: string, drift: Drift): Promise<void> {
  const { tenantId, kind, generation } = drift;
  const now = world.now();
  await atomically(db, [
    store.announce(db, { hostId, tenantId, generation }, now),
    auditDrift(db, { at: now, kind, tenantId, hostId, generation }),
  ]);
}

/** Who is on the host and was not asked about: on its way, gone here for long, or never heard of. */
async function reconcileOthers(
  context: DeliveryContext,
  host: store.HostRow,
  others: HostInventory["tenants"],
): Promise<Drift[]> {
  const { db, world } = context;
  const now = world.now();
  const ids = others.map(({ tenantId }) => tenantId);
  const rows = new Map((await store.tenantsAnywhere(db, ids)).map((row) => [row.id, row]));
  const lastAt = await store.lastDrifts(
    db,
    ids.filter((id) => !rows.has(id)),
  );
  let left = STRANGERS_PER_TURN;
  const found: Drift[] = [];
  for (const { tenantId, generation, state } of others) {
    const row = rows.get(tenantId);
    if (row && row.hostId !== host.id) {
      await clearLeftBehind(context, host, { row, generation, state });
      continue;
    }
    if (row) {
      if (row.purgedAt === null || row.purgedAt > now - DAY_MS) continue;
      // Long gone here, and back there: an old copy of its host's journal.
      const drift = { tenantId, kind: "left_over", generation: row.generation } as const;
      await tellAgain(context, host.id, drift);
      found.push(drift);
      continue;
    }
    const at = (kind: string) => lastAt.get(`${tenantId} drift.${kind}`) ?? null;
    const step = decideStranger({ state, firstSeenAt: at("stranger"), haltedAt: at("halted") }, now);
    if ((step === "note" || step === "halt") && left-- <= 0) continue;
    switch (step) {
      case "note":
        await raiseAlert(
          db,
          {
            kind: "stranger",
            subject: tenantId,
            detail: `${host.name} has an agent that this edge has never heard of (${state}). Its data is kept: bring the database back, or \`host stranger ${host.name} ${tenantId} --purge\`.`,
          },
          now,
        );
        await auditDrift(db, { at: now, kind: "stranger", tenantId, hostId: host.id, generation });
        break;
      case "halt":
        if (await tellStranger(context, host, { type: "tenant.halt", tenantId, generation })) {
          await auditDrift(db, { at: now, kind: "halted", tenantId, hostId: host.id, generation });
        }
        break;
      case "wait":
      case "rest":
        break;
    }
  }
  return found;
}

function auditDrift(
  db: Database,
  { at, kind, tenantId, ...detail }: { at: number; kind: string; tenantId: string; hostId: string; generation: number },
): Statement {
  const row = { actor: "system", action: `drift.${kind}`, subject: tenantId, detail: JSON.stringify(detail) };
  return store.insertAudit(db, { at, ...row });
}

/** What has run out and is of no use to anybody. */
export async function sweep({ db, world }: Pick<DeliveryContext, "db" | "world">): Promise<void> {
  const now = world.now();
  await atomically(db, [
    // A database that was brought back knows them again.
    db
      .update(alerts)
      .set({ resolvedAt: now })
      .where(
        and(
          eq(alerts.kind, "stranger"),
          isNull(alerts.resolvedAt),
          exists(db.select({ one: sql`1` }).from(tenants).where(eq(tenants.id, alerts.subject))),
        ),
      ),
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
