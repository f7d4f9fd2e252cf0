import type { HostReap } from "../../schema/protocol/index.ts";
import { deliverTenant, tellNow } from "./deliver.ts";
import { createHostDesk } from "./desk.ts";
import { fetchFiles } from "./download.ts";
import { readLedger } from "./ledger.ts";
import { createPlacement } from "./placement.ts";
import { deliverDue, reconcile, refreshHosts, sweep } from "./reconcile.ts";
import { type HostsContext, hostRoutes, operatorRoutes } from "./routes.ts";
import { isLost, watchSilence } from "./silence.ts";
import * as store from "./store.ts";
import { watchDeletions } from "./waiting.ts";

export { hostCalls } from "./calls.ts";
export type { HostDesk, HostOnDesk, OutboxOnDesk } from "./desk.ts";

const TRIES = 4;
const FIRST_PAUSE_MS = 400;

/** The hosts' room as the rest of the edge sees it. */
export function createHosts(context: HostsContext) {
  const { db, world } = context;
  return {
    routes: hostRoutes(context),
    operatorRoutes: operatorRoutes(context),

    ...createPlacement(context),
    announce: (row: { hostId: string; tenantId: string; generation: number }) => store.announce(db, row, world.now()),

    /** What an operator sees and does. */
    desk: createHostDesk(context),

    ledgerOf: (tenantId: string) => readLedger(db, tenantId),

    /** Tells a host what of its leftovers is nobody's. Nothing waits: what it still has, it tells again. */
    async reap(hostId: string, items: HostReap["items"]): Promise<boolean> {
      const host = await store.findHost(db, hostId);
      return host !== null && tellNow(context, host, { type: "host.reap", items });
    },

    /** Has every host look at itself anew. */
    async probe(): Promise<void> {
      const hosts = await store.listHosts(db);
      await Promise.allSettled(hosts.map((host) => tellNow(context, host, { type: "host.probe" })));
    },

    files: (tenantId: string, signal: AbortSignal) => fetchFiles(context, tenantId, signal),

    isLost: (hostId: string) => isLost(db, hostId, world.now()),

    /** A few tries in a row, for a host that is just starting; after that the outbox's own turn comes. */
    async deliver(tenantId: string): Promise<void> {
      for (let tried = 1; (await deliverTenant(context, tenantId)) === "failed" && tried < TRIES; tried += 1) {
        await world.sleep(FIRST_PAUSE_MS * 2 ** tried);
      }
    },

    /** Everything that the clock, not a caller, asks for. */
    async tick(): Promise<void> {
      await watchSilence(context);
      await watchDeletions(context);
      await refreshHosts(context);
      await deliverDue(context);
      if ((await reconcile(context)).length > 0) await deliverDue(context);
      await sweep(context);
    },
  };
}

export type Hosts = ReturnType<typeof createHosts>;
