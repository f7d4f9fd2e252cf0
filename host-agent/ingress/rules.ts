import { type ChannelName, channelName } from "../../schema/protocol/index.ts";

/** Cookies by which the platform knows its visitors: a tenant that saw one could act as its owner. */
const OUR_COOKIES = ["__host-chelar", "chelar-door", "chelar-bind"] as const;

/**
 * What a tenant may see of a Cookie header: every piece that holds one of our names anywhere is dropped, so that no
 * parser that reads cookies more loosely than ours (quotes, commas, letter case) finds one that we did not.
 */
export function tenantCookies(header: string | undefined): string {
  return (header ?? "")
    .split(";")
    .map((piece) => piece.trim())
    .filter((piece) => piece !== "" && !OUR_COOKIES.some((name) => piece.toLowerCase().includes(name)))
    .join("; ");
}

/** The host name that was asked for, without port and final dot, in lower case. */
export function requestedHost(forwardedHost: string | undefined): string {
  return (forwardedHost ?? "")
    .toLowerCase()
    .replace(/:\d{1,5}$/, "")
    .replace(/\.$/, "");
}

/** A minute's worth of requests at most, refilled steadily. */
export interface Bucket {
  tokens: number;
  /** Milliseconds, of the same clock as `now`. */
  at: number;
}

export type Taken = { taken: true; bucket: Bucket } | { taken: false; bucket: Bucket; retryAfterSeconds: number };

/** Takes one request out of the bucket (null: never used before, so full). */
export function takeToken(bucket: Bucket | null, requestsPerMinute: number, now: number): Taken {
  const perMs = requestsPerMinute / 60_000;
  // A clock that steps back must not take tokens away.
  const passed = bucket ? Math.max(0, now - bucket.at) : 0;
  const tokens = bucket ? Math.min(requestsPerMinute, bucket.tokens + passed * perMs) : requestsPerMinute;
  if (tokens >= 1) return { taken: true, bucket: { tokens: tokens - 1, at: now } };
  const retryAfterSeconds = Math.ceil((1 - tokens) / perMs / 1000);
  return { taken: false, bucket: { tokens, at: now }, retryAfterSeconds };
}

/**
 * Whether a browser wants to show the answer to a person, and asking again is harmless: then a waiting page helps. Not
 * for a form that was sent, which the page could not send again.
 */
export function isPageLoad(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  const method = headers["x-forwarded-method"] ?? "GET";
  if (method !== "GET" || headers.upgrade !== undefined) return false;
  const mode = headers["sec-fetch-mode"];
  if (mode !== undefined) return mode === "navigate";
  return String(headers.accept ?? "").includes("text/html");
}

/**
 * Which of the Caddyfile's small files a host takes: by what its Caddy can do (`v2.11.4 h1:…`, or `2.6.2` of Debian),
 * and by whether its tenants' site speaks TLS.
 */
export function ingressVariants({ tenantSite, caddyVersion }: { tenantSite: string; caddyVersion: string }) {
  const [, major, minor] = /^v?(\d+)\.(\d+)\./.exec(caddyVersion.trim()) ?? [];
  const isNew = Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 7);
  return {
    CHELAR_CADDY: isNew ? "2.7" : "2.6",
    CHELAR_TLS: tenantSite.startsWith("https:") ? "on" : "off",
  };
}

/** Caddy writes the name of its own placeholder where the door has not sent the header. */
const NO_CHANNEL = /^(?:|\{http\.reverse_proxy\.header\.[A-Za-z-]+\})$/;

/**
 * Whether the door has let in a visitor (null), or a delivery of a channel. What is neither is "unknown": a newer edge's
 * word must not be taken for a visit.
 */
export function channelOf(header: string | string[] | undefined): ChannelName | "unknown" | null {
  const said = header?.toString() ?? "";
  if (NO_CHANNEL.test(said)) return null;
  return channelName.safeParse(said).data ?? "unknown";
}

/**
 * Whether a visitor's path lies below a closed one, however it is written: with other letters, escapes (also twice),
 * doubled slashes, dots or backslashes.
 */
export function isClosed(uri: string | undefined, closed: readonly string[]): boolean {
  let path = (uri ?? "").split(/[?#]/)[0] ?? "";
  for (let round = 0; round < 3; round++) {
    const url = URL.parse(`http://gate.invalid/${path.replace(/^[/\\]+/, "")}`);
    if (url === null) return true;
    path = unescaped(url.pathname)
      .replace(/[/\\]+/g, "/")
      .toLowerCase();
    if (closed.some((below) => path === below || path.startsWith(`${below}/`))) return true;
  }
  return false;
}
/** Unlike decodeURIComponent it reads what it can where something is no escape: so does who is behind us, maybe. */
const unescaped = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
