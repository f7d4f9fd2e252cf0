import { type CryptoKey, exportSPKI, generateKeyPair } from "jose";
import {
  type Claims,
  type EnvelopeKind,
  type Expectation,
  freshClaims,
  generateSigningKey,
  importSigningKey,
  publicPart,
  type Refusal,
  type SigningJwk,
  toBase64url,
} from "../index.ts";
import { ackSample, commandSamples, enrolmentSample, reportSamples, resultSamples, standingSample } from "./samples.ts";

/**
 * An attacker with the best tools that the model allows: the honest party's own signing key. Every forgery is truly
 * signed unless it is about the signature, so that only the one check under test is left to refuse it.
 */
export interface World {
  expected: Expectation;
  kid: string;
  publicJwk: SigningJwk;
  publicSpki: string;
  privateKey: CryptoKey;
  /** A second key of the keyset. */
  next: { kid: string; privateKey: CryptoKey };
  /** Was in the keyset once. */
  retired: { kid: string; privateKey: CryptoKey };
  attacker: { kid: string; publicJwk: SigningJwk; privateKey: CryptoKey };
  ecdsaKey: CryptoKey;
}

export interface Vector {
  /** Completes the sentence "refuses …". */
  name: string;
  reason: Refusal["reason"] | readonly Refusal["reason"][];
  /** What the receiver waits for; a command unless told. */
  kind?: EnvelopeKind;
  /** What the receiver holds to be true, where it is not the world's. */
  expected?: Partial<Expectation>;
  forge: (world: World) => string | Promise<string>;
}

export const TYP: Record<EnvelopeKind, string> = {
  command: "chelar-command+jwt",
  report: "chelar-report+jwt",
  download: "chelar-download+jwt",
  ack: "chelar-ack+jwt",
  enrolment: "chelar-enrolment+jwt",
  result: "chelar-result+jwt",
};
export const KINDS = ["command", "report", "download", "ack", "enrolment", "result"] as const;
export const NOW_SECONDS = 1_750_000_000;

const encoder = new TextEncoder();
const body = {
  command: { command: commandSamples["tenant.apply, running without secrets"] },
  report: { ...standingSample, reports: Object.values(reportSamples) },
  download: { download: { tenantId: `tnt_${"a".repeat(26)}` } },
  ack: { ack: ackSample },
  enrolment: { epoch: 0, enrolment: enrolmentSample },
  result: { result: Object.values(resultSamples)[0] },
};

export async function makeWorld(): Promise<World> {
  const party = async (kid: string) => {
    const jwk = await generateSigningKey();
    const publicJwk = publicPart(jwk);
    return { kid, publicJwk, publicKey: await importSigningKey(publicJwk), privateKey: await importSigningKey(jwk) };
  };
  const [current, next, retired, attacker] = await Promise.all(["current", "next", "retired", "attacker"].map(party));
  if (!current || !next || !retired || !attacker) throw new Error("four parties are needed");
  return {
    expected: {
      nowSeconds: NOW_SECONDS,
      issuer: "https://edge.example",
      audience: "hst_abcdefghijklmnopqrstuvwxyz",
      epoch: 3,
      keys: new Map([current, next].map(({ kid, publicKey }) => [kid, publicKey])),
    },
    kid: current.kid,
    publicJwk: current.publicJwk,
    publicSpki: await exportSPKI(current.publicKey),
    privateKey: current.privateKey,
    next,
    retired,
    attacker,
    ecdsaKey: (await generateKeyPair("ES256")).privateKey,
  };
}

/** Claims that verify now; `patch` may say anything, `undefined` leaves a claim out. */
export function claimsOf(world: World, patch: object = {}, kind: EnvelopeKind = "command"): Record<string, unknown> {
  const { issuer: iss, audience: aud, epoch, nowSeconds } = world.expected;
  const random = crypto.getRandomValues(new Uint8Array(16));
  return { ...freshClaims(nowSeconds, random), iss, aud, epoch, ...body[kind], ...patch };
}

export const honestClaims = <K extends EnvelopeKind>(world: World, kind: K, patch: object = {}) =>
  claimsOf(world, patch, kind) as unknown as Claims<K>;

export const headerOf = (world: World, patch: object = {}, kind: EnvelopeKind = "command") => ({
  alg: "EdDSA",
  typ: TYP[kind],
  kid: world.kid,
  ...patch,
});

/** base64url of text as UTF-8, or of bytes. */
export const b64 = (data: string | Uint8Array): string =>
  toBase64url(typeof data === "string" ? encoder.encode(data) : data);

/** Signs exactly the two parts given, however malformed they are. */
export async function signParts(
  header64: string,
  payload64: string,
  key: CryptoKey,
  algorithm: string | { name: string; hash: string } = "Ed25519",
): Promise<string> {
  const signed = encoder.encode(`${header64}.${payload64}`);
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, key, signed));
  return `${header64}.${payload64}.${toBase64url(signature)}`;
}

/** Signs header and payload text as they stand, with the edge's own key. */
export const signText = (world: World, header: string | Uint8Array, payload: string | Uint8Array, key?: CryptoKey) =>
  signParts(b64(header), b64(payload), key ?? world.privateKey);

/** The usual forgery: honest but for a patch of the claims. */
export const withClaims = (world: World, patch: object, kind: EnvelopeKind = "command") =>
  signText(world, JSON.stringify(headerOf(world, {}, kind)), JSON.stringify(claimsOf(world, patch, kind)));

/** Honest but for a patch of the protected header; `undefined` leaves a member out. */
export const withHeader = (world: World, patch: object, key?: CryptoKey) =>
  signText(world, JSON.stringify(headerOf(world, patch)), JSON.stringify(claimsOf(world)), key);

/** Honest but for the text of the payload, rewritten after JSON.stringify. */
export const withPayloadText = (world: World, rewrite: (text: string) => string | Uint8Array, patch: object = {}) =>
  signText(world, JSON.stringify(headerOf(world)), rewrite(JSON.stringify(claimsOf(world, patch))));

export const withHeaderText = (world: World, rewrite: (text: string) => string | Uint8Array) =>
  signText(world, rewrite(JSON.stringify(headerOf(world))), JSON.stringify(claimsOf(world)));

export const honest = (world: World, kind: EnvelopeKind = "command") => withClaims(world, {}, kind);

export function partsOf(compact: string): [string, string, string] {
  return compact.split(".") as [string, string, string];
}
