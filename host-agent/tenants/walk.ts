import type { DeletionStep } from "../../schema/protocol/index.ts";
import type { Journal, StepNote, TenantRecord } from "../journal.ts";
import { CHAINS, type ChainStep, goesOn, REACHED, readySteps } from "./rules.ts";
import type { Steps } from "./steps.ts";

const PROGRESS_EVERY_MS = 250;

export interface WalkOptions {
  record: TenantRecord;
  steps: Steps;
  journal: { tenants: Pick<Journal["tenants"], "note"> };
  signal: AbortSignal;
  nowMs: () => number;
  /** For those who wait at the door. */
  onStep?: (step: ChainStep) => void;
}

export type WalkEnd = { end: "reached" } | { end: "superseded" } | { end: "failed"; step: ChainStep; error: unknown };

type Finished = { step: ChainStep; tookMs: number; error?: unknown; failed: boolean };

/**
 * Walks one chain: each step is in the journal before it begins and after it ends. What may run side by side does; a
 * failure lets the steps beside it end before it is told, so that nothing of this walk is left at work.
 */
export async function walk({ record, steps, journal, signal, nowMs, onStep }: WalkOptions): Promise<WalkEnd> {
  const chain = CHAINS[record.goal];
  const begun = new Set<ChainStep>();
  const done = new Set<ChainStep>();
  /** Failed, in a chain that goes on. */
  const passed = new Set<ChainStep>();
  const running = new Map<ChainStep, Promise<Finished>>();
  const proofs: DeletionStep[] = [];
  let receipt: string | undefined;
  const failing = new AbortController();
  const stop = AbortSignal.any([signal, failing.signal]);
  const note = (notes: StepNote[], reached: boolean) =>
    journal.tenants.note({
      tenantId: record.id,
      generation: record.generation,
      atMs: nowMs(),
      steps: notes,
      state: reached ? { state: REACHED[record.goal] } : undefined,
      receipt,
    });

  async function take(step: ChainStep): Promise<Finished> {
    const began = nowMs();
    let lastProgress = 0;
    const progress = (update: Pick<StepNote, "fraction" | "detail">) => {
      if (stop.aborted || nowMs() - lastProgress < PROGRESS_EVERY_MS) return;
      lastProgress = nowMs();
      // Not worth failing a step for: a journal that cannot be written stops the walk at its next record.
      try {
        note([{ step, status: "progress", ...update }], false);
      } catch {}
    };
    try {
      const said = await steps[step]({ record, signal: stop, progress, proofs });
      if (said && step === "forget") receipt = said;
      else if (said) proofs.push({ step, at: nowMs(), checked: said });
      return { step, tookMs: nowMs() - began, failed: false };
    } catch (error) {
      return { step, tookMs: nowMs() - began, failed: true, error };
    }
  }

  let failure: { step: ChainStep; error: unknown } | null = null;
  let notes: StepNote[] = [];
  try {
    for (;;) {
      const next = stop.aborted ? [] : readySteps(chain, begun, done, passed);
      for (const step of next) notes.push({ step, status: "started" });
      const reached = done.size === Object.keys(chain).length;
      if (!note(notes, reached)) return { end: "superseded" };
      if (reached) return { end: "reached" };
      notes = [];
      for (const step of next) {
        begun.add(step);
        onStep?.(step);
        running.set(step, take(step));
      }
      if (running.size === 0) return failure ? { end: "failed", ...failure } : { end: "superseded" };

      const finished = await Promise.race(running.values());
      running.delete(finished.step);
      if (!finished.failed) {
        done.add(finished.step);
        notes.push({ step: finished.step, status: "done", tookMs: Math.max(0, finished.tookMs) });
      } else if (!stop.aborted) {
        failure ??= { step: finished.step, error: finished.error };
        if (goesOn(record.goal, finished.step)) passed.add(finished.step);
        else failing.abort();
      }
    }
  } finally {
    failing.abort();
    await Promise.allSettled(running.values());
  }
}
