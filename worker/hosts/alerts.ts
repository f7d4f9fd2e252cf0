import { and, eq, isNull, sql } from "drizzle-orm";
import { alerts } from "../../schema/db/index.ts";
import type { Database, Statement } from "../db.ts";

export type AlertKind = (typeof alerts.kind.enumValues)[number];

/** Says what is wrong to the log and to the operator's list: once in the list, however often it is noticed. */
export async function raiseAlert(
  db: Database,
  { kind, subject, detail }: { kind: AlertKind; subject: string; detail: string },
  now: number,
): Promise<void> {
  console.warn(JSON.stringify({ event: "alert", kind, subject, detail }));
  const isOver = sql`${alerts.resolvedAt} is not null`;
  await db
    .insert(alerts)
    .values({ kind, subject, detail, firstAt: now, lastAt: now })
    .onConflictDoUpdate({
      target: [alerts.kind, alerts.subject],
      set: {
        detail,
        lastAt: now,
        firstAt: sql`case when ${isOver} then ${now} else ${alerts.firstAt} end`,
        times: sql`case when ${isOver} then 1 else ${alerts.times} + 1 end`,
        resolvedAt: null,
      },
    });
}

export function resolveAlert(db: Database, kind: AlertKind, subject: string, now: number): Statement {
  return db
    .update(alerts)
    .set({ resolvedAt: now })
    .where(and(eq(alerts.kind, kind), eq(alerts.subject, subject), isNull(alerts.resolvedAt)));
}

/** What is wrong now, the newest first. */
export function openAlerts(db: Database) {
  return db.select().from(alerts).where(isNull(alerts.resolvedAt)).orderBy(sql`${alerts.lastAt} desc`);
}
