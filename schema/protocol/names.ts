/**
 * The name of an agent is also one DNS label, so the rule is RFC 1123's, narrowed: 3 to 32 characters,
 * a letter first, no double hyphen (which keeps punycode look-alikes such as `xn--…` out).
 */
export const SLUG_MIN = 3;
export const SLUG_MAX = 32;
const SLUG = /^[a-z](?:[a-z0-9]|-(?=[a-z0-9]))+$/;

/** Names that a visitor could take for the platform itself. */
export const RESERVED_SLUGS: ReadonlySet<string> = new Set([
  "admin",
  "administrator",
  "agents",
  "api",
  "app",
  "auth",
  "authorize",
  "billing",
  "blog",
  "cdn",
  "chelar",
  "console",
  "control",
  "dashboard",
  "docs",
  "edge",
  "ftp",
  "gate",
  "help",
  "host",
  "hosts",
  "imap",
  "internal",
  "localhost",
  "login",
  "mail",
  "metrics",
  "ns1",
  "ns2",
  "operator",
  "pop",
  "root",
  "security",
  "signin",
  "signup",
  "smtp",
  "ssh",
  "staging",
  "static",
  "status",
  "support",
  "system",
  "test",
  "wpad",
  "www",
]);

export type SlugRefusal =
  | { reason: "too_short"; min: number }
  | { reason: "too_long"; max: number }
  | { reason: "characters" }
  | { reason: "reserved" };

/** Returns what is wrong with a name, or null when it may be used. Uniqueness is the database's word. */
export function refuseSlug(slug: string): SlugRefusal | null {
  if (slug.length < SLUG_MIN) return { reason: "too_short", min: SLUG_MIN };
  if (slug.length > SLUG_MAX) return { reason: "too_long", max: SLUG_MAX };
  if (!SLUG.test(slug)) return { reason: "characters" };
  if (RESERVED_SLUGS.has(slug)) return { reason: "reserved" };
  return null;
}
