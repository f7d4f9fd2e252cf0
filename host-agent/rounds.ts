import type { HostConfig } from "./config.ts";
import type { Guard } from "./firewall/index.ts";
import { takeInventory } from "./inventory.ts";
import type { Journal } from "./journal.ts";
import { describeError, type Log } from "./log.ts";
import type { Ports, Supervisor } from "./tenants/index.ts";

const EVERY_MS = 30_000;
/** While an image is being built its owner watches. */
const WHILE_BUILDING_MS = 2_000;

export interface Rounds {
  /** Reports a fresh inventory now. */
  report(): void;
  /** Reports one soon: many calls, few reports. */
  reportSoon(): void;
  stop(): void;
}

/** What is done now and then: journal and engine compared, and the whole host told to the edge. */
export function startRounds(
  config: HostConfig,
  journal: Journal,
  ports: Ports,
  supervisor: Pick<Supervisor, "sweep">,
  guard: Pick<Guard, "driftsByWall">,
  log: Log,
): Rounds {
  let soon: NodeJS.Timeout | undefined;

  async function inventory(): Promise<void> {
    const { containers, images, volumes } = ports;
    const tenants = journal.tenants.all();
    journal.reports.add(
      await takeInventory({
        tenants,
        containers,
        images,
        volumes,
        config,
        drift: guard.driftsByWall(),
        atMs: Date.now(),
      }),
    );
  }
  const tell = (what: string) => (error: unknown) => log.warn(`rounds.${what}`, { error: describeError(error) });
  const report = () => void inventory().catch(tell("inventory"));

  const timer = setInterval(() => {
    supervisor.sweep().catch(tell("sweep")).then(report);
  }, EVERY_MS);
  report();
  // An engine that is away may be back before the next round: whoever places agents should know of both.
  const unwatch = ports.containers.watch({ died: () => {}, away: report, back: report });
  return {
    report,
    reportSoon() {
      soon ??= setTimeout(() => {
        soon = undefined;
        report();
      }, WHILE_BUILDING_MS);
    },
    stop() {
      unwatch();
      clearInterval(timer);
      clearTimeout(soon);
    },
  };
}
