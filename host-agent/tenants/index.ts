import type { RuntimeName } from "../../schema/protocol/index.ts";
import type { Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Slumber } from "../sleep/index.ts";
import { backoffMs, createBell } from "../waiting.ts";
import type { ContainerFacts } from "./ports.ts";
import { decide } from "./rules.ts";
import type { Ports, Steps } from "./steps.ts";
import { createUpgrades, type Upgrades } from "./upgrades.ts";
import { requireFirewall } from "./walls.ts";
import { startTenantWorker, type TenantWorker } from "./worker.ts";

export { createRestore } from "./restore.ts";
export { openSealed } from "./sealed.ts";
export { createSpares } from "./spares.ts";
export { createSteps, type Ports, placedTenant } from "./steps.ts";
export { createUpgrades };

const START_BACKOFF = { firstMs: 250, maxMs: 10_000 };
const FIRST_GENERATION = 1;

export interface SupervisorOptions {
  journal: Pick<Journal, "tenants" | "reports">;
  ports: Ports;
  steps: Steps;
  slumber?: Slumber;
  upgrades?: Pick<Upgrades, "refuse">;
  log: Log;
  nowMs: () => number;
  random: () => number;
  /** A tenant is where it is wanted. */
  onReached?: (tenantId: string) => void;
  /** Pauses between attempts of one tenant. */
  backoff?: { firstMs: number; maxMs: number };
}

export interface Supervisor {
  /** Walls first, then every tenant of the journal. Resolves when what runs is routed and the rest is looked after. */
  start(): Promise<void>;
  /** The journal holds a new word for this tenant. Before `start` is through, it is kept for then. */
  wake(tenantId: string): void;
  /** Compares the journal with the engine in both directions; repairs what events did not tell. */
  sweep(): Promise<void>;
  stop(): Promise<void>;
}

/** One worker per tenant, and the two looks at the whole: at start, and now and then. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { journal, ports, steps, log, nowMs, random } = options;
  const workers = new Map<string, TenantWorker>();
  const ending = createBell();
  let suspects = new Set<string>();
  let stopped = false;
  let started = false;
  let stopListening = () => {};

  function wake(tenantId: string): void {
    if (!started || stopped) return;
    const known = workers.get(tenantId);
    known?.wake();
    if (known || !isWanted(tenantId)) return;
    workers.set(tenantId, startTenantWorker({ ...options, tenantId, onGone: () => workers.delete(tenantId) }));
  }

  /** Tries until it works: without walls or engine there is nothing else that this host could do. */
  async function insist(what: string, work: () => Promise<void>): Promise<void> {
    for (let failures = 1; !stopped; failures++) {
      try {
        return await work();
      } catch (error) {
        log.error(`start.${what}`, { error: describeError(error), times: failures });
        await ending.wait(backoffMs(failures, START_BACKOFF, random()));
      }
    }
  }

  const isWanted = (tenantId: string) => {
    const record = journal.tenants.get(tenantId);
    return record !== undefined && record.state !== "purged";
  };

  /** It runs and is the one that is wanted: its visitors do not wait for the look at the rest. One who sleeps is held. */
  async function adopt(record: TenantRecord, container: ContainerFacts | null): Promise<void> {
    if (record.asleep !== null) options.slumber?.hold(record, () => workers.get(record.id)?.rouse());
    if (decide({ ...record, firstLook: true, container }) !== "confirm") return;
    await steps.route({ record, signal: new AbortController().signal, progress: () => {} });
  }

  async function removeOrphan(tenantId: string): Promise<void> {
    await ports.containers.remove(tenantId);
    log.warn("orphan.removed", { tenant: tenantId });
    const generation = journal.tenants.get(tenantId)?.generation ?? FIRST_GENERATION;
    const detail = "A container that nobody wanted was removed.";
    const step = { step: "remove_container", status: "done", detail } as const;
    journal.reports.add({ type: "tenant.progress", at: nowMs(), tenantId, generation, ...step });
  }

  return {
    wake,

    async start() {
      await insist("firewall", async () => {
        await ports.firewall.apply();
        await requireFirewall(ports.firewall);
      });
      await insist("containers", async () => {
        const containers = new Map<string, ContainerFacts>();
        for (const facts of await ports.containers.list()) {
          // At once, without grace: a new tenant could be given the slot, and so the bridge, of one that nobody knows.
          if (isWanted(facts.tenantId)) containers.set(facts.tenantId, facts);
          else await removeOrphan(facts.tenantId);
        }
        for (const record of journal.tenants.all()) await adopt(record, containers.get(record.id) ?? null);
      });
      if (stopped) return;
      started = true;
      const back = () => {
        for (const worker of workers.values()) worker.retry();
      };
      stopListening = ports.containers.watch({ died: wake, back });
      for (const { id } of journal.tenants.all()) wake(id);
    },

    async sweep() {
      if (!started || stopped) return;
      const containers = new Map((await ports.containers.list()).map((facts) => [facts.tenantId, facts]));
      for (const record of journal.tenants.all()) {
        const situation = { ...record, firstLook: false, container: containers.get(record.id) ?? null };
        if (decide(situation) !== "rest") wake(record.id);
      }
      // Seen twice before it is removed: a purge may be on its way between the two looks of one sweep.
      const unknown = [...containers.keys()].filter((tenantId) => !isWanted(tenantId));
      // Asked again: while one was removed, the edge may have sent the next one back to this host.
      for (const tenantId of unknown) if (suspects.has(tenantId) && !isWanted(tenantId)) await removeOrphan(tenantId);
      suspects = new Set(unknown);
    },

    async stop() {
      stopped = true;
      ending.ring();
      stopListening();
      await Promise.all([...workers.values()].map((worker) => worker.stop()));
    },
  };
}

/** Builds the images that the operator wants to be there before the first tenant asks. */
export async function prebuildImages(
  images: Ports["images"],
  runtimes: readonly RuntimeName[],
  log: Log,
  onChange: () => void,
): Promise<void> {
  for (const runtime of runtimes) {
    try {
      await images.ensure(runtime, onChange);
      log.info("image.ready", { runtime });
    } catch (error) {
      log.error("image.failed", { runtime, error: describeError(error) });
    }
    onChange();
  }
}
