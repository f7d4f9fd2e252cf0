import { z } from "zod";
import { type ControlPlane, controlPlane, privateSigningJwk, type SleepPolicy } from "../schema/protocol/index.ts";
import { billingConfig } from "./billing/rules.ts";
import { type CommandKeys, commandKeys, withNext } from "./command-keys.ts";
import { mailConfig } from "./mail/rules.ts";
import { type Keyring, parseKeyring } from "./vault/rules.ts";

/** The bindings, parsed once per isolate; everything else receives this. Nothing of it is ever printed. */
export interface Config {
  /** Origin of the dashboard; also the edge's name: `iss` of commands and tickets, `aud` of reports. */
  dashboardOrigin: string;
  secureCookies: boolean;
  tenants: TenantOrigins;
  database: { url: string; authToken?: string };
  authSecret: string;
  operatorToken: string;
  /** What a Prometheus shows to read /metrics; null where there is none. */
  metricsToken: string | null;
  commandKeys: CommandKeys;
  vaultKeys: Keyring;
  /** Where stand-ins of the providers answer, for trials; null: the providers themselves are asked about a key. */
  providersAt: string | null;
  ticketKey: z.infer<typeof privateSigningJwk>;
  /** Where the edge and its database are, for the hosts' firewalls. */
  controlPlane?: ControlPlane;
  authRateLimit: boolean;
  mail: z.infer<typeof mailConfig>;
  /** Other sites that may say who somebody is; each only where it is configured. */
  social: { google?: OAuthClient; github?: OAuthClient };
  maxTenantsPerOwner: number;
  /** When an agent sleeps whose plan lets it. */
  sleep: SleepPolicy;
  /** For how long an owner can take a deletion back. */
  undoDeletionMs: number;
  billing: z.infer<typeof billingConfig>;
}

/** Where tenants live: `http://*.agents.localhost:8080`, taken apart. */
export interface TenantOrigins {
  template: string;
  /** With the dot: `.agents.localhost`. */
  domain: string;
}

export const tenantOriginOf = (origins: TenantOrigins, slug: string) => origins.template.replace("*", slug);
export const tenantHostnameOf = (origins: TenantOrigins, slug: string) => `${slug}${origins.domain}`;

const oauthClient = z.strictObject({ clientId: z.string().min(1), clientSecret: z.string().min(1) });
export type OAuthClient = z.infer<typeof oauthClient>;

const vaultKeys = z.string().transform((text, context): Keyring => {
  const parsed = parseKeyring(text);
  if (parsed.ok) return parsed.ring;
  context.addIssue({ code: "custom" });
  return z.NEVER;
});

const origin = z
  .string()
  .refine((text) => URL.canParse(text) && new URL(text).origin === text && /^https?:/.test(text))
  .describe("an origin such as https://chelar.example: scheme, host and port, nothing after it");

const tenantOrigin = z
  .string()
  .regex(/^https?:\/\/\*(\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(:\d{1,5})?$/)
  .transform((template) => ({ template, domain: `.${new URL(template.replace("*.", "")).hostname}` }))
  .describe("an origin with * for the agent's name, such as https://*.agents.example");

const json = <T extends z.ZodType>(shape: T) =>
  z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: "custom" });
        return z.NEVER;
      }
    })
    .pipe(shape);

const seconds = z.string().regex(/^[1-9]\d{0,4}$/);

const BINDINGS = {
  DASHBOARD_ORIGIN: origin,
  TENANT_ORIGIN: tenantOrigin,
  DATABASE_URL: z
    .string()
    .regex(/^(https?|libsql):\/\/[^\s]+$/)
    .describe("the URL of a libSQL server: libsql://, https:// or http://"),
  DATABASE_AUTH_TOKEN: z.string().min(1).optional().describe("a token of the libSQL server, or nothing"),
  AUTH_SECRET: z.string().min(32).describe("at least 32 random characters"),
  OPERATOR_TOKEN: z.string().min(32).describe("at least 32 random characters"),
  METRICS_TOKEN: z.string().min(32).optional().describe("at least 32 random characters, or nothing"),
  COMMAND_KEYS: json(commandKeys).describe(
    'JSON {"version":1,"current":"kid","keys":[{"kid",…Ed25519 private JWK}]} with 1 or 2 keys, the current one among them',
  ),
  COMMAND_KEYS_NEXT: json(commandKeys)
    .optional()
    .describe("like COMMAND_KEYS, with a higher version, while the key is rotated; absent otherwise"),
  VAULT_KEYS: vaultKeys.describe(
    'JSON {"current":1,"floor":1,"keys":{"1":"base64url of 32 random bytes"}}: each version and each key once, the current one among them and not below the floor',
  ),
  PROVIDERS_AT: origin.optional().describe("for trials, the origin of stand-ins of the key providers; else nothing"),
  TICKET_KEY: json(privateSigningJwk).describe("JSON of an Ed25519 private JWK (kty, crv, x, d)"),
  MAIL: json(mailConfig).describe(
    'JSON {"driver":"resend" or "postmark","key":"…","from":"Chelar <hello@chelar.example>"}; {"driver":"mailbox"} on a developer\'s machine',
  ),
  GOOGLE_SIGN_IN: json(oauthClient).optional().describe('JSON {"clientId":"…","clientSecret":"…"}, or nothing'),
  GITHUB_SIGN_IN: json(oauthClient).optional().describe('JSON {"clientId":"…","clientSecret":"…"}, or nothing'),
  CONTROL_PLANE: json(controlPlane)
    .optional()
    .describe(
      'JSON {"networks":["203.0.113.0/24"],"https":["203.0.113.7/32"]}: what agents must not reach, and where they still may on TCP 443; or nothing',
    ),
  AUTH_RATE_LIMIT: z.enum(["on", "off"]).default("on").describe("on or off"),
  BILLING: json(billingConfig)
    .default({ mode: "trial" })
    .describe(
      'JSON {"mode":"stripe","key":"sk_…","webhookSecrets":["whsec_…"],"prices":{"starter":["price_…"],"pro":["price_…"],"team":["price_…"]}}; {"mode":"off"} where nobody pays; absent for trials only',
    ),
  MAX_TENANTS_PER_OWNER: z
    .string()
    .regex(/^[1-9]\d{0,4}$/)
    .default("10")
    .describe("a whole number from 1 to 99999"),
  PAUSE_AFTER_SECONDS: seconds
    .default("300")
    .describe("a whole number from 1 to 99999: frozen after so long without use"),
  STOP_AFTER_SECONDS: seconds
    .default("3600")
    .describe("a whole number from 1 to 99999: ended after so long without use"),
  UNDO_DELETION_HOURS: z
    .string()
    .regex(/^\d{1,3}$/)
    .default("0")
    .describe("a whole number from 0 to 999"),
} as const;

/** Takes the bindings apart. Throws one sentence that names the first wrong binding and never its value. */
export function parseEnv(bindings: Readonly<Record<string, unknown>>): Config {
  const read = <N extends keyof typeof BINDINGS>(name: N): z.output<(typeof BINDINGS)[N]> => {
    const result = BINDINGS[name].safeParse(bindings[name]);
    if (result.success) return result.data as z.output<(typeof BINDINGS)[N]>;
    const what = bindings[name] === undefined ? "is missing" : "is not accepted";
    throw new Error(`The binding ${name} ${what}: it takes ${BINDINGS[name].description}.`);
  };
  const dashboardOrigin = read("DASHBOARD_ORIGIN");
  const tenants = read("TENANT_ORIGIN");
  const dashboardHost = new URL(dashboardOrigin).hostname;
  // A dashboard inside the tenants' domain would share its cookies' site with hostile agents; agents below its own name
  // could plant a session there, in which their visitor would type keys. Browsers take no cookie for all of localhost.
  const isBelow = tenants.domain.endsWith(`.${dashboardHost}`) && dashboardHost !== "localhost";
  if (`.${dashboardHost}`.endsWith(tenants.domain) || isBelow) {
    throw new Error(
      "The binding TENANT_ORIGIN is not accepted: agents must live on another domain than the dashboard.",
    );
  }
  const keys = withNext(read("COMMAND_KEYS"), read("COMMAND_KEYS_NEXT"));
  if (!keys) throw new Error("The binding COMMAND_KEYS_NEXT is not accepted: with COMMAND_KEYS it makes over 4 keys.");
  const mail = read("MAIL");
  // Its page shows everybody's links to whoever can reach the dashboard.
  if (mail.driver === "mailbox" && !/(^|\.)localhost$/.test(dashboardHost)) {
    throw new Error("The binding MAIL is not accepted: the mailbox is for a dashboard at localhost.");
  }
  return {
    dashboardOrigin,
    secureCookies: dashboardOrigin.startsWith("https:"),
    tenants,
    database: { url: read("DATABASE_URL"), authToken: read("DATABASE_AUTH_TOKEN") },
    authSecret: read("AUTH_SECRET"),
    operatorToken: read("OPERATOR_TOKEN"),
    metricsToken: read("METRICS_TOKEN") ?? null,
    commandKeys: keys,
    vaultKeys: read("VAULT_KEYS"),
    providersAt: read("PROVIDERS_AT") ?? null,
    ticketKey: read("TICKET_KEY"),
    mail,
    social: { google: read("GOOGLE_SIGN_IN"), github: read("GITHUB_SIGN_IN") },
    controlPlane: read("CONTROL_PLANE"),
    authRateLimit: read("AUTH_RATE_LIMIT") === "on",
    maxTenantsPerOwner: Number(read("MAX_TENANTS_PER_OWNER")),
    sleep: {
      pauseAfterSeconds: Number(read("PAUSE_AFTER_SECONDS")),
      stopAfterSeconds: Number(read("STOP_AFTER_SECONDS")),
    },
    undoDeletionMs: Number(read("UNDO_DELETION_HOURS")) * 3_600_000,
    billing: read("BILLING"),
  };
}
