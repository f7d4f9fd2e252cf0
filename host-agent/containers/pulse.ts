import { type ClientRequest, request } from "node:http";
import { EngineAwayError } from "../tenants/ports.ts";

/** `quietMs`: how long calls may go on before the engine is asked. `patienceMs`: how long it may take to answer `/_ping`. */
export interface Patience {
  quietMs: number;
  patienceMs: number;
}
const PATIENCE: Patience = { quietMs: 2_000, patienceMs: 5_000 };
/** In a row: on a machine that stood still itself, the answer to the first came in when time was up. */
const PINGS_MISSED = 2;
const SILENT = "takes calls and answers none";

export type Pulse = ReturnType<typeof createPulse>;

/**
 * Tells an engine that hangs from one that works for long. A stopped or locked up one keeps its connections and takes new
 * ones, so every call would wait out its own time limit, with its caller behind it. While calls are on their way it is
 * asked for a sign of life on a connection of its own: without one they all end as {@link EngineAwayError}, and each later
 * one waits for a sign before it is made, so that nothing piles up that the engine would do late, when it comes back.
 */
export function createPulse(socketPath: string, { quietMs, patienceMs }: Patience = PATIENCE) {
  const underWay = new Set<ClientRequest>();
  const lasting = new Set<ClientRequest>();
  let timer: NodeJS.Timeout | undefined;
  let hangs = false;
  let sign: Promise<boolean> | null = null;

  /** One for all who wait for it. Whoever refuses the connection does not hang: its calls say so themselves. */
  function signOfLife(): Promise<boolean> {
    sign ??= new Promise<boolean>((resolve) => {
      const ping = request({ socketPath, agent: false, path: "/_ping", headers: { host: "docker" } }, (response) => {
        response.resume();
        answer(true);
      });
      const deadline = setTimeout(() => answer(false), patienceMs);
      const answer = (isAlive: boolean) => {
        clearTimeout(deadline);
        if (!isAlive) ping.destroy();
        resolve(isAlive);
      };
      ping.on("error", () => answer(true)).end();
    }).finally(() => {
      sign = null;
    });
    return sign;
  }

  async function feel(): Promise<void> {
    for (let missed = 0; missed < PINGS_MISSED; missed++) {
      if (underWay.size === 0 || (await signOfLife())) return watch();
    }
    hangs = true;
    for (const call of [...underWay, ...lasting]) call.destroy(new Error(SILENT));
    watch();
  }

  function watch(): void {
    timer = underWay.size === 0 ? undefined : setTimeout(() => void feel(), quietMs);
  }

  return {
    /** Whether the engine hung when it was last asked. */
    hangs: () => hangs,

    /** At once while the engine answers; rejects with {@link EngineAwayError} while it hangs. */
    async ready(): Promise<void> {
      if (hangs && !(await signOfLife())) throw new EngineAwayError(`Docker at ${socketPath}: ${SILENT}`);
      hangs = false;
    },

    /** From now until its answer is read to the end. One that `lasts` goes on for ever, and asks for no sign of life. */
    follow(call: ClientRequest, lasts: boolean): void {
      const among = lasts ? lasting : underWay;
      among.add(call);
      call.once("close", () => among.delete(call));
      if (!lasts && !timer) watch();
    },

    stop(): void {
      clearTimeout(timer);
    },
  };
}
