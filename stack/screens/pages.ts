/** Every page there is: what is photographed, looked at by axe, weighed, and used without JavaScript. */

/** People who are there for their page of billing: paying, a payment failed, cancelled, ended, a trial's last day. */
export const PAYERS = ["payer", "debtor", "leaver", "former", "latecomer"] as const;
export type Payer = (typeof PAYERS)[number];
export type Who = "nobody" | "owner" | "operator" | Payer;
/** What a filled platform has, by which addresses are made. */
export interface Known {
  running: string;
  failed: string;
  asleep: string;
  hostId: string;
}

export interface PageEntry {
  /** Of the file in which its picture is. */
  name: string;
  /** As the edge's router has it. */
  route: string;
  as: Who;
  /** Where the route has parameters, or the page a state of its own. */
  at?: (known: Known) => string;
  /** What it answers, when that is not 200. */
  status?: number;
}

export const PAGES: readonly PageEntry[] = [
  { name: "landing", route: "/", as: "nobody" },
  { name: "status", route: "/status", as: "nobody" },
  { name: "api-reference", route: "/api/docs", as: "nobody" },
  { name: "sign-up", route: "/sign-up", as: "nobody" },
  { name: "sign-in", route: "/sign-in", as: "nobody" },
  { name: "sign-in-code", route: "/sign-in/code", as: "nobody" },
  { name: "verify", route: "/verify", as: "nobody", at: () => "/verify?token=example" },
  { name: "forgot", route: "/forgot", as: "nobody" },
  { name: "reset", route: "/reset", as: "nobody", at: () => "/reset?token=example" },
  { name: "mailbox", route: "/dev/mailbox", as: "nobody" },
  { name: "not-found", route: "*", as: "nobody", at: () => "/nowhere", status: 404 },
  { name: "agents", route: "/agents", as: "owner" },
  { name: "wizard-name", route: "/agents/new", as: "owner" },
  { name: "wizard-runtime", route: "/agents/new", as: "owner", at: () => "/agents/new?name=another-one" },
  {
    ...{ name: "wizard-model", route: "/agents/new", as: "owner" },
    at: () => "/agents/new?name=another-one&runtime=openclaw",
  },
  { name: "agent", route: "/agents/:id", as: "owner", at: ({ running }) => `/agents/${running}` },
  { name: "agent-asleep", route: "/agents/:id", as: "owner", at: ({ asleep }) => `/agents/${asleep}` },
  { name: "agent-failed", route: "/agents/:id", as: "owner", at: ({ failed }) => `/agents/${failed}` },
  { name: "agent-setup", route: "/agents/:id/setup", as: "owner", at: ({ running }) => `/agents/${running}/setup` },
  { name: "agent-keys", route: "/agents/:id/keys", as: "owner", at: ({ running }) => `/agents/${running}/keys` },
  {
    ...{ name: "agent-channels", route: "/agents/:id/channels", as: "owner" },
    at: ({ running }) => `/agents/${running}/channels`,
  },
  {
    ...{ name: "agent-channel", route: "/agents/:id/channels/:kind", as: "owner" },
    at: ({ asleep }) => `/agents/${asleep}/channels/slack`,
  },
  {
    ...{ name: "agent-channel-connected", route: "/agents/:id/channels/:kind", as: "owner" },
    at: ({ asleep }) => `/agents/${asleep}/channels/whatsapp`,
  },
  { name: "agent-walls", route: "/agents/:id/walls", as: "owner", at: ({ running }) => `/agents/${running}/walls` },
  {
    ...{ name: "agent-security", route: "/agents/:id/security", as: "owner" },
    at: ({ running }) => `/agents/${running}/security`,
  },
  { name: "agent-data", route: "/agents/:id/data", as: "owner", at: ({ running }) => `/agents/${running}/data` },
  { name: "agents-none", route: "/agents", as: "payer" },
  { name: "billing", route: "/billing", as: "owner" },
  ...PAYERS.map((as) => ({ name: `billing-${as}`, route: "/billing", as })),
  { name: "account", route: "/account", as: "owner" },
  { name: "account-password", route: "/account/password", as: "owner" },
  { name: "account-two-factor", route: "/account/two-factor", as: "owner" },
  { name: "account-delete", route: "/account/delete", as: "owner" },
  { name: "account-new-key", route: "/account/keys/new", as: "owner" },
  { name: "operator", route: "/operator", as: "operator" },
  {
    name: "operator-host",
    route: "/operator/hosts/:id",
    as: "operator",
    at: ({ hostId }) => `/operator/hosts/${hostId}`,
  },
  { name: "operator-audit", route: "/operator/audit", as: "operator" },
  { name: "operator-sweeps", route: "/operator/sweeps", as: "operator" },
];

/** What is asked for with GET and is no page of ours. */
export const NOT_PAGES: readonly RegExp[] = [
  /^\/api\/(?!docs$)/,
  /^\/assets\//,
  /^\/\.well-known\//,
  /^\/(?:healthz|status\.json|metrics)$/,
  // A provider of messages asks whether the address is ours.
  /^\/hooks\//,
  // The door's own: Caddy asks the first, the second sends on and shows nothing.
  /^\/forward-auth/,
  /^\/authorize$/,
  // Files, and signed documents that verify by themselves.
  /^\/operator\/audit\/export$/,
  /^\/(?:account-)?receipts\//,
];
