import type { IncomingMessage, ServerResponse } from "node:http";
import type { Route, Routes } from "../tenants/ports.ts";
import { type Bucket, requestedHost, takeToken, tenantCookies } from "./rules.ts";

export interface GateOptions {
  /** Monotonic, in milliseconds. */
  now?: () => number;
  /** False until the routes have been rebuilt after a start: "not yet" is another answer than "nobody's". */
  isReady?: () => boolean;
}

export interface Gate extends Routes {
  /** Caddy's second forward_auth, on the host agent's socket; never reachable from outside. */
  handle(request: IncomingMessage, response: ServerResponse): void;
}

/** What the gate decides about one request; Caddy hands all but "open" to the browser as it is. */
type Verdict =
  | { verdict: "open"; upstream: string; cookie: string }
  | { verdict: "not_ready" }
  | { verdict: "no_identity" }
  | { verdict: "unknown_host" }
  | { verdict: "too_many"; retryAfterSeconds: number };

const USER_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * The routes of this host and the one question Caddy asks of them. In memory, so that no tenant's coming or going
 * ever reloads Caddy, which would cut every open WebSocket on the host.
 */
export function createGate({ now = () => performance.now(), isReady = () => true }: GateOptions = {}): Gate {
  const routes = new Map<string, { route: Route; bucket: Bucket | null }>();

  function decide({ headers }: IncomingMessage): Verdict {
    if (!isReady()) return { verdict: "not_ready" };
    // The edge's forward_auth comes first and always names a user. If it ever does not, Caddy hands on its own
    // unresolved placeholder as the name: only what looks like a person's id opens.
    if (!USER_ID.test(headers["x-chelar-user"]?.toString() ?? "")) return { verdict: "no_identity" };
    const entry = routes.get(requestedHost(headers["x-forwarded-host"]?.toString()));
    if (!entry) return { verdict: "unknown_host" };
    const taken = takeToken(entry.bucket, entry.route.requestsPerMinute, now());
    entry.bucket = taken.bucket;
    if (!taken.taken) return { verdict: "too_many", retryAfterSeconds: taken.retryAfterSeconds };
    return { verdict: "open", upstream: entry.route.upstream, cookie: tenantCookies(headers.cookie) };
  }

  return {
    set(hostname, route) {
      // The bucket stays: a restart is no way to a fresh allowance.
      routes.set(hostname.toLowerCase(), { route, bucket: routes.get(hostname.toLowerCase())?.bucket ?? null });
    },
    remove(hostname) {
      routes.delete(hostname.toLowerCase());
    },
    handle(request, response) {
      // Caddy's rewrite to /gate keeps the query of the visitor's own request.
      const isQuestion = request.method === "GET" && /^\/gate(\?|$)/.test(request.url ?? "");
      send(response, isQuestion ? answerTo(decide(request)) : { status: 404, text: "Nothing is here.\n" });
    },
  };
}

interface Answer {
  status: number;
  text: string;
  headers?: Record<string, string>;
}

function answerTo(verdict: Verdict): Answer {
  switch (verdict.verdict) {
    case "open": {
      const headers = { "x-chelar-upstream": verdict.upstream, "x-chelar-cookie": verdict.cookie };
      return { status: 200, text: "", headers };
    }
    case "not_ready": {
      const text = "This server is starting. Please try again in a moment.\n";
      return { status: 503, text, headers: { "retry-after": "2" } };
    }
    case "no_identity":
      return { status: 403, text: "You are not signed in.\n" };
    case "unknown_host":
      return { status: 404, text: "No agent is running under this name.\n" };
    case "too_many": {
      const headers = { "retry-after": String(verdict.retryAfterSeconds) };
      return { status: 429, text: "Too many requests. Please slow down.\n", headers };
    }
  }
}

function send(response: ServerResponse, { status, text, headers }: Answer): void {
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}
