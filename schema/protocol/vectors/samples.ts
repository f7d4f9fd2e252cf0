import type { Command, CommandOutcome, CommandResult, EnrolRequest, Report, TenantSpec } from "../index.ts";

/** One honest message of every type that the protocol knows. Only tests import this folder. */
export const TENANT_ID = "tnt_abcdefghijklmnopqrstuvwxyz";
export const OTHER_TENANT_ID = "tnt_zyxwvutsrqponmlkjihgfedcba";

export const tenantSample: TenantSpec = {
  id: TENANT_ID,
  slug: "ada-helper",
  hostname: "ada-helper.agents.localhost",
  origin: "http://ada-helper.agents.localhost:8080",
  ownerId: "usr_owner",
  runtime: "openclaw",
  limits: {
    memoryMiB: 1024,
    cpuMillis: 1000,
    pids: 512,
    diskMiB: 4096,
    tmpMiB: 64,
    shmMiB: 64,
    requestsPerMinute: 600,
  },
};

const apply = {
  type: "tenant.apply",
  tenant: tenantSample,
  generation: 7,
  desired: "running",
  restarts: 0,
  secretsJwe: null,
} as const satisfies Command;

export const commandSamples: Record<string, Command> = {
  "tenant.apply, running without secrets": apply,
  "tenant.apply, suspended with secrets": { ...apply, desired: "suspended", secretsJwe: "eyJ.a.b.c.d" },
  "tenant.apply, stopped echo": { ...apply, desired: "stopped", tenant: { ...tenantSample, runtime: "echo" } },
  "tenant.apply, the largest generation": { ...apply, generation: Number.MAX_SAFE_INTEGER },
  "tenant.purge": { type: "tenant.purge", tenantId: TENANT_ID, generation: 8 },
  "tenant.halt": { type: "tenant.halt", tenantId: TENANT_ID, generation: 8 },
  "host.apply": {
    type: "host.apply",
    generation: 2,
    keyset: {
      version: 3,
      keys: [
        { kid: "edge-current", x: "A".repeat(43) },
        { kid: "edge-next", x: `${"B".repeat(42)}A` },
      ],
    },
  },
  "host.apply, with the control plane's addresses": {
    type: "host.apply",
    generation: 3,
    keyset: { version: 3, keys: [{ kid: "edge-current", x: "A".repeat(43) }] },
    controlPlane: { networks: ["203.0.113.0/24", "2001:db8:9::/48"], https: ["203.0.113.7/32"] },
  },
  "host.probe": { type: "host.probe" },
};

const numbered = { seq: 1, at: 1_750_000_000_000 };
const named = { ...numbered, tenantId: TENANT_ID, generation: 7 };

export const reportSamples: Record<string, Report> = {
  "tenant.progress, started": { type: "tenant.progress", ...named, step: "volume", status: "started" },
  "tenant.progress, with every field": {
    type: "tenant.progress",
    ...named,
    step: "image",
    status: "progress",
    detail: "Preparing “OpenClaw” – 40 % ✓",
    fraction: 0.4,
    tookMs: 12.5,
  },
  "tenant.state": { type: "tenant.state", ...named, state: "running", detail: "ready" },
  "host.inventory": {
    type: "host.inventory",
    ...numbered,
    tenants: [{ tenantId: TENANT_ID, generation: 7, state: "purged" }],
    images: [{ runtime: "echo", state: "ready" }],
    versions: { docker: "29.5.1", caddy: "2.11.4" },
    capacity: { memoryMiB: 24_000, diskMiB: 100_000, tenants: 200 },
  },
  "host.posture": {
    type: "host.posture",
    ...numbered,
    tookMs: 8_800,
    attacks: [
      {
        id: "caps-own",
        layer: 4,
        from: "inside",
        source: "CIS Docker 5.4",
        tries: "have any capability",
        outcome: "held",
        evidence: "CapBnd 0000000000000000",
      },
    ],
    gates: [{ name: "docker", have: "20.10.24", need: ">= 29.5.1", ok: false }],
  },
  "tenant.command": {
    type: "tenant.command",
    ...{ ...numbered, tenantId: TENANT_ID },
    entry: {
      ...{ epoch: 3, number: 12, at: numbered.at, type: "tenant.apply", generation: 7, jti: "j".repeat(22) },
      ...{ commandHash: "c".repeat(43), previous: "p".repeat(43), hash: "h".repeat(43) },
    },
  },
  "host.inventory, empty host": {
    type: "host.inventory",
    ...numbered,
    tenants: [],
    images: [],
    versions: {},
    capacity: { memoryMiB: 0, diskMiB: 0, tenants: 0 },
  },
};

export const standingSample = { lastSeq: 1, keyset: { version: 3, kids: ["current", "next"] } };
export const ackSample = { reportHash: "r".repeat(43), ackedSeq: 41 };
export const enrolmentSample: EnrolRequest = {
  token: `chelar-enrol.${"t".repeat(43)}`,
  name: "box-1",
  region: "local",
  endpoint: "https://box-1.example",
  signing: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) },
  sealing: { kty: "OKP", crv: "X25519", x: "A".repeat(43) },
  capacity: { memoryMiB: 24_000, diskMiB: 100_000, tenants: 200 },
};

const refusedReasons = [
  "generation_stale",
  "generation_conflict",
  "keyset_stale",
  "tenant_purged",
  "jti_reused",
  "journal_unavailable",
] as const;

const outcomes: CommandOutcome[] = [
  { status: "accepted" },
  { status: "already_applied" },
  ...refusedReasons.map((reason) => ({ status: "refused" as const, reason })),
  { status: "refused", reason: "generation_stale", have: 9 },
];

export const resultSamples: Record<string, CommandResult> = Object.fromEntries(
  outcomes.map((outcome) => [
    Object.values(outcome).join(", "),
    { type: "command.result", commandHash: "h".repeat(43), outcome },
  ]),
);
