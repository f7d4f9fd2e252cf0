import { tenantStorage } from "../../schema/db/index.ts";
import type { TenantStorage } from "../../schema/protocol/index.ts";
import type { Database, Statement } from "../db.ts";

/** Keeps the newest word about what an agent has stored. */
export function storageStatement(db: Database, report: TenantStorage): Statement {
  const { tenantId, usedBytes, limitBytes, strays, at } = report;
  const row = {
    ...{ tenantId, usedBytes, limitBytes, strays, at },
    snapshots: JSON.stringify(report.snapshots),
    backup: report.backup ? JSON.stringify(report.backup) : null,
    restored: report.restored ? JSON.stringify(report.restored) : null,
  };
  return db.insert(tenantStorage).values(row).onConflictDoUpdate({ target: tenantStorage.tenantId, set: row });
}
