import { SLUG_MAX } from "../../schema/protocol/index.ts";
import type { TenantOrigins } from "../env.ts";
import type { DoorRequest } from "./rules.ts";

/** `__Host-` keeps a neighbouring host name from planting the cookie; browsers accept it on https only. */
export const cookieNames = (origins: TenantOrigins) =>
  origins.template.startsWith("https:")
    ? { door: "__Host-chelar", bind: "__Host-chelar-bind" }
    : { door: "chelar-door", bind: "chelar-bind" };
export type CookieNames = ReturnType<typeof cookieNames>;

const LABEL = /^[a-z0-9-]+$/;
const PORT = /:\d{1,5}$/;

/** The host name of an agent without a port, in lower case, and its first label; null when it has not that form. */
export function parseHost(host: string, origins: TenantOrigins): { hostname: string; slug: string } | null {
  const hostname = host.toLowerCase().replace(PORT, "");
  if (!hostname.endsWith(origins.domain)) return null;
  const slug = hostname.slice(0, -origins.domain.length);
  return slug.length > 0 && slug.length <= SLUG_MAX && LABEL.test(slug) ? { hostname, slug } : null;
}

/** Caddy's description of the request; null when it is not one. */
export function parseDoorRequest(
  headers: Headers,
  { origins, names, hostId }: { origins: TenantOrigins; names: CookieNames; hostId: string },
): DoorRequest | null {
  const method = headers.get("x-forwarded-method");
  const uri = headers.get("x-forwarded-uri");
  const host = headers.get("x-forwarded-host");
  if (!method || !uri?.startsWith("/") || !host) return null;
  const cookies = headers.get("cookie");
  const site = parseHost(host, origins);
  return {
    hostId,
    method: method.toUpperCase(),
    uri,
    slug: site?.slug ?? null,
    hostname: site?.hostname ?? "",
    doorCookies: cookieValues(cookies, names.door),
    // Only who is not let in needs these two: every header that is read costs a hundredth of a decision.
    get bindCookies() {
      return cookieValues(cookies, names.bind);
    },
    origin: headers.get("origin"),
    // A proxy may have taken Upgrade away as hop-by-hop; the key is an end-to-end header (RFC 6455 section 4.1).
    isWebSocket: headers.get("upgrade")?.toLowerCase() === "websocket" || headers.has("sec-websocket-key"),
    fetchSite: headers.get("sec-fetch-site"),
    fetchMode: headers.get("sec-fetch-mode"),
    fetchDest: headers.get("sec-fetch-dest"),
    get acceptsHtml() {
      return headers.get("accept")?.toLowerCase().includes("text/html") ?? false;
    },
  };
}

/** All values of one name: a parser that keeps the first or the last lets whoever plants a second one choose. */
function cookieValues(header: string | null, name: string): string[] {
  if (!header?.includes(name)) return [];
  const values: string[] = [];
  for (const part of header.split(";")) {
    const at = part.indexOf("=");
    if (at > 0 && part.slice(0, at).trim() === name) values.push(part.slice(at + 1).trim());
  }
  return values;
}
