/**
 * Visitors of an agent that is not there yet: they wait here until it is, until it turns out that it will not be, or
 * until their patience ends. Whoever goes away before leaves nothing behind.
 */
export type HoldingEnd = "opened" | "over";

export function createHolding() {
  const waiting = new Set<(end: HoldingEnd) => void>();
  return {
    count: (): number => waiting.size,
    /** Resolves with the end of the hold, or after `patienceMs`, or when the visitor has left. */
    wait(patienceMs: number, left: AbortSignal): Promise<HoldingEnd | "late" | "left"> {
      return new Promise((resolve) => {
        const finish = (end: HoldingEnd | "late" | "left") => {
          waiting.delete(finish);
          clearTimeout(timer);
          left.removeEventListener("abort", leave);
          resolve(end);
        };
        const leave = () => finish("left");
        const timer = setTimeout(finish, patienceMs, "late");
        waiting.add(finish);
        if (left.aborted) leave();
        else left.addEventListener("abort", leave, { once: true });
      });
    },
    /** Everyone who waits, at once. */
    end(how: HoldingEnd): void {
      for (const finish of [...waiting]) finish(how);
    },
  };
}
export type Holding = ReturnType<typeof createHolding>;
