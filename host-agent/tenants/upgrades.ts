import type { DataRows } from "../journal-data.ts";
import type { TenantRecord } from "../journal-records.ts";
import type { Log } from "../log.ts";
import { snapshotNameAt } from "../storage/index.ts";
import type { Tenant } from "./layout.ts";
import { EngineAwayError, StepError } from "./ports.ts";
import type { ChainStep } from "./rules.ts";
import type { Ports } from "./steps.ts";

/** A registry that is away says nothing about the image; one that stays away holds the agent up. */
const PULLS = 3;

export interface UpgradesOptions {
  ports: Pick<Ports, "volumes" | "containers" | "runtimes" | "routes">;
  data: Pick<DataRows, "get" | "put">;
  log: Log;
  nowMs: () => number;
}

/**
 * Another image is on trial until it is ready. Before it touches anything there is a snapshot; where it does not become
 * ready, the data is what it was and the image before runs again, until the agent's next word. Nobody was let in in
 * between, so nothing that anybody did is lost with it.
 */
export function createUpgrades({ ports, data, log, nowMs }: UpgradesOptions) {
  const { volumes, containers, runtimes, routes } = ports;

  /** What this generation is to run from, by digest; null: made here. */
  function imageOf({ id, generation, spec }: TenantRecord): string | null {
    const wanted = spec?.image ?? null;
    const { runs } = data.get(id);
    return runs?.refused?.generation === generation && runs.refused.image === wanted ? runs.image : wanted;
  }
  /** What ran before, where this image has not been ready yet. */
  function onTrial(record: TenantRecord) {
    const { runs } = data.get(record.id);
    return runs !== undefined && runs.image !== imageOf(record) ? runs : null;
  }
  const told = ({ id, generation }: TenantRecord, image: string | null, refused: string | null) =>
    ({ type: "tenant.image", at: nowMs(), tenantId: id, generation, image, refused }) as const;

  return {
    imageOf,

    /** The one before has ended, and the new one has not begun. */
    async snapshot(record: TenantRecord, { layout }: Tenant): Promise<void> {
      const runs = onTrial(record);
      const image = imageOf(record);
      if (!runs || runs.trial?.image === image || !(await volumes.snapshots.hasLive(layout))) return;
      const snapshot = snapshotNameAt(nowMs());
      await volumes.snapshots.take(layout, snapshot);
      data.put(record.id, { runs: { ...runs, trial: { image, snapshot } } });
    },

    /** Before the volume is opened: what a refused image made of the data is undone, once. */
    async undo(record: TenantRecord, { spec, layout }: Tenant): Promise<void> {
      const { runs } = data.get(record.id);
      const refused = runs?.refused;
      if (!runs || refused?.generation !== record.generation || refused.snapshot === null) return;
      const makeWay = async () => {
        routes.remove(spec.hostname);
        await containers.stop(record.id, runtimes.stopTimeoutSeconds(spec.runtime));
        await volumes.close(layout);
      };
      const { diskMiB } = spec.limits;
      await volumes.snapshots.restore(layout, { name: refused.snapshot, diskMiB, makeWay });
      data.put(record.id, { runs: { ...runs, refused: { ...refused, snapshot: null } } });
    },

    /** It is ready: from here on it is the one to go back to. */
    ready(record: TenantRecord): void {
      const { runs } = data.get(record.id);
      const image = imageOf(record);
      if (runs && runs.image === image && runs.trial === undefined) return;
      const refused = runs?.refused?.generation === record.generation ? runs.refused : undefined;
      const isNews = runs !== undefined || image !== null;
      data.put(
        record.id,
        { runs: { image, refused } },
        isNews ? told(record, image, refused?.image ?? null) : undefined,
      );
    },

    /** Whether a failure was that of an image on trial, which is refused with it. */
    refuse(record: TenantRecord, step: ChainStep, error: unknown, times: number): boolean {
      // An engine that dies in the middle of a trial says nothing about the image.
      const runs = record.goal === "running" && !(error instanceof EngineAwayError) ? onTrial(record) : null;
      const isFinal = error instanceof StepError && !error.retryable;
      const isIts =
        step === "health" || (step === "container" && isFinal) || (step === "image" && (isFinal || times >= PULLS));
      if (!runs || !isIts) return false;
      const image = imageOf(record);
      const { generation } = record;
      const refused = { image, generation, snapshot: runs.trial?.image === image ? runs.trial.snapshot : null };
      data.put(record.id, { runs: { image: runs.image, refused } }, told(record, runs.image, image));
      log.warn("tenant.image_refused", { tenant: record.id, image: image ?? "built", step });
      return true;
    },
  };
}
export type Upgrades = ReturnType<typeof createUpgrades>;
