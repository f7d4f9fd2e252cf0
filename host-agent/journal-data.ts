import type { DatabaseSync } from "node:sqlite";
import type { TenantStorage, UnnumberedReport } from "../schema/protocol/index.ts";
import type { Egress } from "./bounds/rules.ts";
import type { ReportRows } from "./journal-reports.ts";
import type { Transact } from "./journal-schema.ts";

/** What the edge was last told about a tenant's data, without the envelope's own fields. */
export type StorageFacts = Omit<TenantStorage, "type" | "seq" | "at" | "tenantId">;

/** What this host remembers of a tenant's data besides what lies on its disk. */
export interface Kept {
  told: StorageFacts | null;
  /** The number of the last copy that was asked for besides the plan's and was made. */
  backups: number;
  backup?: StorageFacts["backup"];
  restored?: StorageFacts["restored"];
  strays: number;
  egress?: Egress;
  /** What it last became ready from, by digest; null: made here. Absent: it has never been ready. */
  runs?: {
    image: string | null;
    /** Another one that is about to be tried, and the data as it was before. */
    trial?: { image: string | null; snapshot: string };
    /** One that did not become ready for this generation; its snapshot until that is restored. */
    refused?: { image: string | null; generation: number; snapshot: string | null };
  };
}

const NOTHING: Kept = { told: null, backups: 0, strays: 0 };

export type DataRows = ReturnType<typeof dataRows>;

/** One document per tenant; it goes with the tenant, and nothing is kept of one that is gone. */
export function dataRows(db: DatabaseSync, transact: Transact, reports: ReportRows) {
  const isHere = db.prepare("SELECT 1 AS yes FROM tenants WHERE id = ? AND state <> 'purged'");
  const byId = db.prepare("SELECT kept FROM data WHERE tenant_id = ?");
  const upsert = db.prepare(
    "INSERT INTO data (tenant_id, kept) VALUES (?, ?) ON CONFLICT DO UPDATE SET kept = excluded.kept",
  );
  const get = (tenantId: string): Kept => {
    const row = byId.get(tenantId);
    return row ? (JSON.parse(row.kept as string) as Kept) : NOTHING;
  };
  return {
    get,
    /** Changes what is remembered, and tells the edge in the same transaction: what is known here is never left untold. */
    put(tenantId: string, change: Partial<Kept>, tell?: UnnumberedReport): void {
      transact(() => {
        // A look at somebody's data may end after its deletion.
        if (!isHere.get(tenantId)) return;
        upsert.run(tenantId, JSON.stringify({ ...get(tenantId), ...change }));
        if (tell) reports.add(tell);
      });
    },
  };
}
