import type { ObservedState, StepName } from "../../schema/protocol/index.ts";
import type { Depth } from "../journal-records.ts";
import type { Goal } from "../journal-rules.ts";
import type { ContainerFacts } from "./ports.ts";

/**
 * The way to each goal: step → the steps that must be done before it. What does not need each other runs side by
 * side. Every step converges, so that a resume is the same chain again.
 */
export type ChainStep = Exclude<StepName, "accept">;
export type Chain = Partial<Record<ChainStep, readonly ChainStep[]>>;

export const CHAINS: Readonly<Record<Goal, Chain>> = {
  running: {
    uid: [],
    image: [],
    volume: ["uid"],
    network: ["uid"],
    config: ["uid"],
    // Made while its volume is opened and its bridge is made; `health` starts it, and only then it needs them and the walls.
    container: ["image", "config"],
    // Read back from the kernel for every start: a process must not start behind rules that are not there. Behind
    // `config`, since it starts programs, and each of them holds this process up: what takes long (`volume`) has begun.
    firewall: ["config"],
    health: ["container", "volume", "network", "firewall"],
    route: ["health"],
  },
  suspended: { unroute: [], stop: ["unroute"] },
  stopped: { unroute: [], stop: ["unroute"], remove_container: ["stop"] },
  purged: {
    unroute: [],
    stop: ["unroute"],
    remove_container: ["stop"],
    // The engine releases a bridge, and the kernel a mount, only after the container that used them.
    remove_network: ["remove_container"],
    remove_volume: ["remove_container"],
    // A copy that is on its way up reads the volume.
    remove_copies: ["remove_volume"],
    forget: ["remove_network", "remove_copies"],
  },
};

/**
 * What must be done although a step before it failed: with an engine that hangs or object storage that is away, all the
 * rest of a deletion is done all the same, and the failed step again until it is proven. `forget` is the word that
 * nothing is left, so it waits for all of them.
 */
export const goesOn = (goal: Goal, step: ChainStep): boolean => goal === "purged" && step !== "forget";

/** The state that a finished chain proves. `purged` is written by the tombstone itself. */
export const REACHED: Readonly<Record<Goal, ObservedState>> = {
  running: "running",
  suspended: "suspended",
  stopped: "stopped",
  purged: "purged",
};

/** Steps that may begin now, in the chain's order. */
export function readySteps(
  chain: Chain,
  begun: ReadonlySet<ChainStep>,
  done: ReadonlySet<ChainStep>,
  passed: ReadonlySet<ChainStep> = new Set(),
): ChainStep[] {
  return (Object.keys(chain) as ChainStep[]).filter(
    (step) =>
      !begun.has(step) &&
      (chain[step] ?? []).every((needed) => done.has(needed) || passed.has(needed)) &&
      (step !== "forget" || passed.size === 0),
  );
}

export interface Situation {
  goal: Goal;
  generation: number;
  state: ObservedState;
  stateGeneration: number;
  restarts: number;
  /** Nothing was checked since this process began. */
  firstLook: boolean;
  /** How deep this host has put it to sleep; null: awake. */
  asleep: Depth | null;
  container: ContainerFacts | null;
}

export type Decision =
  /** What the journal says is what the engine says. */
  | "rest"
  /** Walk the chain; nobody notices, since the container that is wanted runs. */
  | "confirm"
  /** Walk the chain and say so: the tenant is not what its owner wants. */
  | "apply"
  /** It ran, and it stopped by itself. */
  | "recover";

/** What there is to do about one tenant, from the journal's word and the engine's. */
export function decide(now: Situation): Decision {
  const told = now.stateGeneration === now.generation;
  switch (now.goal) {
    case "purged":
      return now.state === "purged" ? "rest" : "apply";
    case "stopped":
      return told && now.state === "stopped" && now.container === null ? "rest" : "apply";
    case "suspended":
      return told && now.state === "suspended" && !now.container?.running ? "rest" : "apply";
    case "running": {
      // Given up on for this generation: only its owner's next word, or a new start of this agent, tries again.
      if (told && now.state === "failed" && !now.firstLook) return "rest";
      const paused = now.container?.paused === true;
      const awake = now.container?.running === true && !paused;
      // Nobody needs it, and what is left of it is what there should be; or less, after an engine that was restarted. One
      // that runs all the same was on its way to wake, or was woken by hand.
      if (now.asleep !== null) return awake ? "confirm" : "rest";
      const wanted = awake && now.container?.restarts === now.restarts;
      if (!wanted) return told && now.state === "running" && !now.firstLook && !paused ? "recover" : "apply";
      if (now.state !== "running") return "apply";
      return told && !now.firstLook ? "rest" : "confirm";
    }
  }
}

export const CRASH_WINDOW_MS = 120_000;
export const CRASH_LIMIT = 5;
export const START_LIMIT = 5;

/** Whether trying again is pointless: it keeps dying, or has never once become ready. */
export function hopeless(crashesAtMs: readonly number[], failedStarts: number, nowMs: number): boolean {
  const recent = crashesAtMs.filter((at) => nowMs - at <= CRASH_WINDOW_MS);
  return recent.length >= CRASH_LIMIT || failedStarts >= START_LIMIT;
}
