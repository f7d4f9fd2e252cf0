import type { DataRows } from "../journal-data.ts";
import { describeError, type Log } from "../log.ts";
import type { Tenant } from "./layout.ts";
import { StepError } from "./ports.ts";
import type { Ports } from "./steps.ts";

export interface RestoreOptions {
  ports: Pick<Ports, "volumes" | "containers" | "runtimes" | "routes" | "copies">;
  data: Pick<DataRows, "get" | "put">;
  log: Log;
  nowMs: () => number;
}

/**
 * Makes a tenant's data what it was, once per number that was asked for, before its volume is opened. The agent runs on
 * until the copy is whole; then it is stopped and the copy takes the place of the live data. What cannot be restored
 * leaves the live data untouched, and the agent goes on with it; without any it does not start, and this is tried again.
 */
export function createRestore({ ports, data, log, nowMs }: RestoreOptions) {
  const { volumes, containers, runtimes, routes, copies } = ports;

  return async ({ spec, layout }: Tenant, key: string | null): Promise<void> => {
    const wish = spec.data?.restore;
    if (!wish || (data.get(spec.id).restored?.number ?? 0) >= wish.number) return;
    if (!key) throw new StepError("The agent's storage key is missing.", { retryable: false });
    const { diskMiB } = spec.limits;
    const began = nowMs();
    let stoppedAtMs = began;
    const makeWay = async () => {
      stoppedAtMs = nowMs();
      routes.remove(spec.hostname);
      await containers.stop(spec.id, runtimes.stopTimeoutSeconds(spec.runtime));
      await volumes.close(layout);
    };
    const done = (ok: boolean) => {
      const restored = { ...wish, at: nowMs(), tookMs: Math.max(0, nowMs() - stoppedAtMs), ok };
      data.put(spec.id, { restored });
      log.info("data.restored", { tenant: spec.id, from: wish.from, ok, tookMs: nowMs() - began });
    };
    try {
      if (wish.from === "backup") {
        const fill = (directory: string) => copies.fetch(spec.id, key, directory);
        await volumes.snapshots.receive(layout, { diskMiB, fill, makeWay });
      } else {
        await volumes.snapshots.restore(layout, { name: wish.from, diskMiB, makeWay });
      }
      done(true);
    } catch (error) {
      log.warn("data.not_restored", { tenant: spec.id, from: wish.from, error: describeError(error) });
      if (!(await volumes.snapshots.hasLive(layout))) throw error;
      done(false);
    }
  };
}
