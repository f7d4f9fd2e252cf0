import { desc, eq } from "drizzle-orm";
import { deletionReceipts } from "../../schema/db/index.ts";
import type { Database } from "../db.ts";

/** The receipts of somebody's deleted agents, newest first. Each is signed, and found by an id that cannot be guessed. */
export async function receiptsOf(db: Database, ownerId: string) {
  const rows = await db
    .select()
    .from(deletionReceipts)
    .where(eq(deletionReceipts.ownerId, ownerId))
    .orderBy(desc(deletionReceipts.createdAt));
  return rows.map(({ id, tenantId, slug, receipt, createdAt }) => ({
    ...{ id, tenantId, name: slug, receipt, url: `/receipts/${id}` },
    at: new Date(createdAt).toISOString(),
  }));
}
export type ReceiptLine = Awaited<ReturnType<typeof receiptsOf>>[number];
