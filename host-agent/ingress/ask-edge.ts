import type { Question } from "./stream-rules.ts";
import type { Word } from "./streams.ts";

const TIMEOUT_MS = 10_000;

export interface Asker {
  edgeUrl: string;
  /** `hst_….SECRET`, as in Caddy's environment. */
  hostKey: string;
}

/** The edge's door, asked by the host agent in Caddy's words. */
export function createAsk({ edgeUrl, hostKey }: Asker) {
  return async ({ userId, headers }: Question): Promise<Word> => {
    try {
      const response = await fetch(`${edgeUrl}/forward-auth`, {
        headers: { ...headers, accept: "application/json", "x-chelar-host": hostKey },
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (response.status === 200) return response.headers.get("x-chelar-user") === userId ? "yes" : "no";
      // Who asks too much, or asks an edge in trouble, has no answer; everything else is a refusal.
      return response.status === 429 || response.status >= 500 ? "silence" : "no";
    } catch {
      return "silence";
    }
  };
}
