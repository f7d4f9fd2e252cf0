import { desc, eq } from "drizzle-orm";
import { type Context, Hono } from "hono";
import { z } from "zod";
import { deletionReceipts, receiptKeys } from "../../schema/db/index.ts";
import { signingJwk, snapshotName } from "../../schema/protocol/index.ts";
import { type Accounts, allows, type Person } from "../accounts/index.ts";
import type { Database } from "../db.ts";
import { backgroundOf, jsonOnly } from "../http.ts";
import { problem, problemResponse, type Result } from "../problem.ts";
import type { DataService } from "./service.ts";

const restoreBody = z.strictObject({ from: z.union([snapshotName, z.literal("backup")]) });

/** Where everybody finds the keys that receipts verify with (RFC 7517), for as long as there are receipts. */
export const RECEIPT_KEYS_PATH = "/.well-known/chelar-receipt-keys.json";

/** Receipts, for their owners and for whoever was given one. */
export function dataRoutes({
  db,
  accounts,
  service,
}: {
  db: Database;
  accounts: Pick<Accounts, "caller">;
  service: DataService;
}): Hono {
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

  /** Only for whoever is signed in, or has a key that allows it. */
  const personal =
    (answer: (c: Context, person: Person) => Promise<Response>) =>
    async (c: Context): Promise<Response> => {
      const caller = await accounts.caller(c.req.raw.headers);
      if (!caller) return problemResponse(problem("unauthenticated"));
      return allows(caller, c.req.method) ? answer(c, caller.person) : problemResponse(problem("insufficient_scope"));
    };
  const accepted = (c: Context, result: Result<null>) =>
    result.ok ? c.body(null, 202) : problemResponse(result.problem);
  const id = (c: Context) => c.req.param("id") ?? "";

  app.get(
    "/api/v1/tenants/:id/storage",
    personal(async (c, person) => {
      const found = await service.storage(person, id(c));
      return found.ok ? c.json({ storage: found.value }) : problemResponse(found.problem);
    }),
  );
  app.post(
    "/api/v1/tenants/:id/backup",
    personal(async (c, person) => accepted(c, await service.backup(person, id(c), backgroundOf(c)))),
  );
  app.post(
    "/api/v1/tenants/:id/restore",
    jsonOnly,
    personal(async (c, person) => {
      const body = restoreBody.safeParse(await c.req.json().catch(() => null));
      if (!body.success) return problemResponse(problem("invalid_body", { field: "from" }));
      return accepted(c, await service.restore(person, id(c), body.data.from, backgroundOf(c)));
    }),
  );
  app.post(
    "/api/v1/tenants/:id/move",
    personal(async (c, person) => accepted(c, await service.move(person, id(c), backgroundOf(c)))),
  );

  app.get(
    "/api/v1/receipts",
    personal(async (c, person) => {
      const rows = await db
        .select()
        .from(deletionReceipts)
        .where(eq(deletionReceipts.ownerId, person.id))
        .orderBy(desc(deletionReceipts.createdAt));
      const receipts = rows.map(({ id, tenantId, slug, receipt, createdAt }) => ({
        ...{ id, tenantId, name: slug, receipt, url: `/receipts/${id}` },
        at: new Date(createdAt).toISOString(),
      }));
      return c.json({ receipts });
    }),
  );

  return app;
}
