import { CompactSign, type CryptoKey, compactVerify } from "jose";
import { z } from "zod";
import { fromBase64url, toBase64url } from "./base64url.ts";
import { command, heldKeyset, kid, PROTOCOL_VERSION, tenantId } from "./commands.ts";
import { enrolRequest } from "./enrolment.ts";
import { commandResult, messageHash, report } from "./reports.ts";

/**
 * The one envelope of both directions: a compact JWS (RFC 7515), Ed25519 (RFC 8037). The payload is the whole
 * message, so that it survives queue, retry and audit byte for byte.
 */
export const MAX_LIFETIME_SECONDS = 60;
export const CLOCK_SKEW_SECONDS = 30;
const MAX_HEADER_CHARACTERS = 512;

const jti = z.string().regex(/^[A-Za-z0-9_-]{22}$/);
const party = z.string().min(1).max(200);
const common = {
  v: z.literal(PROTOCOL_VERSION),
  iss: party,
  aud: party,
  iat: z.int(),
  nbf: z.int(),
  exp: z.int(),
  jti,
  /** Of the host's enrolment: a host that is enrolled again starts a new epoch. */
  epoch: z.int().min(1),
};

/** What a host says of itself with every report, also with none: that is how it asks after its own journal. */
const standing = {
  /** The highest number that its journal has ever given: an old copy of the journal does not know the newest. */
  lastSeq: z.int().min(0),
  keyset: heldKeyset,
};

/** One archive of one agent's own files, for its owner: good for nothing else, and once. */
const download = z.strictObject({ tenantId });

/** The edge's signed word that it has everything up to a number: the host forgets reports for nobody else. */
const ack = z.strictObject({ reportHash: messageHash, ackedSeq: z.int().min(0) });

const kinds = {
  command: { typ: "chelar-command+jwt", claims: z.strictObject({ ...common, command }) },
  report: {
    typ: "chelar-report+jwt",
    claims: z.strictObject({ ...common, ...standing, reports: z.array(report).max(100) }),
  },
  download: { typ: "chelar-download+jwt", claims: z.strictObject({ ...common, download }) },
  ack: { typ: "chelar-ack+jwt", claims: z.strictObject({ ...common, ack }) },
  enrolment: {
    typ: "chelar-enrolment+jwt",
    // Signed with the very key that it brings: who shows a key must have it. No epoch has begun yet.
    claims: z.strictObject({ ...common, epoch: z.literal(0), enrolment: enrolRequest }),
  },
  result: { typ: "chelar-result+jwt", claims: z.strictObject({ ...common, result: commandResult }) },
} as const;

export type EnvelopeKind = keyof typeof kinds;

/** Checked before anything is parsed. A report may hold the inventory of a host with 2,000 tenants. */
export const MAX_ENVELOPE_BYTES: Readonly<Record<EnvelopeKind, number>> = {
  command: 64 * 1024,
  report: 256 * 1024,
  download: 4 * 1024,
  ack: 4 * 1024,
  enrolment: 8 * 1024,
  result: 64 * 1024,
};
export type Claims<K extends EnvelopeKind> = z.infer<(typeof kinds)[K]["claims"]>;
export type ReportClaims = Claims<"report">;

/** Why an envelope was refused: rich for the log of the side that refuses, never sent over the wire. */
export type Refusal =
  | { reason: "too_large"; bytes: number; limit: number }
  | { reason: "malformed"; part: "compact" | "header" | "payload" | "signature" }
  | { reason: "header_refused"; detail: string }
  | { reason: "kid_unknown"; kid: string }
  | { reason: "signature_invalid" }
  | { reason: "claims_invalid"; detail: string }
  | { reason: "lifetime_invalid"; seconds: number; limit: number }
  | { reason: "expired"; exp: number; now: number }
  | { reason: "not_yet_valid"; nbf: number; now: number }
  | { reason: "issuer_wrong"; got: string }
  | { reason: "audience_wrong"; got: string }
  | { reason: "epoch_wrong"; have: number; got: number };

export type Verdict<K extends EnvelopeKind> =
  | { ok: true; claims: Claims<K>; kid: string; hash: string }
  | { ok: false; refusal: Refusal };

/** What the receiver holds to be true. `nowSeconds` is its own clock. */
export interface Expectation {
  nowSeconds: number;
  issuer: string;
  audience: string;
  epoch: number;
  /** Public keys by kid: a Map, so that `__proto__` is a name like any other. */
  keys: ReadonlyMap<string, CryptoKey>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Signs claims with an Ed25519 private key. Returns the compact JWS. */
export async function signEnvelope<K extends EnvelopeKind>(
  kind: K,
  claims: Claims<K>,
  key: { kid: string; privateKey: CryptoKey },
): Promise<string> {
  return new CompactSign(encoder.encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "EdDSA", typ: kinds[kind].typ, kid: key.kid })
    .sign(key.privateKey);
}

/** The times and the id of a fresh envelope; spread into the claims. */
export function freshClaims(nowSeconds: number, random: Uint8Array, lifetimeSeconds = MAX_LIFETIME_SECONDS) {
  return {
    v: PROTOCOL_VERSION as 1,
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + lifetimeSeconds,
    jti: toBase64url(random.subarray(0, 16)),
  };
}

/** base64url SHA-256 of the bytes as they were received: names one message for journal, result and ledger. */
export async function envelopeHash(compact: string): Promise<string> {
  return toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(compact))));
}

/**
 * Checks everything that can be checked without state, cheapest first: size → header shape → key → signature →
 * times, issuer, audience, epoch → strict schema. Replay and generation are the journal's to judge.
 */
export async function verifyEnvelope<K extends EnvelopeKind>(
  kind: K,
  compact: string,
  expected: Expectation,
): Promise<Verdict<K>> {
  const refuse = (refusal: Refusal) => ({ ok: false as const, refusal });

  const bytes = encoder.encode(compact).length;
  const limit = MAX_ENVELOPE_BYTES[kind];
  if (bytes > limit) return refuse({ reason: "too_large", bytes, limit });

  const parts = compact.split(".");
  if (parts.length !== 3) return refuse({ reason: "malformed", part: "compact" });
  const [header64, payload64, signature64] = parts as [string, string, string];

  const header = readHeader(header64, kinds[kind].typ);
  if (!header.ok) return refuse(header.refusal);
  if (fromBase64url(signature64)?.length !== 64) return refuse({ reason: "malformed", part: "signature" });
  if (fromBase64url(payload64) === null) return refuse({ reason: "malformed", part: "payload" });

  const key = expected.keys.get(header.kid);
  if (!key) return refuse({ reason: "kid_unknown", kid: header.kid });

  let payload: Uint8Array;
  try {
    // The algorithm comes from our key and this list, never from the header (RFC 8725 section 3.1).
    ({ payload } = await compactVerify(compact, key, { algorithms: ["EdDSA"] }));
  } catch {
    return refuse({ reason: "signature_invalid" });
  }

  const raw = readCanonicalJson(payload);
  if (raw === undefined) return refuse({ reason: "malformed", part: "payload" });
  const parsed = kinds[kind].claims.safeParse(raw);
  if (!parsed.success) return refuse({ reason: "claims_invalid", detail: summarise(parsed.error) });
  const claims = parsed.data as Claims<K>;

  const contextual = checkContext(claims, expected);
  if (contextual) return refuse(contextual);
  return { ok: true, claims, kid: header.kid, hash: await envelopeHash(compact) };
}

function checkContext(claims: z.infer<z.ZodObject<typeof common>>, expected: Expectation): Refusal | null {
  const { nowSeconds: now } = expected;
  const lifetime = claims.exp - claims.iat;
  // iat ≤ nbf < exp ≤ iat + 60.
  if (claims.nbf < claims.iat || claims.nbf >= claims.exp || lifetime > MAX_LIFETIME_SECONDS) {
    return { reason: "lifetime_invalid", seconds: lifetime, limit: MAX_LIFETIME_SECONDS };
  }
  // Asks what must hold, not what must not: a clock that reads NaN then refuses everything instead of nothing.
  if (!(now < claims.exp + CLOCK_SKEW_SECONDS)) return { reason: "expired", exp: claims.exp, now };
  if (claims.nbf > now + CLOCK_SKEW_SECONDS) return { reason: "not_yet_valid", nbf: claims.nbf, now };
  if (claims.iss !== expected.issuer) return { reason: "issuer_wrong", got: claims.iss };
  if (claims.aud !== expected.audience) return { reason: "audience_wrong", got: claims.aud };
  if (claims.epoch !== expected.epoch) return { reason: "epoch_wrong", have: expected.epoch, got: claims.epoch };
  return null;
}

const headerShape = z.strictObject({
  alg: z.literal("EdDSA"),
  typ: z.string(),
  kid,
});

/** Exactly alg, typ and kid: `jku`, `jwk`, `x5u`, `crit`, `b64`, `zip` and whatever comes next are refused unread. */
function readHeader(header64: string, typ: string): { ok: true; kid: string } | { ok: false; refusal: Refusal } {
  if (header64.length > MAX_HEADER_CHARACTERS) {
    return { ok: false, refusal: { reason: "header_refused", detail: "too long" } };
  }
  const bytes = fromBase64url(header64);
  const raw = bytes && readCanonicalJson(bytes);
  if (!raw) return { ok: false, refusal: { reason: "malformed", part: "header" } };
  const parsed = headerShape.safeParse(raw);
  if (!parsed.success) return { ok: false, refusal: { reason: "header_refused", detail: summarise(parsed.error) } };
  if (parsed.data.typ !== typ) return { ok: false, refusal: { reason: "header_refused", detail: "typ" } };
  return { ok: true, kid: parsed.data.kid };
}

/**
 * JSON whose bytes are exactly what JSON.stringify writes: duplicate keys and spare bytes cannot hide in it. A member
 * named `__proto__` is refused here, since it is the one name that zod drops from a record instead of judging it.
 */
function readCanonicalJson(bytes: Uint8Array): unknown {
  try {
    const text = decoder.decode(bytes);
    if (text.includes('"__proto__":')) return undefined;
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

function summarise(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join(".") || "(root)"}: ${issue.code}`)
    .join("; ");
}
