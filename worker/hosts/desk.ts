import { and, asc, eq, gte, isNull, max, min, sql } from "drizzle-orm";
import { outbox } from "../../schema/db/index.ts";
import { hostPosture } from "../../schema/protocol/index.ts";
import { atomically } from "../db.ts";
import { openAlerts } from "./alerts.ts";
import { type DeliveryContext, deliverHost, deliverTenant } from "./deliver.ts";
import { changeHost } from "./operator.ts";
import { readPromised } from "./placement.ts";
import type { HostAction } from "./rules.ts";
import * as store from "./store.ts";

/** A delivery that failed so often is stuck: the first few happen whenever a host is just starting. */
export const STUCK_AFTER_ATTEMPTS = 3;
const SHOWN = 50;

/** Everything about the hosts that an operator looks at. Times in milliseconds. */
export function createHostDesk(context: DeliveryContext) {
  const { db, world } = context;
  const waiting = isNull(outbox.deliveredAt);

  return {
    alerts: () => openAlerts(db),

    async hosts() {
      const [rows, promised] = await Promise.all([store.listHosts(db), readPromised(db)]);
      return rows.map((host) => {
        const inventory = store.inventoryOf(host);
        const { id, name, region, endpoint, state, epoch, memoryMiB, diskMiB, maxTenants, lastReportAt } = host;
        return {
          ...{ id, name, region, endpoint, state, epoch, lastReportAt, enrolledAt: host.enrolledAt },
          capacity: { memoryMiB, diskMiB, tenants: maxTenants },
          promised: promised(id),
          inventory,
          posture: host.posture === null ? null : (hostPosture.safeParse(JSON.parse(host.posture)).data ?? null),
        };
      });
    },

    /** What hosts have not heard yet: how much of it, since when, and what is stuck, the oldest first. */
    async outbox() {
      const grouped = db
        .select({
          hostId: outbox.hostId,
          tenantId: outbox.tenantId,
          since: min(outbox.createdAt).mapWith(Number),
          attempts: max(outbox.attempts).mapWith(Number),
          nextAttemptAt: min(outbox.nextAttemptAt).mapWith(Number),
          error: sql<string | null>`max(${outbox.lastError})`,
        })
        .from(outbox)
        .where(and(waiting, gte(outbox.attempts, STUCK_AFTER_ATTEMPTS)))
        .groupBy(outbox.hostId, outbox.tenantId)
        .orderBy(asc(min(outbox.createdAt)))
        .limit(SHOWN);
      const [totals, stuck] = await db.batch([
        db
          .select({
            depth: sql<number>`count(*)`,
            oldestAt: min(outbox.createdAt),
            stuck: sql<number>`count(*) filter (where ${outbox.attempts} >= ${STUCK_AFTER_ATTEMPTS})`,
          })
          .from(outbox)
          .where(waiting),
        grouped,
      ]);
      const { depth = 0, oldestAt = null, stuck: stuckRows = 0 } = totals[0] ?? {};
      return { depth, oldestAt, stuckRows, stuck };
    },

    change: (id: string, action: HostAction, actor: string) => changeHost(context, id, action, actor),

    /** Says again, now, what a host has not taken. True when it has taken it. Saying what is known changes nothing. */
    async tellAgain(about: { hostId: string; tenantId: string | null }, actor: string): Promise<boolean> {
      const { hostId, tenantId } = about;
      const now = world.now();
      const isAbout = tenantId === null ? isNull(outbox.tenantId) : eq(outbox.tenantId, tenantId);
      await atomically(db, [
        db
          .update(outbox)
          .set({ nextAttemptAt: now })
          .where(and(waiting, eq(outbox.hostId, hostId), isAbout)),
        store.insertAudit(db, { at: now, actor, action: "outbox.retry", subject: tenantId ?? hostId, detail: null }),
      ]);
      const told = await (tenantId === null ? deliverHost(context, hostId) : deliverTenant(context, tenantId));
      return told === "delivered";
    },
  };
}

export type HostDesk = ReturnType<typeof createHostDesk>;
export type HostOnDesk = Awaited<ReturnType<HostDesk["hosts"]>>[number];
export type OutboxOnDesk = Awaited<ReturnType<HostDesk["outbox"]>>;
