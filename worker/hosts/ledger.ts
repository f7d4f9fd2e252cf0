import { asc, eq } from "drizzle-orm";
import { ledger } from "../../schema/db/index.ts";
import {
  type LedgerEntry,
  type LedgerVerdict,
  ledgerEntry,
  type Report,
  verifyLedger,
} from "../../schema/protocol/index.ts";
import type { Database, Statement } from "../db.ts";
import type { HostRow } from "./store.ts";

/** Written once: a host that says later that it was otherwise changes nothing here, and its next entry does not fit. */
export function ledgerStatement(
  db: Database,
  host: Pick<HostRow, "id">,
  { tenantId, entry }: Extract<Report, { type: "tenant.command" }>,
): Statement {
  return db
    .insert(ledger)
    .values({ tenantId, hostId: host.id, ...entry })
    .onConflictDoNothing();
}

/** Every command that the hosts of a tenant say they have accepted about it, and whether each one's chain holds. */
export async function readLedger(
  db: Database,
  tenantId: string,
): Promise<{ entries: LedgerEntry[]; verdict: LedgerVerdict }> {
  const rows = await db
    .select()
    .from(ledger)
    .where(eq(ledger.tenantId, tenantId))
    .orderBy(asc(ledger.hostId), asc(ledger.epoch), asc(ledger.number));
  const chains = [...Map.groupBy(rows, ({ hostId }) => hostId).values()].map((chain) =>
    chain.map(({ tenantId: _, hostId: __, ...entry }) => ledgerEntry.parse(entry)),
  );
  const verdicts = await Promise.all(chains.map((chain) => verifyLedger(tenantId, chain)));
  return { entries: chains.flat(), verdict: verdicts.find(({ ok }) => !ok) ?? { ok: true } };
}
