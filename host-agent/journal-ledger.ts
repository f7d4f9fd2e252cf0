import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { LEDGER_START, type LedgerEntry, ledgerText } from "../schema/protocol/index.ts";
import type { ReportRows } from "./journal-reports.ts";
import type { TenantCommand } from "./journal-rules.ts";

const TABLE = `
  CREATE TABLE IF NOT EXISTS ledger (
    tenant_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (tenant_id, epoch, number)
  ) STRICT, WITHOUT ROWID;
`;

/** What was accepted about each tenant, as a chain that only grows. It outlives the tenant: so does its owner's interest. */
export function ledgerRows(db: DatabaseSync, reports: ReportRows) {
  db.exec(TABLE);
  const last = db.prepare("SELECT entry FROM ledger WHERE tenant_id = ? ORDER BY epoch DESC, number DESC LIMIT 1");
  const insert = db.prepare("INSERT INTO ledger (tenant_id, epoch, number, entry) VALUES (?, ?, ?, ?)");

  return {
    /** Must run inside the transaction that accepts the command. */
    append(
      command: TenantCommand,
      { epoch, at, jti, commandHash }: Pick<LedgerEntry, "epoch" | "at" | "jti" | "commandHash">,
    ) {
      const tenantId = command.type === "tenant.apply" ? command.tenant.id : command.tenantId;
      const row = last.get(tenantId);
      const before = row && (JSON.parse(row.entry as string) as LedgerEntry);
      const { type, generation } = command;
      const number = (before?.number ?? 0) + 1;
      const unhashed = {
        epoch,
        number,
        at,
        type,
        generation,
        jti,
        commandHash,
        previous: before?.hash ?? LEDGER_START,
      };
      const entry = {
        ...unhashed,
        hash: createHash("sha256").update(ledgerText(tenantId, unhashed)).digest("base64url"),
      };
      insert.run(tenantId, epoch, number, JSON.stringify(entry));
      reports.add({ type: "tenant.command", at, tenantId, entry });
    },

    /** Must run inside a transaction: with the tenants of an old copy their chains go, and begin anew in the next epoch. */
    forgetAll: () => db.exec("DELETE FROM ledger"),
  };
}
