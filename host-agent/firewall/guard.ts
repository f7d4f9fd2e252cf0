/**
 * Keeps the walls true. At start: repair, verify, and only then may tenants start; afterwards whenever something
 * happened and at least every ten seconds: compare the kernel with the plan, repair, count, tell.
 */
export interface Wall {
  name: string;
  /** What differs from the plan, in words; empty when it stands. */
  verify(): Promise<string[]>;
  /** Makes it stand; resolves with what had differed. */
  repair(): Promise<string[]>;
  /** Whether this may be somebody else's work that is half done, while another lock holds: then it is looked at again first. */
  passing?(differences: readonly string[]): boolean;
}

export interface Drift {
  wall: string;
  differences: readonly string[];
  /** From the look that found it until the wall was verified again; null when the repair failed. */
  repairMs: number | null;
  /** Why the repair failed, for the operator's log. */
  failure: string | null;
}

export interface GuardState {
  /** Whether every wall stood at the last look; tenants start only while this is true. */
  standing: boolean;
  /** Drifts since the start, each counted once however many rules it touched. */
  drifts: number;
  checks: number;
}

export interface GuardOptions {
  walls: readonly Wall[];
  intervalMs?: number;
  /** At most one look in this time, however many events arrive: every tenant's start makes Docker write rules. */
  quietMs?: number;
  /** Each calls back when something may have changed (Docker events, kernel events); returns how to stop it. */
  watches?: readonly ((changed: () => void) => () => void)[];
  /** Before each further look at what may pass by itself. */
  pausesMs?: readonly number[];
  onDrift(drift: Drift): void;
  nowMs?: () => number;
}

export interface Guard {
  /** Rejects when a wall does not stand yet; nothing may start then, and it goes on trying. Does not count as drift. */
  start(): Promise<void>;
  /** Looks now (or joins a look that has not begun yet); resolves with the state after it. */
  check(): Promise<GuardState>;
  /** Runs what changes the plan itself while nobody looks: it would be taken for somebody else's hand, and counted. */
  between<T>(work: () => Promise<T>): Promise<T>;
  state(): GuardState;
  /** The same drifts as in the state, by the wall's name; every wall is named. */
  driftsByWall(): Record<string, number>;
  stop(): Promise<void>;
}

const INTERVAL_MS = 10_000;
const QUIET_MS = 500;
/** Docker's two programs, one that takes its jump out and one that puts it back, are a second apart on a busy machine. */
const PAUSES_MS = [50, 100, 200, 400, 800];

export function createGuard(options: GuardOptions): Guard {
  const { walls, onDrift, intervalMs = INTERVAL_MS, quietMs = QUIET_MS, pausesMs = PAUSES_MS, watches = [] } = options;
  const nowMs = options.nowMs ?? (() => performance.now());
  const state: GuardState = { standing: false, drifts: 0, checks: 0 };
  const byWall = new Map(walls.map(({ name }) => [name, 0]));
  /** Differences that the last repair of a wall left. */
  const failing = new Map<Wall, string>();
  let timer: NodeJS.Timeout | undefined;
  let dueMs = Number.POSITIVE_INFINITY;
  /** Looks and changes of plan, one at a time. */
  let tail: Promise<unknown> = Promise.resolve();
  let queued: Promise<GuardState> | null = null;
  let stopWatches: (() => void)[] = [];
  let stopped = true;

  async function look(): Promise<GuardState> {
    let standing = true;
    for (const wall of walls) standing = (await hold(wall)) && standing;
    state.checks++;
    state.standing = standing;
    if (!stopped) schedule(intervalMs);
    return { ...state };
  }

  function count({ name }: Wall): void {
    state.drifts++;
    byWall.set(name, (byWall.get(name) ?? 0) + 1);
  }

  async function hold(wall: Wall): Promise<boolean> {
    const begun = nowMs();
    let differences: string[] = [];
    const fresh = () => differences.join() !== failing.get(wall);
    try {
      differences = await lasting(wall);
      if (differences.length === 0) {
        failing.delete(wall);
        return true;
      }
      state.standing = false;
      const repaired = await wall.repair();
      const left = await wall.verify();
      if (left.length > 0) throw new Error(`still after the repair: ${left.join("; ")}`);
      // Gone when the repair looked, it was nobody's hand.
      if (repaired.length > 0) {
        if (fresh()) count(wall);
        onDrift({ wall: wall.name, differences, repairMs: nowMs() - begun, failure: null });
      }
      failing.delete(wall);
      return true;
    } catch (error) {
      // What cannot be repaired is told once and not at every look.
      if (fresh()) {
        if (differences.length > 0) count(wall);
        onDrift({ wall: wall.name, differences, repairMs: null, failure: String(error) });
      }
      failing.set(wall, differences.join());
      return false;
    }
  }

  /** What differs, without what passed by itself. */
  async function lasting(wall: Wall): Promise<string[]> {
    let found = await wall.verify();
    for (const pauseMs of pausesMs) {
      if (found.length === 0 || stopped || !wall.passing?.(found)) break;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      found = await wall.verify();
    }
    return found;
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = tail.catch(() => {}).then(work);
    tail = mine;
    return mine;
  }

  /** Whoever asks during a look gets the next, since the present one may already have looked away. */
  function check(): Promise<GuardState> {
    queued ??= inTurn(() => {
      queued = null;
      return look();
    });
    return queued;
  }

  function schedule(delayMs: number): void {
    const due = nowMs() + delayMs;
    if (timer && dueMs <= due) return;
    clearTimeout(timer);
    dueMs = due;
    timer = setTimeout(() => {
      timer = undefined;
      void check();
    }, delayMs);
  }

  return {
    start: () => {
      stopped = false;
      return inTurn(async () => {
        try {
          for (const wall of walls) await wall.repair();
          const left = (await Promise.all(walls.map((wall) => wall.verify()))).flat();
          if (left.length > 0) throw new Error(`the walls do not stand: ${left.join("; ")}`);
          state.standing = true;
        } finally {
          // Also when it failed: Docker may just have been writing, and what runs by then must not stay unguarded.
          if (!stopped) {
            stopWatches = watches.map((watch) => watch(() => !stopped && schedule(quietMs)));
            schedule(intervalMs);
          }
        }
      });
    },
    check,
    between: inTurn,
    state: () => ({ ...state }),
    driftsByWall: () => Object.fromEntries(byWall),
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      for (const stopWatch of stopWatches) stopWatch();
      await tail.catch(() => {});
      clearTimeout(timer);
    },
  };
}
