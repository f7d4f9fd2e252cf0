import type { Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import { backoffMs, createBell } from "../waiting.ts";
import { StepError } from "./ports.ts";
import { type ChainStep, CRASH_WINDOW_MS, decide, hopeless } from "./rules.ts";
import type { Ports, Steps } from "./steps.ts";
import { walk } from "./walk.ts";

const DEFAULT_BACKOFF = { firstMs: 500, maxMs: 30_000 };
const UNKNOWN_FAILURE = "Something went wrong on the server.";
const KEEPS_DYING = "The agent keeps stopping right after it was started.";

export interface WorkerOptions {
  tenantId: string;
  journal: { tenants: Pick<Journal["tenants"], "get" | "note"> };
  ports: Ports;
  steps: Steps;
  log: Log;
  nowMs: () => number;
  random: () => number;
  /** Pauses between attempts. */
  backoff?: { firstMs: number; maxMs: number };
  /** This tenant is where it is wanted. */
  onReached?: () => void;
  /** Nothing is left of the tenant, and this worker has ended. */
  onGone: () => void;
}

export interface TenantWorker {
  /** Something may have changed: look again. A newer generation ends the walk that is on its way. */
  wake(): void;
  /** Ends after the step in hand. Containers stay as they are. */
  stop(): Promise<void>;
}

/** What is remembered of one generation while this process lives. */
interface Attempts {
  generation: number;
  failures: number;
  failedStarts: number;
  crashesAtMs: number[];
  notBeforeMs: number;
}

/** The only writer of one tenant on this host: looks, decides, walks, waits. */
export function startTenantWorker(options: WorkerOptions): TenantWorker {
  const { tenantId, journal, ports, steps, log, nowMs, random, backoff = DEFAULT_BACKOFF } = options;
  const bell = createBell();
  const ending = new AbortController();
  let firstLook = true;
  let attempts: Attempts = fresh(0);
  let walking: { generation: number; abort: AbortController } | null = null;

  /** Returns how long to wait for the next turn; undefined: until woken; null: this tenant is gone. */
  async function turn(): Promise<number | undefined | null> {
    const record = journal.tenants.get(tenantId);
    if (!record || record.state === "purged") return null;
    if (attempts.generation !== record.generation) attempts = fresh(record.generation);
    const waitMs = attempts.notBeforeMs - nowMs();
    // No pause is longer than the longest: then the clock was set back, and the pause would last until it has caught up.
    if (waitMs > 0 && waitMs <= backoff.maxMs) return waitMs;

    const decision = decide({ ...record, firstLook, container: await ports.containers.find(tenantId) });
    switch (decision) {
      case "rest":
        firstLook = false;
        return undefined;
      case "recover":
        return recover(record);
      case "confirm":
        return go(record);
      case "apply":
        if (record.goal === "running") state(record, "creating");
        return go(record);
    }
  }

  async function go(record: TenantRecord): Promise<number | undefined | null> {
    const abort = new AbortController();
    walking = { generation: record.generation, abort };
    const signal = AbortSignal.any([abort.signal, ending.signal]);
    try {
      const result = await walk({ record, steps, journal, signal, nowMs });
      if (result.end === "superseded") return 0;
      if (result.end === "failed") return failed(record, result.step, result.error);
      log.info("tenant.reached", { tenant: tenantId, generation: record.generation, goal: record.goal });
      firstLook = false;
      options.onReached?.();
      attempts = { ...attempts, failures: 0, failedStarts: 0 };
      return record.goal === "purged" ? null : undefined;
    } finally {
      walking = null;
    }
  }

  /** It ran and stopped by itself: no visitors, then again, later each time. */
  async function recover(record: TenantRecord): Promise<number | undefined> {
    await steps.unroute({ record, signal: ending.signal, progress: () => {} });
    attempts.crashesAtMs.push(nowMs());
    log.warn("tenant.stopped_by_itself", { tenant: tenantId, times: attempts.crashesAtMs.length });
    if (hopeless(attempts.crashesAtMs, attempts.failedStarts, nowMs())) return giveUp(record, KEEPS_DYING);
    state(record, "creating", "Starting again after it stopped by itself.");
    const recent = attempts.crashesAtMs.filter((at) => nowMs() - at <= CRASH_WINDOW_MS).length;
    return pause(recent);
  }

  async function failed(record: TenantRecord, step: ChainStep, error: unknown): Promise<number | undefined> {
    attempts.failures += 1;
    const detail = error instanceof StepError ? error.public : UNKNOWN_FAILURE;
    log.warn("tenant.step_failed", { tenant: tenantId, step, times: attempts.failures, error: describeError(error) });
    if (step === "health") await countStart();
    const hopelessNow = hopeless(attempts.crashesAtMs, attempts.failedStarts, nowMs());
    const isFinal = record.goal === "running" && (hopelessNow || (error instanceof StepError && !error.retryable));
    const { generation } = record;
    const note = { step, status: isFinal ? ("failed" as const) : ("progress" as const), detail };
    journal.tenants.note({ tenantId, generation, atMs: nowMs(), steps: [note] });
    return isFinal ? giveUp(record, hopelessNow ? KEEPS_DYING : detail) : pause(attempts.failures);
  }

  /** The engine's word decides whose failure it was: a start that the engine refused says nothing about the agent. */
  async function countStart(): Promise<void> {
    const container = await ports.containers.find(tenantId);
    const died = container !== null && !container.running && container.exitCode !== null;
    if (died) attempts.crashesAtMs.push(nowMs());
    if (died || container?.running) attempts.failedStarts += 1;
  }

  /** What cannot run is not left half running: no visitors, no process, and a sentence for its owner. */
  async function giveUp(record: TenantRecord, detail: string): Promise<undefined> {
    const context = { record, signal: ending.signal, progress: () => {} };
    await steps.unroute(context);
    await steps.stop(context);
    state(record, "failed", detail);
    firstLook = false;
    return undefined;
  }

  function pause(times: number): number {
    const ms = backoffMs(times, backoff, random());
    attempts.notBeforeMs = nowMs() + ms;
    return ms;
  }

  function state(record: TenantRecord, word: "creating" | "failed", detail?: string): void {
    const { generation } = record;
    journal.tenants.note({ tenantId, generation, atMs: nowMs(), state: { state: word, detail } });
  }

  async function live(): Promise<void> {
    while (!ending.signal.aborted) {
      let waitMs: number | undefined | null;
      try {
        waitMs = await turn();
      } catch (error) {
        if (ending.signal.aborted) return;
        attempts.failures += 1;
        log.warn("tenant.turn_failed", { tenant: tenantId, error: describeError(error) });
        waitMs = pause(attempts.failures);
      }
      if (waitMs === null) return options.onGone();
      if (waitMs !== 0 && !ending.signal.aborted) await bell.wait(waitMs);
    }
  }

  const living = live();
  return {
    wake() {
      if (walking && journal.tenants.get(tenantId)?.generation !== walking.generation) walking.abort.abort();
      bell.ring();
    },
    async stop() {
      ending.abort();
      bell.ring();
      await living;
    },
  };
}

const fresh = (generation: number): Attempts => ({
  generation,
  failures: 0,
  failedStarts: 0,
  crashesAtMs: [],
  notBeforeMs: 0,
});
