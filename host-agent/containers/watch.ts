import type { ContainerFacts, EngineListener } from "../tenants/ports.ts";
import type { Docker } from "./docker.ts";
import { reconnectDelayMs } from "./rules.ts";
import { LABELS } from "./spec.ts";

interface Options {
  docker: Docker;
  /** `name=value` that all containers of this host carry. */
  label: string;
  list: () => Promise<ContainerFacts[]>;
  log: (line: string) => void;
}

/**
 * One event stream for all listeners, open while there is one. The stream tells at once; each (re)connection is
 * followed by a look at all containers, which repairs what was lost while nobody listened. It is also the first to know
 * that an engine is back: whoever waits out a pause because of it need not.
 */
export function watchEngine({ docker, label, list, log }: Options): (listener: EngineListener) => () => void {
  const listeners = new Set<EngineListener>();
  let running: AbortController | null = null;

  const tell = (tenantId: string | undefined) => {
    if (tenantId) for (const listener of listeners) listener.died(tenantId);
  };

  async function tellMissed(): Promise<void> {
    for (const { exitCode, tenantId } of await list()) if (exitCode !== null) tell(tenantId);
  }

  async function watch({ signal }: AbortController): Promise<void> {
    const filter = { type: ["container"], event: ["die"], label: [label] };
    let wasOpen = false;
    let isOpen = false;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const onOpen = () => {
          failures = 0;
          if (wasOpen) for (const listener of listeners) listener.back();
          wasOpen = isOpen = true;
          tellMissed().catch((error) => log(`looking for missed exits: ${error}`));
        };
        await docker.events(filter, { signal, onOpen }, ({ Actor }) => tell(Actor.Attributes[LABELS.tenant]));
      } catch (error) {
        if (!signal.aborted) log(`Docker's event stream broke and is opened again: ${error}`);
      }
      if (isOpen && !signal.aborted) for (const listener of listeners) listener.away?.();
      isOpen = false;
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, reconnectDelayMs(failures)));
    }
  }

  return (listener) => {
    listeners.add(listener);
    if (!running) {
      running = new AbortController();
      void watch(running);
    }
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      running?.abort();
      running = null;
    };
  };
}
