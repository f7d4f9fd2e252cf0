/**
 * The door's one decision (DESIGN 3.4). Pure: what the request says, what its cookie proves, what the database knows
 * and what time it is come in; one verdict goes out.
 */
export const CALLBACK_PATH = "/.chelar/callback";
export const SIGN_OUT_PATH = "/.chelar/sign-out";

/** The request that stands before the door, as Caddy describes it. */
export interface DoorRequest {
  /** The enrolled host whose Caddy describes it. */
  hostId: string;
  method: string;
  /** Path and query, as the browser sent them; `/` first. */
  uri: string;
  /** Of the host name, when it has the form of an agent's. */
  slug: string | null;
  hostname: string;
  /** Every cookie that carries the door's name. More than one is as good as none: which is meant, nobody can say. */
  doorCookies: readonly string[];
  bindCookies: readonly string[];
  origin: string | null;
  isWebSocket: boolean;
  fetchSite: string | null;
  fetchMode: string | null;
  fetchDest: string | null;
  acceptsHtml: boolean;
}

/** What a door cookie proves, its signature, issuer, audience and type having been checked. */
export interface DoorClaims {
  userId: string;
  sessionId: string;
  hostname: string;
  expiresAtMs: number;
}

/** What the database knew at most a few seconds ago. */
export interface Knowledge {
  tenant: { id: string; ownerId: string; hostId: string; deleted: boolean } | null;
  /** Of the door cookie; null when it has ended or its person is suspended. */
  session: { userId: string; expiresAtMs: number } | null;
  /** Whom an API key or token speaks for, of a request without a door cookie. */
  holder: { userId: string; expiresAtMs: number; mayOpenAgents: boolean } | null;
}

export type Verdict =
  | { kind: "allow"; userId: string }
  /** The host name is nobody's. */
  | { kind: "nobody" }
  /** A path below /.chelar/, which belongs to us and never reaches a container. */
  | { kind: "redeem"; ticket: string }
  | { kind: "sign_out" }
  /** A page load without a live session: off to the dashboard and back. */
  | { kind: "sign_in"; returnTo: string }
  | { kind: "unauthenticated" }
  | { kind: "not_owner" }
  /** An API key or token that was not made for opening agents. */
  | { kind: "narrow_key" }
  /** Too many wrong names, keys or tickets from this address. */
  | { kind: "too_many"; retryAfterSeconds: number }
  | { kind: "foreign_site" };

export function decideAccess(
  request: DoorRequest,
  claims: DoorClaims | null,
  { tenant, session, holder }: Knowledge,
  tenantOrigin: string,
  nowMs: number,
): Verdict {
  // A host is answered for its own agents only: whoever took one learns nothing of the others.
  if (request.slug === null || tenant === null || tenant.deleted || tenant.hostId !== request.hostId) {
    return { kind: "nobody" };
  }

  const [path = "/", query = ""] = split(request.uri);
  if (path === CALLBACK_PATH) return { kind: "redeem", ticket: new URLSearchParams(query).get("ticket") ?? "" };
  if (path === SIGN_OUT_PATH) return { kind: "sign_out" };
  if (path === "/.chelar" || path.startsWith("/.chelar/")) return { kind: "nobody" };

  if (isForeign(request, tenantOrigin)) return { kind: "foreign_site" };

  // One credential is judged, never the better of two: a cookie of ours that has ended is not helped by a key.
  const visitor = claims === null ? holder : visitorOf(request, claims, session, nowMs);
  if (visitor === null || visitor.expiresAtMs <= nowMs) {
    return isPageLoad(request) ? { kind: "sign_in", returnTo: safeReturn(request.uri) } : { kind: "unauthenticated" };
  }
  if (visitor.userId !== tenant.ownerId) return { kind: "not_owner" };
  return visitor.mayOpenAgents ? { kind: "allow", userId: visitor.userId } : { kind: "narrow_key" };
}

/** Whom the door cookie speaks for: the person of a live session, at this very host name. */
function visitorOf(
  request: DoorRequest,
  claims: DoorClaims,
  session: Knowledge["session"],
  nowMs: number,
): Knowledge["holder"] {
  const isLive =
    session !== null &&
    claims.hostname === request.hostname &&
    session.userId === claims.userId &&
    session.expiresAtMs > nowMs;
  return isLive ? { userId: claims.userId, expiresAtMs: claims.expiresAtMs, mayOpenAgents: true } : null;
}

/**
 * Agents are each other's same-site neighbours, so SameSite cookies do not keep a hostile agent's page from using its
 * visitor's cookie at another agent. Origin (on what changes things, and on WebSockets) and fetch metadata do. A
 * plain navigation may come from anywhere: that is what links are.
 */
function isForeign(request: DoorRequest, tenantOrigin: string): boolean {
  const isSafe = request.method === "GET" || request.method === "HEAD";
  if (request.origin !== null && request.origin !== tenantOrigin && (!isSafe || request.isWebSocket)) return true;
  // Browsers disagree on fetch metadata of WebSockets; their Origin is always there.
  if (request.isWebSocket || request.fetchSite === null) return false;
  if (request.fetchSite === "same-origin" || request.fetchSite === "none") return false;
  const isNavigation = isSafe && request.fetchMode === "navigate" && request.fetchDest === "document";
  return !isNavigation;
}

function isPageLoad(request: DoorRequest): boolean {
  if ((request.method !== "GET" && request.method !== "HEAD") || request.isWebSocket) return false;
  // Browsers send site and mode together; Node's fetch sends a mode alone, which says nothing.
  if (request.fetchSite !== null && request.fetchMode !== null) {
    // A frame cannot be sent to the dashboard, which refuses to be framed.
    return request.fetchMode === "navigate" && (request.fetchDest === null || request.fetchDest === "document");
  }
  return request.acceptsHtml;
}

const MAX_RETURN_CHARACTERS = 2_000;

/** A path on the same host, or `/`: never another site (`//evil`, `/\evil`), never something endless. */
export function safeReturn(uri: string): string {
  const isLocal = /^\/(?![/\\])[\x21-\x7e]*$/.test(uri) && !uri.includes("\\");
  return isLocal && uri.length <= MAX_RETURN_CHARACTERS && !uri.startsWith("/.chelar") ? uri : "/";
}

function split(uri: string): [string, string] {
  const at = uri.indexOf("?");
  return at < 0 ? [uri, ""] : [uri.slice(0, at), uri.slice(at + 1)];
}
