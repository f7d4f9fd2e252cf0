import { type Accounts, Limits } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import { atomically, type Database } from "../db.ts";
import type { Config } from "../env.ts";
import type { Post } from "../mail/index.ts";
import { type AccountDeletion, createAccountDeletion } from "./account-deletion.ts";
import { accountRoutes } from "./account-routes.ts";
import { forgetting } from "./forgetting.ts";
import { endWithoutHosts } from "./lost.ts";
import type { DataHosts } from "./moves.ts";
import { createReaper } from "./reaper.ts";
import { sweepRoutes } from "./reaper-routes.ts";
import { dataRoutes } from "./routes.ts";
import { createDataService, type DataService } from "./service.ts";

export { endMove, moveDone } from "./moves.ts";
export { leftoversStatement } from "./reaper.ts";
export { type ReceiptLine, receiptsOf } from "./receipt-list.ts";
export { goneStatements, hasReceipt, lockOf, receiptStatements } from "./receipts.ts";
export type { DataService, StorageView } from "./service.ts";
export { storageStatement } from "./storage.ts";

export interface DataRoom {
  routes: ReturnType<typeof dataRoutes>;
  service: DataService;
  /** From here on the person is out, for good; {@link AccountDeletion}. Confirmed again by whoever calls this. */
  leave: AccountDeletion["ask"];
  /** What is due by the clock: moves, accounts on their way out, and what receipts have promised to forget. */
  tick(): Promise<void>;
}

export interface DataOptions {
  db: Database;
  world: World;
  config: Pick<Config, "dashboardOrigin" | "commandKeys" | "authRateLimit" | "tenants">;
  hosts: DataHosts;
  accounts: Pick<Accounts, "caller" | "confirmAgain">;
  billing: { close(ownerId: string): Promise<void> };
  post: Pick<Post, "posting">;
  /** Whether an Authorization header is the operator's. */
  isOperator(authorization: string | undefined): boolean;
}

/** An agent's data as the edge knows it: what is stored, where it goes, what is proven to be gone. */
export function createData({ db, world, config, hosts, accounts, billing, post, isOperator }: DataOptions): DataRoom {
  const service = createDataService({ db, world, hosts });
  const leaving = createAccountDeletion({ db, world, config, hosts, billing, post });
  const reaper = createReaper({ db, world, config, hosts });
  const limits = config.authRateLimit ? new Limits(db, world) : null;
  const routes = dataRoutes({ db, accounts, service, limits });
  routes.route("/", sweepRoutes(reaper, isOperator));
  routes.route("/", accountRoutes({ db, world, accounts, limits, leaving }));
  return {
    routes,
    service,
    leave: leaving.ask,
    async tick() {
      await service.tick();
      await endWithoutHosts({ db, world, config });
      await leaving.tick();
      await reaper.tick();
      await atomically(db, forgetting(db, world.now()));
    },
  };
}
