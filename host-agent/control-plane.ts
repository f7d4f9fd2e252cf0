import type { Guard, HostFirewall } from "./firewall/index.ts";
import type { Journal } from "./journal.ts";
import { describeError, type Log } from "./log.ts";

interface AimOptions {
  journal: Pick<Journal, "controlPlane">;
  firewall: Pick<HostFirewall, "aim" | "apply">;
  guard: Pick<Guard, "between">;
  log: Log;
}

/** Keeps the third wall to the control plane's addresses as the edge last named them, without a restart. */
export function createAim({ journal, firewall, guard, log }: AimOptions) {
  const aim = (): void => {
    const at = journal.controlPlane();
    try {
      if (at) firewall.aim(at);
    } catch (error) {
      // The walls stay as they were: a slip at the edge must open nothing, and stop nobody.
      log.error("control_plane.refused", { error: describeError(error) });
    }
  };
  aim();
  return {
    /** The edge may have named others. What fails here the guard finds and repairs. */
    async refresh(): Promise<void> {
      await guard
        .between(() => {
          aim();
          return firewall.apply();
        })
        .catch((error) => log.error("control_plane.not_applied", { error: describeError(error) }));
    },
  };
}
