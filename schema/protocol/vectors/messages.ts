import { NOW_SECONDS, type Vector, withClaims, withPayloadText } from "./forge.ts";
import { ackSample, commandSamples, enrolmentSample, reportSamples, resultSamples, tenantSample } from "./samples.ts";

const refused = (name: string, patch: object, kind: Vector["kind"] = "command"): Vector => ({
  name,
  reason: "claims_invalid",
  kind,
  forge: (world) => withClaims(world, patch, kind),
});

const apply = commandSamples["tenant.apply, running without secrets"];
const keyset = { version: 1, keys: [{ kid: "a", x: "A".repeat(43) }] };
const command = (name: string, patch: object) => refused(name, { command: { ...apply, ...patch } });
const tenant = (name: string, patch: object) => command(name, { tenant: { ...tenantSample, ...patch } });
const limit = (name: string, patch: object) => tenant(name, { limits: { ...tenantSample.limits, ...patch } });
const keys = (name: string, patch: object) =>
  refused(name, { command: { type: "host.apply", generation: 1, keyset: { ...keyset, ...patch } } });

/** A later or an earlier protocol must be refused, never read as ours. */
export const versionVectors: Vector[] = [
  refused("protocol version 2", { v: 2 }),
  refused("a downgrade to protocol version 0", { v: 0 }),
  refused("a version that is a string", { v: "1" }),
  refused("a version that is true", { v: true }),
  refused("a missing version", { v: undefined }),
];

export const claimVectors: Vector[] = [
  refused("an unknown claim", { sub: "usr_owner" }),
  refused("a claim named constructor", { constructor: { name: "x" } }),
  refused("a missing jti", { jti: undefined }),
  refused("a jti of 15 bytes", { jti: "A".repeat(20) }),
  refused("a jti of 17 bytes", { jti: "A".repeat(23) }),
  refused("a jti with a slash", { jti: `${"A".repeat(21)}/` }),
  refused("a jti with a newline after it", { jti: `${"A".repeat(22)}\n` }),
  refused("a jti that is a number", { jti: 1 }),
  refused("a missing command", { command: undefined }),
  refused("a command that is null", { command: null }),
  refused("a list of commands", { command: [apply] }),
  refused("a command beside a report", { reports: Object.values(reportSamples) }),
  {
    name: "a payload that is a list",
    reason: "claims_invalid",
    forge: (w) => withPayloadText(w, (json) => `[${json}]`),
  },
  { name: "a payload that is null", reason: "claims_invalid", forge: (w) => withPayloadText(w, () => "null") },
  { name: "a payload that is a string", reason: "claims_invalid", forge: (w) => withPayloadText(w, JSON.stringify) },
];

export const commandVectors: Vector[] = [
  ...["tenant.destroy", "TENANT.PURGE", "__proto__", "constructor", "", null, 1].map((type) =>
    refused(`the command type ${JSON.stringify(type)}`, {
      command: { type, tenantId: tenantSample.id, generation: 1 },
    }),
  ),
  command("an unknown field in a command", { shell: "id" }),
  command("generation zero", { generation: 0 }),
  command("a negative generation", { generation: -1 }),
  command("a fractional generation", { generation: 1.5 }),
  command("a generation that is a string", { generation: "7" }),
  command("a generation beyond the safe integers", { generation: 2 ** 53 }),
  command("an unknown desired state", { desired: "privileged" }),
  command("a missing desired state", { desired: undefined }),
  command("negative restarts", { restarts: -1 }),
  command("secrets of 32 KiB and one", { secretsJwe: "s".repeat(32_769) }),
  command("secrets in the clear", { secretsJwe: { OPENAI_API_KEY: "sk" } }),
  tenant("a tenant id that climbs out of its directory", { id: "tnt_../../../../etc/passwd" }),
  tenant("a tenant id with a newline after it", { id: `${tenantSample.id}\n` }),
  tenant("a host's id as a tenant's", { id: tenantSample.id.replace("tnt", "hst") }),
  tenant("a reserved slug", { slug: "admin" }),
  tenant("a slug that climbs", { slug: "../x" }),
  tenant("a host name with a path", { hostname: "a.example/../b" }),
  tenant("a host name in capitals", { hostname: "A.example" }),
  tenant("a host name with a space", { hostname: "a b.example" }),
  tenant("an owner that would break a header", { ownerId: "usr\r\nX-Chelar-User: root" }),
  tenant("an unknown runtime", { runtime: "nanoclaw" }),
  tenant("a field for mounts", { mounts: ["/:/host"] }),
  tenant("a script as origin", { origin: "javascript:alert(1)" }),
  tenant("an origin of another scheme", { origin: "ftp://ada-helper.agents.localhost" }),
  tenant("an origin with credentials", { origin: "https://user:pass@ada-helper.agents.localhost" }),
  tenant("an origin with a path", { origin: "https://ada-helper.agents.localhost/x" }),
  tenant("an origin with spaces around it", { origin: " https://ada-helper.agents.localhost\n" }),
  limit("a tenant without a memory limit", { memoryMiB: undefined }),
  limit("a memory limit of zero, which Docker reads as none", { memoryMiB: 0 }),
  limit("a pids limit of -1, which Docker reads as none", { pids: -1 }),
  limit("more memory than a host may give", { memoryMiB: 65_537 }),
  limit("a limit that is no whole number", { cpuMillis: 0.5 }),
  refused("a purge without a generation", { command: { type: "tenant.purge", tenantId: tenantSample.id } }),
  refused("a probe with an argument", { command: { type: "host.probe", path: "/etc/shadow" } }),
];

export const keysetVectors: Vector[] = [
  keys("an empty keyset", { keys: [] }),
  keys("a keyset of five keys", { keys: Array.from({ length: 5 }, (_, i) => ({ kid: `k${i}`, x: "A".repeat(43) })) }),
  keys("a keyset with two keys of one kid", { keys: [keyset.keys[0], { kid: "a", x: `${"B".repeat(42)}A` }] }),
  keys("keyset version zero", { version: 0 }),
  keys("a keyset that carries a private key", { keys: [{ ...keyset.keys[0], d: "A".repeat(43) }] }),
  keys("a key of the wrong length", { keys: [{ kid: "a", x: "A".repeat(42) }] }),
  keys("a key with spare bits", { keys: [{ kid: "a", x: `${"A".repeat(42)}B` }] }),
  keys("a kid in a keyset that is a path", { keys: [{ kid: "../a", x: "A".repeat(43) }] }),
];

const report = Object.values(reportSamples)[0];
const result = Object.values(resultSamples)[0];

export const answerVectors: Vector[] = [
  refused("an unknown claim beside reports", { sub: "usr_owner" }, "report"),
  refused("an unknown claim beside a result", { sub: "usr_owner" }, "result"),
  refused("a report without the list of reports", { reports: undefined }, "report"),
  refused("a report that hides the end of its journal", { lastSeq: undefined }, "report"),
  refused("a report whose journal ends below zero", { lastSeq: -1 }, "report"),
  refused("a report that hides which keys it believes", { keyset: undefined }, "report"),
  refused("a report that believes no key", { keyset: { version: 1, kids: [] } }, "report"),
  refused("a report that believes a path", { keyset: { version: 1, kids: ["../k"] } }, "report"),
  refused("101 reports at once", { reports: Array.from({ length: 101 }, () => report) }, "report"),
  refused("an unknown report type", { reports: [{ ...report, type: "host.exec" }] }, "report"),
  refused("a report with an unknown field", { reports: [{ ...report, html: "<b>" }] }, "report"),
  refused("a report numbered zero", { reports: [{ ...report, seq: 0 }] }, "report"),
  refused("a report of an unknown step", { reports: [{ ...report, step: "exfiltrate" }] }, "report"),
  refused("a fraction above one", { reports: [{ ...report, fraction: 1.01 }] }, "report"),
  refused("a detail over 500 characters", { reports: [{ ...report, detail: "d".repeat(501) }] }, "report"),
  refused("a result with another outcome", { result: { ...result, outcome: { status: "done" } } }, "result"),
  refused("a refusal without a reason", { result: { ...result, outcome: { status: "refused" } } }, "result"),
  refused("a result for a hash that is too short", { result: { ...result, commandHash: "h".repeat(42) } }, "result"),
];

const instead = (name: string, reason: Vector["reason"], patch: object, kind: Vector["kind"]): Vector => ({
  name,
  reason,
  kind,
  forge: (world) => withClaims(world, patch, kind),
});
const now = NOW_SECONDS;
const longAgo = { iat: now - 600, nbf: now - 600, exp: now - 540 };

/** An acknowledgement makes a host forget what it has reported: whoever stands between must not be able to write one. */
export const ackVectors: Vector[] = [
  ...(["report", "result", "command"] as const).map(
    (kind): Vector => ({
      name: `a ${kind} as an acknowledgement`,
      reason: "header_refused",
      kind: "ack",
      forge: (world) => withClaims(world, {}, kind),
    }),
  ),
  instead("an acknowledgement of last week", "expired", longAgo, "ack"),
  instead("another host's acknowledgement", "audience_wrong", { aud: `hst_${"z".repeat(26)}` }, "ack"),
  instead("another edge's acknowledgement", "issuer_wrong", { iss: "https://edge.evil" }, "ack"),
  instead("an acknowledgement of an older epoch", "epoch_wrong", { epoch: 2 }, "ack"),
  {
    name: "an acknowledgement signed by somebody else under our kid",
    reason: "signature_invalid",
    kind: "ack",
    forge: (world) => withClaims({ ...world, privateKey: world.attacker.privateKey }, {}, "ack"),
  },
  {
    name: "an acknowledgement signed by a retired key",
    reason: "kid_unknown",
    kind: "ack",
    forge: (world) => withClaims({ ...world, ...world.retired }, {}, "ack"),
  },
  {
    name: "an acknowledgement in the clear",
    reason: "malformed",
    kind: "ack",
    forge: () => JSON.stringify({ ackedSeq: 9 }),
  },
  refused("an unknown claim beside an acknowledgement", { command: apply }, "ack"),
  refused("an acknowledgement of no report", { ack: { ackedSeq: 1 } }, "ack"),
  refused("an acknowledgement below zero", { ack: { ...ackSample, ackedSeq: -1 } }, "ack"),
  refused("an acknowledgement beyond the safe integers", { ack: { ...ackSample, ackedSeq: 2 ** 53 } }, "ack"),
];

const enrolment = (name: string, patch: object) =>
  refused(name, { enrolment: { ...enrolmentSample, ...patch } }, "enrolment");

/** The expectation's keys hold the key under test, as the edge takes it from the request itself. */
export const enrolmentVectors: Vector[] = [
  instead("an enrolment signed last week", "expired", longAgo, "enrolment"),
  instead(
    "an enrolment that somebody relays from another edge",
    "audience_wrong",
    { aud: "https://a.evil" },
    "enrolment",
  ),
  {
    name: "an enrolment signed with another key than it brings",
    reason: "signature_invalid",
    kind: "enrolment",
    forge: (world) => withClaims({ ...world, privateKey: world.attacker.privateKey }, {}, "enrolment"),
  },
  {
    name: "a report as an enrolment",
    reason: "header_refused",
    kind: "enrolment",
    forge: (world) => withClaims(world, {}, "report"),
  },
  refused("an enrolment into an epoch of its own choice", { epoch: 7 }, "enrolment"),
  enrolment("an enrolment without a token", { token: undefined }),
  enrolment("an enrolment with its private key", { signing: { ...enrolmentSample.signing, d: "A".repeat(43) } }),
  enrolment("an enrolment of a name that is a path", { name: "../x" }),
  enrolment("an enrolment of an endpoint that is no web address", { endpoint: "file:///etc/passwd" }),
];
