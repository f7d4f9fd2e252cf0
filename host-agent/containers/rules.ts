import type { ContainerFacts, Vitals } from "../tenants/ports.ts";
import type { ContainerState, ContainerStats, ContainerSummary, NetworkState } from "./docker.ts";
import { LABELS, type NetworkSpec } from "./spec.ts";

/** Docker's words for one container in ours. A container whose labels are missing matches no plan. */
export function factsOf({ Id, Config, State }: ContainerState): ContainerFacts {
  const labels = Config.Labels ?? {};
  return {
    tenantId: labels[LABELS.tenant] ?? "",
    containerId: Id,
    running: State.Running,
    paused: State.Paused,
    // "created" also shows exit code 0, but nothing has run yet.
    exitCode: State.Running || State.Status === "created" ? null : State.ExitCode,
    oomKilled: State.OOMKilled,
    startedAt: State.StartedAt,
    planHash: labels[LABELS.plan] ?? "",
    restarts: Number(labels[LABELS.restarts] ?? 0),
  };
}

/**
 * The same from a list of many, but for when it was started and whether memory ended it: hundreds of containers are not
 * asked one by one twice a minute. Null where the list does not say enough.
 */
export function factsOfListed({ Id, State, Status, Labels }: ContainerSummary): ContainerFacts | null {
  const Paused = State === "paused";
  const Running = Paused || State === "running";
  const exitCode = State === "exited" ? /^Exited \((\d+)\)/.exec(Status)?.[1] : undefined;
  if (!Running && exitCode === undefined) return null;
  const state = { Status: State, Running, Paused, ExitCode: Number(exitCode ?? 0) };
  return factsOf({ Id, Config: { Labels }, State: { ...state, OOMKilled: false, StartedAt: "", Pid: 0 } });
}

/** Memory without the page cache that the kernel would give back (cgroup v1 and v2 call it by different names). */
export function vitalsOf({ State }: ContainerState, { cpu_stats, memory_stats, pids_stats }: ContainerStats): Vitals {
  const { usage = 0, stats = {} } = memory_stats;
  const cache = stats.total_inactive_file ?? stats.inactive_file ?? 0;
  return {
    pid: State.Pid,
    cpuNs: cpu_stats.cpu_usage.total_usage,
    memoryBytes: Math.max(0, usage - cache),
    pids: pids_stats.current ?? 0,
  };
}

/** Whether a network that carries the right name also is the right one. */
export function networkMatches(spec: NetworkSpec, found: NetworkState): boolean {
  const [wanted] = spec.IPAM.Config;
  const [actual, ...more] = found.IPAM.Config ?? [];
  return (
    found.Driver === spec.Driver &&
    found.EnableIPv6 === false &&
    more.length === 0 &&
    actual?.Subnet === wanted?.Subnet &&
    actual?.Gateway === wanted?.Gateway &&
    Object.entries(spec.Options).every(([name, value]) => found.Options[name] === value)
  );
}

/**
 * Whether a process is a container's, by its own line of /proc/PID/cgroup: `…/<id>`, or `…/docker-<id>.scope` where systemd
 * keeps the groups.
 */
export const isInGroupOf = (containerId: string, cgroup: string): boolean =>
  cgroup.split("\n").some((line) => line.endsWith(`/${containerId}`) || line.endsWith(`-${containerId}.scope`));

/** Pause before the event stream is opened again, after `failures` in a row: 100 ms, doubling, at most 5 s. */
export const reconnectDelayMs = (failures: number): number => Math.min(5_000, 100 * 2 ** Math.min(failures, 10));

type Refusal = Readonly<{ status: number; message: string }>;

/**
 * Without such a container the next walk makes it again. One that ran once is bound to its network by id: where that was
 * made anew, it can never start. And where the engine was killed in the middle of a start, containerd keeps something
 * under the container's id that this engine (before moby 23) neither takes back nor removes: a task, with its process or
 * without, or the directory that the next start would make.
 */
export const canNeverStart = ({ status, message }: Refusal): boolean =>
  (status === 404 && /\bnetwork\b.*not found/.test(message)) ||
  hasLostBridge({ status, message }) ||
  (status === 500 && /\btask\b.*already exists|\bid already in use|\bstart shim: mkdir .*: file exists/.test(message));

export const hasLostBridge = ({ status, message }: Refusal): boolean =>
  status === 500 && /could not find bridge/.test(message);
