/** Exponential, capped, with full jitter on the upper half: many hosts that lost one edge do not come back as one. */
export function backoffMs(failures: number, limits: { firstMs: number; maxMs: number }, random: number): number {
  const ceiling = Math.min(limits.maxMs, limits.firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling * (0.5 + random / 2));
}

/** A bell that can be rung before anyone waits: no ring is lost between looking and waiting. */
export function createBell() {
  let rung = false;
  let resolve = () => {};
  return {
    ring(): void {
      rung = true;
      resolve();
    },
    /** Resolves at the next ring (at once when it has rung since the last wait), or after `timeoutMs`. */
    async wait(timeoutMs?: number): Promise<void> {
      if (!rung) {
        const { promise, resolve: wake } = Promise.withResolvers<void>();
        resolve = wake;
        const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
        await promise;
        clearTimeout(timer);
      }
      rung = false;
    },
  };
}

/** The promise's outcome, or null when the time is up. */
export async function withinMs<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  const timeIsUp = Promise.withResolvers<null>();
  const timer = setTimeout(() => timeIsUp.resolve(null), ms);
  try {
    return await Promise.race([promise, timeIsUp.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The promise's outcome, or the abort as a rejection, whichever is first. The work itself goes on in the background. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", abort));
}
