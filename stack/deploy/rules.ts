import { parseEnv } from "../../worker/env.ts";

/** What an edge is given, by name: secrets and settings alike. Values are never in a message of ours. */
export type Bindings = Readonly<Record<string, string>>;

export type Way = "cloudflare" | "workerd";

/** One thing that a production edge must not begin with. `refuse`: a sentence that names the value and what is accepted. */
export interface Check {
  id: string;
  /** Only this way; both when absent. */
  way?: Way;
  refuse(bindings: Bindings): string | null;
}

const hostOf = (origin: string) => new URL(origin.replace("*.", "")).hostname;

/**
 * The domain that somebody registers, near enough to tell two apart: two labels, or three below a country's own second
 * level (co.uk, com.au). Where it errs it asks for a plainer choice.
 */
export function registered(host: string): string {
  const labels = host.split(".");
  const [second = "", first = ""] = labels.slice(-2);
  return labels.slice(first.length === 2 && second.length <= 3 ? -3 : -2).join(".");
}

export const isOnThisMachine = (url: string) => /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])[:/]/.test(`${url}/`);
/** Typed by hand, or the same twice: too little for what whoever guesses it would be able to do. */
const MIN_DISTINCT_CHARACTERS = 12;
const SECRETS = ["AUTH_SECRET", "OPERATOR_TOKEN", "METRICS_TOKEN"] as const;

export const CHECKS: readonly Check[] = [
  {
    id: "everything is filled in",
    refuse(bindings) {
      const open = Object.keys(bindings).filter((name) => bindings[name]?.includes("…"));
      return open.length > 0 ? `${open.join(", ")}: put your own value where "…" stands.` : null;
    },
  },
  {
    id: "accepted by the edge itself",
    refuse(bindings) {
      try {
        parseEnv(bindings);
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    },
  },
  ...(["DASHBOARD_ORIGIN", "TENANT_ORIGIN"] as const).map((name) => ({
    id: `${name} is reached by TLS`,
    refuse: (bindings: Bindings) =>
      bindings[name]?.startsWith("https:") ? null : `${name} must begin with https://: sessions and keys travel there.`,
  })),
  {
    id: "agents live on another registered domain",
    refuse({ DASHBOARD_ORIGIN, TENANT_ORIGIN }) {
      if (!DASHBOARD_ORIGIN || !TENANT_ORIGIN) return null; // said above
      const [ours, theirs] = [registered(hostOf(DASHBOARD_ORIGIN)), registered(hostOf(TENANT_ORIGIN))];
      return ours !== theirs
        ? null
        : `TENANT_ORIGIN must be on another domain than ${ours}: browsers take agents and dashboard for one site there. Register a second one, as github.com has githubusercontent.com.`;
    },
  },
  {
    id: "the database is reached by TLS, with a token",
    refuse({ DATABASE_URL = "", DATABASE_AUTH_TOKEN }) {
      const isLocal = isOnThisMachine(DATABASE_URL);
      if (!isLocal && DATABASE_URL.startsWith("http:")) {
        return "DATABASE_URL must begin with libsql:// or https://; http:// is for a database on the same machine.";
      }
      return DATABASE_AUTH_TOKEN
        ? null
        : "DATABASE_AUTH_TOKEN is missing: without one, whoever reaches the database has it all.";
    },
  },
  {
    id: "the database is reached from Cloudflare",
    way: "cloudflare",
    refuse: ({ DATABASE_URL = "" }) =>
      isOnThisMachine(DATABASE_URL)
        ? "DATABASE_URL is on this machine, which Cloudflare does not reach: give that of Turso, or of a libSQL server with a name and TLS."
        : null,
  },
  {
    id: "every secret is its own, and random",
    refuse(bindings) {
      const known = SECRETS.flatMap((name) => (bindings[name] === undefined ? [] : [[name, bindings[name]] as const]));
      for (const [name, value] of known) {
        if (new Set(value).size < MIN_DISTINCT_CHARACTERS)
          return `${name} is not random: make it with \`openssl rand -base64 32\`.`;
        const twin = known.find(([other, its]) => other !== name && its === value);
        if (twin) return `${name} is the same as ${twin[0]}: whoever learns one has both. Make each its own.`;
      }
      return null;
    },
  },
  {
    id: "guesses are counted",
    refuse: ({ AUTH_RATE_LIMIT }) =>
      AUTH_RATE_LIMIT === undefined || AUTH_RATE_LIMIT === "on"
        ? null
        : "AUTH_RATE_LIMIT must be on, or absent: without it a password can be guessed as fast as we answer.",
  },
  {
    id: "keys are checked with their providers",
    refuse: ({ PROVIDERS_AT }) =>
      PROVIDERS_AT === undefined ? null : "PROVIDERS_AT is for trials: owners' keys would be sent there. Leave it out.",
  },
  {
    id: "somebody pays",
    refuse({ BILLING }) {
      if (BILLING === undefined) return null; // trials only
      const { mode, key } = parsed(BILLING);
      if (mode === "off")
        return 'BILLING has the mode "off", by which everybody gets everything: leave it out for trials only, or give Stripe\'s keys.';
      const isTest = typeof key === "string" && /^(sk|rk)_test_/.test(key);
      return isTest ? "BILLING has a test key of Stripe (sk_test_…), which takes no money: give the live one." : null;
    },
  },
];

function parsed(text: string): { mode?: unknown; key?: unknown } {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // refused by the edge itself
  }
}

/** Everything that is wrong, in the order of the table. */
export function refusals(bindings: Bindings, way: Way): string[] {
  return CHECKS.filter((check) => check.way === undefined || check.way === way).flatMap(
    ({ refuse }) => refuse(bindings) ?? [],
  );
}

/** Cloudflare's limit for a Worker of a paid account, compressed (2026). */
export const BUNDLE_LIMIT_BYTES = 10 * 2 ** 20;

/** What wrangler.toml must say, in sentences about what it does not. */
export function configRefusals(toml: string): string[] {
  const needs: [RegExp, string][] = [
    [
      /^crons\s*=\s*\[\s*"\* \* \* \* \*"\s*\]/m,
      'wrangler.toml needs [triggers] crons = ["* * * * *"]: the outbox, dunning and every deletion hang on it.',
    ],
    [/^workers_dev\s*=\s*false/m, "wrangler.toml needs workers_dev = false: the dashboard must have one address."],
    [/^preview_urls\s*=\s*false/m, "wrangler.toml needs preview_urls = false: old versions must not stay reachable."],
    [/^compatibility_flags\s*=.*"nodejs_compat"/m, 'wrangler.toml needs compatibility_flags = ["nodejs_compat"].'],
  ];
  return needs.flatMap(([pattern, sentence]) => (pattern.test(toml) ? [] : [sentence]));
}
