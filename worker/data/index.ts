import { and, inArray, isNotNull, lt } from "drizzle-orm";
import type { Hono } from "hono";
import { outbox, slugLocks, tenantDataWishes, tenantEvents, tenantStorage, tenants } from "../../schema/db/index.ts";
import type { Accounts } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import { atomically, type Database } from "../db.ts";
import type { DataHosts } from "./moves.ts";
import { dataRoutes } from "./routes.ts";
import { FORGET_AFTER_MS, SLUG_LOCK_MS } from "./rules.ts";
import { createDataService, type DataService } from "./service.ts";

export { endMove } from "./moves.ts";
export { lockOf, receiptStatements, releaseName } from "./receipts.ts";
export type { DataService } from "./service.ts";
export { storageStatement } from "./storage.ts";

export interface DataRoom {
  routes: Hono;
  service: DataService;
  /** What is due by the clock: what a receipt has promised to forget. */
  tick(): Promise<void>;
}

/** An agent's data as the edge knows it: what is stored, what is proven to be gone. */
export function createData({
  db,
  world,
  hosts,
  accounts,
}: {
  db: Database;
  world: World;
  hosts: DataHosts;
  accounts: Pick<Accounts, "caller">;
}): DataRoom {
  const service = createDataService({ db, world, hosts });
  return {
    routes: dataRoutes({ db, accounts, service }),
    service,
    async tick() {
      await service.tick();
      const now = world.now();
      const gone = db
        .select({ id: tenants.id })
        .from(tenants)
        .where(and(isNotNull(tenants.purgedAt), lt(tenants.purgedAt, now - FORGET_AFTER_MS)));
      await atomically(db, [
        db.delete(tenantEvents).where(inArray(tenantEvents.tenantId, gone)),
        db.delete(tenantStorage).where(inArray(tenantStorage.tenantId, gone)),
        db.delete(tenantDataWishes).where(inArray(tenantDataWishes.tenantId, gone)),
        db.delete(outbox).where(and(inArray(outbox.tenantId, gone), isNotNull(outbox.deliveredAt))),
        db.delete(slugLocks).where(lt(slugLocks.until, now)),
        db.delete(tenants).where(lt(tenants.purgedAt, now - SLUG_LOCK_MS)),
      ]);
    },
  };
}
