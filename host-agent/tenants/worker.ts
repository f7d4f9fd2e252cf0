import type { Depth, Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import type { Slumber } from "../sleep/index.ts";
import { createBell } from "../waiting.ts";
import { type Backoff, createAttempts } from "./attempts.ts";
import { EngineAwayError, StepError } from "./ports.ts";
import { type ChainStep, decide } from "./rules.ts";
import type { Ports, Steps } from "./steps.ts";
import type { Upgrades } from "./upgrades.ts";
import { walk } from "./walk.ts";

const DEFAULT_BACKOFF = { firstMs: 500, maxMs: 30_000 };
const UNKNOWN_FAILURE = "Something went wrong on the server.";
const KEEPS_DYING = "The agent keeps stopping right after it was started.";

export interface WorkerOptions {
  tenantId: string;
  journal: { tenants: Pick<Journal["tenants"], "get" | "note" | "sleep" | "awake"> };
  ports: Ports;
  /** Absent: nobody sleeps on this host. */
  slumber?: Slumber;
  steps: Steps;
  log: Log;
  nowMs: () => number;
  random: () => number;
  /** Pauses between attempts. */
  backoff?: Backoff;
  /** Absent: nothing is on trial on this host. */
  upgrades?: Pick<Upgrades, "refuse">;
  /** This tenant is where it is wanted. */
  onReached?: (tenantId: string) => void;
  /** Nothing is left of the tenant, and this worker has ended. */
  onGone: () => void;
}

export interface TenantWorker {
  /** Something may have changed: look again. A newer generation ends the walk that is on its way. */
  wake(): void;
  /** What held it up may be over: no pause of before is waited out, and the next one is short again. */
  retry(): void;
  /** Somebody needs it: whoever sleeps gets up. */
  rouse(): void;
  /** Ends after the step in hand. Containers stay as they are. */
  stop(): Promise<void>;
}

/** The only writer of one tenant on this host: looks, decides, walks, waits. */
export function startTenantWorker(options: WorkerOptions): TenantWorker {
  const { tenantId, journal, ports, steps, slumber, log, nowMs, random, backoff = DEFAULT_BACKOFF } = options;
  const bell = createBell();
  const ending = new AbortController();
  let firstLook = true;
  const fresh = (generation: number) => createAttempts(generation, { backoff, nowMs, random });
  let attempts = fresh(0);
  let needed = false;
  let walking: { generation: number; abort: AbortController } | null = null;

  /** Returns how long to wait for the next turn; undefined: until woken; null: this tenant is gone. */
  async function turn(): Promise<number | undefined | null> {
    const record = journal.tenants.get(tenantId);
    if (!record || record.state === "purged") return null;
    if (attempts.generation !== record.generation) attempts = fresh(record.generation);
    const waitMs = attempts.waitMs();
    if (waitMs > 0) return waitMs;

    if (record.asleep !== null && needed) return getUp(record);
    needed = false;
    // A deletion goes on with an engine that answers nothing; its steps ask for themselves.
    const container = record.goal === "purged" ? null : await ports.containers.find(tenantId);
    const decision = decide({ ...record, firstLook, container });
    switch (decision) {
      case "rest":
        firstLook = false;
        attempts.settled();
        return rest(record);
      case "recover":
        return recover(record);
      case "confirm":
        if (record.asleep !== null) journal.tenants.awake(tenantId, { running: false, atMs: nowMs() });
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
      const onStep = (step: ChainStep) => slumber?.tell(record, { step });
      const result = await walk({ record, steps, journal, signal, nowMs, onStep });
      if (result.end === "superseded") return 0;
      if (result.end === "failed") return failed(record, result.step, result.error);
      log.info("tenant.reached", { tenant: tenantId, generation: record.generation, goal: record.goal });
      firstLook = false;
      options.onReached?.(tenantId);
      attempts.reached();
      if (record.goal === "purged") return null;
      return rest(journal.tenants.get(tenantId) ?? record);
    } finally {
      walking = null;
    }
  }

  /** It is where it is wanted: how long it may stay as it is. */
  async function rest(record: TenantRecord): Promise<number | undefined | null> {
    if (!slumber || record.goal !== "running" || record.spec?.sleep === undefined || record.state === "failed") {
      return undefined;
    }
    const next = slumber.next(record);
    switch (next.do) {
      case "wait":
        return next.ms;
      case "wake":
        return getUp(record);
      case "sleep":
        return record.asleep === null ? fallAsleep(record, slumber, next.depth) : deepen(record, slumber);
    }
  }

  async function fallAsleep(record: TenantRecord, slumber: Slumber, depth: Depth): Promise<number> {
    const { id, generation } = record;
    const commit = (wakeAtMs: number | null) =>
      journal.tenants.sleep({ tenantId: id, generation, depth, sinceMs: nowMs(), wakeAtMs, atMs: nowMs() });
    const fallen = await slumber.fallAsleep(record, depth, { knock: rouse, commit });
    if (fallen.asleep) {
      log.info("tenant.asleep", { tenant: id, depth, wakeAt: fallen.wakeAtMs ?? undefined });
      return 0;
    }
    log.info("tenant.busy", { tenant: id, why: fallen.why });
    const now = journal.tenants.get(id);
    if (now?.asleep) await getUp(now);
    else if (record.spec && ports.routes.isHeld(record.spec.hostname)) await steps.route(contextOf(record));
    slumber.stir(record);
    return slumber.lookAgainMs(record);
  }

  async function deepen(record: TenantRecord, slumber: Slumber): Promise<number> {
    const { id, generation, wakeAtMs } = record;
    const sinceMs = record.asleepSinceMs ?? nowMs();
    journal.tenants.sleep({ tenantId: id, generation, depth: "stopped", sinceMs, wakeAtMs, atMs: nowMs() });
    await slumber.deepen(record);
    log.info("tenant.asleep", { tenant: id, depth: "stopped" });
    return 0;
  }

  /**
   * From frozen the door is open before the journal knows: it is the engine's word that counts after a crash. From ended
   * it is an ordinary start, which every crash finds again.
   */
  async function getUp(record: TenantRecord): Promise<number | undefined | null> {
    needed = false;
    const began = performance.now();
    const frozen = record.asleep === "paused" && (await thawed(record));
    if (frozen) await steps.route(contextOf(record));
    journal.tenants.awake(tenantId, { running: frozen, atMs: nowMs() });
    const reached = frozen ? 0 : await go(record);
    log.info("tenant.awake", {
      tenant: tenantId,
      from: record.asleep ?? "",
      tookMs: Math.round(performance.now() - began),
    });
    return reached;
  }

  /** False when it is not there any more: an engine that was restarted ends what was frozen. */
  async function thawed(record: TenantRecord): Promise<boolean> {
    await slumber?.thaw(record);
    const container = await ports.containers.find(record.id);
    return container?.running === true && container.restarts === record.restarts;
  }

  const contextOf = (record: TenantRecord) => ({ record, signal: ending.signal, progress: () => {} });

  /** It ran and stopped by itself: no visitors, then again, later each time. */
  async function recover(record: TenantRecord): Promise<number | undefined> {
    await steps.unroute(contextOf(record));
    const excused = attempts.isExcused();
    // Written before it is counted: a disk that is full for a while must not make many crashes of one.
    const how = excused ? "with the container engine" : "by itself";
    state(record, "creating", `Starting again after it stopped ${how}.`);
    log.warn(excused ? "tenant.ended_with_engine" : "tenant.stopped_by_itself", { tenant: tenantId });
    if (excused) return 0;
    attempts.crashed();
    return attempts.isHopeless() ? giveUp(record, KEEPS_DYING) : attempts.pauseForCrash();
  }

  async function failed(record: TenantRecord, step: ChainStep, error: unknown): Promise<number | undefined> {
    const times = attempts.failed();
    const detail = error instanceof StepError ? error.public : UNKNOWN_FAILURE;
    log.warn("tenant.step_failed", { tenant: tenantId, step, times, error: describeError(error) });
    slumber?.tell(record, { trouble: detail });
    if (options.upgrades?.refuse(record, step, error, times)) {
      const { generation } = record;
      const said = `The new image was not taken: ${detail} The one before it runs again, with its data as it was.`;
      journal.tenants.note({
        tenantId,
        generation,
        atMs: nowMs(),
        steps: [{ step, status: "progress", detail: said }],
      });
      attempts = fresh(generation);
      return 0;
    }
    if (step === "health" && !(error instanceof EngineAwayError)) await countStart();
    const hopelessNow = attempts.isHopeless();
    const isFinal = record.goal === "running" && (hopelessNow || (error instanceof StepError && !error.retryable));
    const { generation } = record;
    const note = { step, status: isFinal ? ("failed" as const) : ("progress" as const), detail };
    journal.tenants.note({ tenantId, generation, atMs: nowMs(), steps: [note] });
    return isFinal ? giveUp(record, hopelessNow ? KEEPS_DYING : detail) : attempts.pauseForFailure();
  }

  /** The engine's word decides whose failure it was: a start that the engine refused says nothing about the agent. */
  async function countStart(): Promise<void> {
    const container = await ports.containers.find(tenantId);
    const died = container !== null && !container.running && container.exitCode !== null;
    if (died) attempts.crashed();
    if (died || container?.running) attempts.startFailed();
  }

  /** What cannot run is not left half running: no visitors, no process, and a sentence for its owner. */
  async function giveUp(record: TenantRecord, detail: string): Promise<undefined> {
    if (record.spec) ports.routes.fail(record.spec.hostname, detail);
    await steps.stop(contextOf(record));
    state(record, "failed", detail);
    firstLook = false;
    return undefined;
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
        attempts.failed();
        log.warn("tenant.turn_failed", { tenant: tenantId, error: describeError(error) });
        waitMs = attempts.pauseForFailure();
      }
      if (waitMs === null) return options.onGone();
      if (waitMs !== 0 && !ending.signal.aborted) await bell.wait(waitMs);
    }
  }

  function rouse(): void {
    needed = true;
    bell.ring();
  }

  const living = live();
  return {
    wake() {
      if (walking && journal.tenants.get(tenantId)?.generation !== walking.generation) walking.abort.abort();
      bell.ring();
    },
    retry() {
      attempts.engineBack();
      bell.ring();
    },
    rouse,
    async stop() {
      ending.abort();
      bell.ring();
      await living;
    },
  };
}
