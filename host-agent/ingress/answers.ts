import type { ServerResponse } from "node:http";
import { failedPage, PAGE_POLICY, waitingPage } from "./pages.ts";

/** What the gate decides about one request; Caddy hands all but "open" to the browser as it is. */
export type Verdict =
  | { verdict: "open"; upstream: string; cookie: string; pass: string }
  | { verdict: "not_ready" }
  | { verdict: "no_identity" }
  | { verdict: "unknown_host" }
  | { verdict: "closed_path" }
  | { verdict: "too_many"; retryAfterSeconds: number }
  | { verdict: "too_many_open"; limit: number }
  | { verdict: "too_many_waiting" }
  | { verdict: "waking"; isPage: boolean; step: string | null; trouble: string | null }
  | { verdict: "failed"; isPage: boolean; detail: string };

export interface Answer {
  status: number;
  text: string;
  headers?: Record<string, string>;
}

const RETRY_SOON = { "retry-after": "2" };
const html = { "content-type": "text/html; charset=utf-8", "content-security-policy": PAGE_POLICY };

export function answerTo(verdict: Verdict): Answer {
  switch (verdict.verdict) {
    case "open": {
      // All three, always: what an answer lacks, Caddy fills with the name of its own placeholder.
      const { upstream, cookie, pass } = verdict;
      const headers = { "x-chelar-upstream": upstream, "x-chelar-cookie": cookie, "x-chelar-stream": pass };
      return { status: 200, text: "", headers };
    }
    case "not_ready":
      return { status: 503, text: "This server is starting. Please try again in a moment.\n", headers: RETRY_SOON };
    case "no_identity":
      return { status: 403, text: "You are not signed in.\n" };
    case "unknown_host":
      return { status: 404, text: "No agent is running under this name.\n" };
    case "closed_path":
      return { status: 404, text: "Nothing is here.\n" };
    case "too_many": {
      const headers = { "retry-after": String(verdict.retryAfterSeconds) };
      return { status: 429, text: "Too many requests. Please slow down.\n", headers };
    }
    case "too_many_open": {
      const text = `Too many requests and connections at the same time; ${verdict.limit} may be open.\n`;
      return { status: 429, text, headers: { "retry-after": "1" } };
    }
    case "too_many_waiting":
      return { status: 503, text: "The agent is waking, and too many wait for it already.\n", headers: RETRY_SOON };
    case "waking": {
      const { isPage, step, trouble } = verdict;
      if (isPage) return { status: 503, text: waitingPage(step, trouble), headers: { ...html, "retry-after": "1" } };
      const text = `The agent is waking up. Please try again.${trouble ? ` ${trouble}` : ""}\n`;
      return { status: 503, text, headers: { "retry-after": "5" } };
    }
    case "failed": {
      const { isPage, detail } = verdict;
      if (isPage) return { status: 503, text: failedPage(detail), headers: { ...html, "retry-after": "60" } };
      return { status: 503, text: `The agent could not be started. ${detail}\n`, headers: { "retry-after": "60" } };
    }
  }
}

export function send(response: ServerResponse, { status, text, headers }: Answer): void {
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}
