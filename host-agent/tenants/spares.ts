import type { Journal } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Containers, NetworkLayout } from "./ports.ts";

/** A creation that has just ended has visitors to let in; the next one is seldom there at once. */
const REFILL_AFTER_MS = 250;

export interface SparesOptions {
  /** How many networks stand ready while nothing happens. */
  count: number;
  /** Slots of this host that tenants may have. */
  slots: number;
  journal: { tenants: Pick<Journal["tenants"], "place" | "freeSlot"> };
  containers: Pick<Containers, "ensureNetwork">;
  networkOf: (slot: number) => NetworkLayout;
  log: Log;
}

export interface Spares {
  /** UID and slot for a tenant, as the journal's own `place`, and a slot whose network stands where there is one. */
  place(tenantId: string, elsewhere?: boolean): { uid: number; slot: number } | null;
  /** Makes up for what was taken, a moment later. */
  refillSoon(): void;
  stop(): Promise<void>;
}

/**
 * Networks made before anybody asks. A bridge is the slowest part of a creation on the host, and slower with every
 * network that the engine has (it reads its rules anew for each of its own); nothing of it depends on whose it will be.
 * It is born closed, since the walls name the bridges of all slots at once. In memory: what a former process made is
 * found again when its slot's turn comes.
 */
export function createSpares({ count, slots, journal, containers, networkOf, log }: SparesOptions): Spares {
  const ready = new Set<number>();
  let timer: NodeJS.Timeout | undefined;
  let refilling: Promise<void> = Promise.resolve();
  let stopped = false;

  async function refill(): Promise<void> {
    while (!stopped && ready.size < count) {
      const slot = journal.tenants.freeSlot(slots, ready);
      if (slot === null) return;
      await containers.ensureNetwork(networkOf(slot));
      // Somebody may have been given this very slot meanwhile: then it is no spare.
      if (!stopped && journal.tenants.freeSlot(slots, ready) === slot) ready.add(slot);
    }
  }

  return {
    place(tenantId, elsewhere) {
      const placed = journal.tenants.place(tenantId, slots, { elsewhere, ready });
      if (placed) ready.delete(placed.slot);
      return placed;
    },
    refillSoon() {
      if (stopped) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        refilling = refilling
          .then(refill)
          // A creation makes its network itself where there is no spare.
          .catch((error) => log.warn("spares.failed", { error: describeError(error) }));
      }, REFILL_AFTER_MS);
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await refilling;
    },
  };
}
