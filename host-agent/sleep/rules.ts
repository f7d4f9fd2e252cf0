import type { SleepPolicy } from "../../schema/protocol/index.ts";
import type { Depth } from "../journal.ts";
import type { Connections } from "./connections.ts";

/** How long before a job of the agent's own it is woken: longer than any start takes that is not in trouble. */
const WAKE_EARLY_MS = { paused: 1_000, stopped: 30_000 } as const;
/** An agent that would wake this soon is left awake. */
const NOT_WORTH_IT_MS = 60_000;
/** How soon an agent is looked at again that was busy. */
const LOOK_AGAIN_MS = 15_000;
/** setTimeout takes no more than 2^31 ms. */
const LONGEST_MS = 24 * 3_600_000;

export interface Rest {
  policy: SleepPolicy | undefined;
  depth: Depth | null;
  /** Since the last visitor, or since it fell asleep first. */
  idleMs: number;
  wakeAtMs: number | null;
  nowMs: number;
}

export type NextRest = { do: "sleep"; depth: Depth } | { do: "wake" } | { do: "wait"; ms: number | undefined };

/** What there is to do about a tenant that is where it is wanted, awake or asleep. */
export function nextRest({ policy, depth, idleMs, wakeAtMs, nowMs }: Rest): NextRest {
  const wakeInMs = wakeAtMs === null || depth === null ? null : wakeAtMs - nowMs;
  if (wakeInMs !== null && wakeInMs <= 0) return { do: "wake" };
  const stopInMs = policy?.stopAfterSeconds === undefined ? null : policy.stopAfterSeconds * 1_000 - idleMs;
  const pauseInMs = policy?.pauseAfterSeconds === undefined ? null : policy.pauseAfterSeconds * 1_000 - idleMs;
  if (depth !== "stopped" && stopInMs !== null && stopInMs <= 0 && !soon(wakeInMs))
    return { do: "sleep", depth: "stopped" };
  if (depth === null && pauseInMs !== null && pauseInMs <= 0) return { do: "sleep", depth: "paused" };
  const deadlines = [
    wakeInMs,
    depth !== "stopped" && stopInMs !== null && stopInMs > 0 ? stopInMs : null,
    depth === null ? pauseInMs : null,
  ].filter((ms) => ms !== null);
  return { do: "wait", ms: deadlines.length > 0 ? Math.min(LONGEST_MS, ...deadlines) : undefined };
}
const soon = (ms: number | null) => ms !== null && ms < NOT_WORTH_IT_MS;

/** When to wake for the agent's own next job, or that it is not worth sleeping for so short a time. */
export function wakeTime(
  nextRunMs: number | null,
  depth: Depth,
  nowMs: number,
): { sleep: boolean; wakeAtMs: number | null } {
  if (nextRunMs === null) return { sleep: true, wakeAtMs: null };
  const wakeAtMs = nextRunMs - WAKE_EARLY_MS[depth];
  return { sleep: wakeAtMs - nowMs >= (depth === "stopped" ? NOT_WORTH_IT_MS : 0), wakeAtMs };
}

export function lookAgainMs(policy: SleepPolicy | undefined): number {
  const first = Math.min(policy?.pauseAfterSeconds ?? Infinity, policy?.stopAfterSeconds ?? Infinity) * 1_000;
  return Math.min(LOOK_AGAIN_MS, first);
}

export interface Signs {
  /** The runtime's own word: what it is doing, or null. Undefined where it has none; then its CPU has to tell. */
  runtime: string | null | undefined;
  connections: Connections | null;
  /** Of one core, over the last moment; not asked where the runtime has a word. */
  cpuShare: number;
}

/** Timers and housekeeping of an idle runtime stay below it; work of any kind does not. */
const BUSY_CPU_SHARE = 0.1;

/** Why a tenant must not be put to sleep, or null. For the operator's log. */
export function occupation({ runtime, connections, cpuShare }: Signs): string | null {
  if (connections === null) return "its connections cannot be seen";
  if (connections.inbound > 0) return `${connections.inbound} open connections of visitors`;
  if (runtime) return runtime;
  if (connections.outbound > 0) return `${connections.outbound} open connections of its own`;
  if (runtime === undefined && cpuShare > BUSY_CPU_SHARE) return `${Math.round(cpuShare * 100)} % of a core`;
  return null;
}
