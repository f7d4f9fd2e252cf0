import { desc, eq } from "drizzle-orm";
import { Hono } from "hono";
import { deletionReceipts, receiptKeys } from "../../schema/db/index.ts";
import { signingJwk } from "../../schema/protocol/index.ts";
import { type Accounts, allows } from "../accounts/index.ts";
import type { Database } from "../db.ts";
import { problem, problemResponse } from "../problem.ts";

/** Where everybody finds the keys that receipts verify with (RFC 7517), for as long as there are receipts. */
export const RECEIPT_KEYS_PATH = "/.well-known/chelar-receipt-keys.json";

/** Receipts, for their owners and for whoever was given one. */
export function dataRoutes({ db, accounts }: { db: Database; accounts: Pick<Accounts, "caller"> }): Hono {
  const app = new Hono();

  app.get(RECEIPT_KEYS_PATH, async (c) => {
    const rows = await db.select().from(receiptKeys).orderBy(receiptKeys.firstUsedAt);
    const keys = rows.map(({ kid, jwk }) => ({ ...signingJwk.parse(JSON.parse(jwk)), kid, alg: "EdDSA", use: "sig" }));
    return c.json({ keys }, 200, { "content-type": "application/jwk-set+json" });
  });

  /** By an id of 128 random bits: it outlives the account that could have signed in for it. */
  app.get("/receipts/:id", async (c) => {
    const [found] = await db
      .select()
      .from(deletionReceipts)
      .where(eq(deletionReceipts.id, c.req.param("id")));
    if (!found) return problemResponse(problem("not_found"));
    return c.body(found.receipt, 200, { "content-type": "application/jose" });
  });

  app.get("/api/v1/receipts", async (c) => {
    const caller = await accounts.caller(c.req.raw.headers);
    if (!caller) return problemResponse(problem("unauthenticated"));
    if (!allows(caller, c.req.method)) return problemResponse(problem("insufficient_scope"));
    const rows = await db
      .select()
      .from(deletionReceipts)
      .where(eq(deletionReceipts.ownerId, caller.person.id))
      .orderBy(desc(deletionReceipts.createdAt));
    const receipts = rows.map(({ id, tenantId, slug, receipt, createdAt }) => ({
      ...{ id, tenantId, name: slug, receipt, url: `/receipts/${id}` },
      at: new Date(createdAt).toISOString(),
    }));
    return c.json({ receipts });
  });

  return app;
}
