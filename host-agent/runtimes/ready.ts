import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { LOOK_EVERY_MS, pollDelayMs } from "./rules.ts";

const ANSWER_TIMEOUT_MS = 2_000;

export type Readiness = { ready: true } | { ready: false; reason: "died" | "late" | "aborted"; last: string };

interface Question {
  host: string;
  port: number;
  path: string;
  headers: Readonly<Record<string, string>>;
  anyAnswer?: true;
}

/**
 * Asks until the answer is 2xx, the container has died, time is up, or the signal is given. `alive` is asked in
 * between: without it a container that dies at once would cost the whole start timeout.
 */
export async function pollUntilReady(
  question: Question,
  { deadline, alive, signal }: { deadline: number; alive: () => Promise<boolean>; signal: AbortSignal },
): Promise<Readiness> {
  let last = "nothing heard yet";
  let lookAt = performance.now() + LOOK_EVERY_MS;
  for (let attempt = 0; ; attempt++) {
    if (signal.aborted) return { ready: false, reason: "aborted", last };
    const answer = await ask(question, signal);
    if (answer.ok) return { ready: true };
    last = answer.words;
    const now = performance.now();
    if (now >= deadline) return { ready: false, reason: "late", last };
    if (now >= lookAt) {
      if (!(await alive())) return { ready: false, reason: "died", last };
      lookAt = performance.now() + LOOK_EVERY_MS;
    }
    await sleep(pollDelayMs(attempt), undefined, { signal }).catch(() => {});
  }
}

function ask(
  { host, port, path, headers, anyAnswer }: Question,
  signal: AbortSignal,
): Promise<{ ok: boolean; words: string }> {
  return new Promise((resolve) => {
    const outgoing = request(
      // A connection of its own: a pooled one to a container that has died would be an answer from the past.
      {
        host,
        port,
        path,
        headers,
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
      },
      (response) => {
        const status = response.statusCode ?? 0;
        // The body is the tenant's: not read, not logged.
        response.destroy();
        resolve({ ok: anyAnswer === true || (status >= 200 && status < 300), words: `HTTP ${status}` });
      },
    );
    outgoing.on("error", (error: NodeJS.ErrnoException) => resolve({ ok: false, words: error.code ?? error.name }));
    outgoing.end();
  });
}
