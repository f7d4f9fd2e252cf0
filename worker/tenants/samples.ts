import { and, eq, gt, lt, sql } from "drizzle-orm";
import { tenantSamples, tenantStorage } from "../../schema/db/index.ts";
import type { TenantStatus } from "../../schema/protocol/index.ts";
import type { Database, Statement } from "../db.ts";
import type { Sample } from "./types.ts";

const MINUTE_MS = 60_000;
export const SAMPLES_KEPT_MS = 24 * 60 * MINUTE_MS;

/** Keeps one status as a sample, and forgets what is older than a day. */
export function sampleStatements(db: Database, report: TenantStatus, now: number): Statement[] {
  const { tenantId, memoryMiB, cpuPercent, requests = null } = report;
  // A host whose clock runs ahead would leave rows that are never old enough to go.
  const minute = Math.floor(Math.min(report.at, now) / MINUTE_MS);
  const diskMiB = sql<number>`(select ${tenantStorage.usedBytes} / 1048576 from ${tenantStorage} where ${tenantStorage.tenantId} = ${tenantId})`;
  const sum = sql`coalesce(${tenantSamples.requests}, 0) + excluded.requests`;
  return [
    db
      .insert(tenantSamples)
      .values({ tenantId, minute, memoryMiB, cpuPercent, diskMiB, requests })
      .onConflictDoUpdate({
        target: [tenantSamples.tenantId, tenantSamples.minute],
        set: { memoryMiB, cpuPercent, diskMiB, requests: requests === null ? sql`${tenantSamples.requests}` : sum },
      }),
    db
      .delete(tenantSamples)
      .where(
        and(
          eq(tenantSamples.tenantId, tenantId),
          lt(tenantSamples.minute, Math.floor((now - SAMPLES_KEPT_MS) / MINUTE_MS)),
        ),
      ),
  ];
}

export const forgetSamples = (db: Database, tenantId: string): Statement =>
  db.delete(tenantSamples).where(eq(tenantSamples.tenantId, tenantId));

/** Oldest first. A day of them as one value: over HTTP each value of each row is an object of its own. */
export async function samplesOf(db: Database, tenantId: string, now: number): Promise<Sample[]> {
  const { minute, memoryMiB, cpuPercent, diskMiB, requests } = tenantSamples;
  const since = Math.floor((now - SAMPLES_KEPT_MS) / MINUTE_MS);
  const columns = sql`json_array(${minute}, ${memoryMiB}, ${cpuPercent}, ${diskMiB}, ${requests})`;
  const [found] = await db
    .select({ rows: sql<string>`json_group_array(${columns})` })
    .from(tenantSamples)
    .where(and(eq(tenantSamples.tenantId, tenantId), gt(minute, since)));
  const rows: [number, number, number, number | null, number | null][] = JSON.parse(found?.rows ?? "[]");
  return rows
    .sort(([one], [other]) => one - other)
    .map(([at, memoryMiB, cpuPercent, diskMiB, requests]) => ({
      at: new Date(at * MINUTE_MS).toISOString(),
      ...{ memoryMiB, cpuPercent, diskMiB, requests },
    }));
}
