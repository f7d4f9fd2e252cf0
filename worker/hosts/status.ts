import { tenantStatus } from "../../schema/db/index.ts";
import type { TenantStatus } from "../../schema/protocol/index.ts";
import type { Database, Statement } from "../db.ts";

/** Keeps the newest word about how an agent is. */
export function statusStatement(db: Database, report: TenantStatus): Statement {
  const row = { tenantId: report.tenantId, at: report.at, report: JSON.stringify(report) };
  return db.insert(tenantStatus).values(row).onConflictDoUpdate({ target: tenantStatus.tenantId, set: row });
}
