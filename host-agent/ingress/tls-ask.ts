import type { IncomingMessage, ServerResponse } from "node:http";
import { type Bucket, requestedHost, takeToken } from "./rules.ts";

/** Beyond it, who connects with ever new names waits; names that have their certificate are not asked about. */
const QUESTIONS_PER_MINUTE = 600;

/**
 * Caddy's question before it gets a certificate: does an agent live under this name? Without it anybody could make this
 * host ask an authority for any name, until the authority answers it no more.
 */
export function createTlsAsk({
  knows,
  now = () => performance.now(),
}: {
  knows(host: string): boolean;
  now?: () => number;
}) {
  let bucket: Bucket | null = null;

  /** True when the request was this question; it is answered then. */
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://agent");
    if (request.method !== "GET" || pathname !== "/tls-ask") return false;
    const taken = takeToken(bucket, QUESTIONS_PER_MINUTE, now());
    bucket = taken.bucket;
    const name = requestedHost(searchParams.get("domain") ?? "");
    response.writeHead(!taken.taken ? 429 : knows(name) ? 200 : 404).end();
    return true;
  };
}
