import type { CryptoKey } from "jose";
import { fromBase64url, toBase64url } from "../../schema/protocol/index.ts";
import type { Bytes, Keyring } from "./rules.ts";
import { Secret } from "./secret.ts";

/**
 * Encryption at rest (DESIGN 3.7): a fresh 256-bit data key per version seals the value, and is itself wrapped; both
 * with AES-256-GCM and a random 96-bit nonce (NIST SP 800-38D 8.2.2). What wraps is derived (HKDF, RFC 5869) from a
 * key of the ring and the tenant's own salt, so that without the salt the ring opens nothing of that tenant.
 *
 * GCM does not commit to its key: whoever knows two keys can make one ciphertext that opens under both (Len, Grubbs,
 * Ristenpart, "Partitioning Oracle Attacks", 2021). So a commitment to the wrapping key is stored and compared before
 * anything is decrypted. It binds the rest, too: under one wrapping key the row gives one data key, and that one value.
 */
export const FORMAT = 2;
/** Read until the sweep has made it anew: the ring's key itself wraps, and nothing commits. */
const FORMAT_BEFORE_SALTS = 1;
const NONCE_BYTES = 12;
const DATA_KEY_BYTES = 32;
const SALT_BYTES = 32;

/** Which row of the tenant it is: part of the associated data, so that no ciphertext can be moved to another row. */
export interface SecretPlace {
  name: string;
  version: number;
}

/** The part that a rotation replaces. */
export interface Wrap {
  keyVersion: number;
  keyCommitment: string | null;
  wrapNonce: string;
  wrappedKey: string;
}

export interface Envelope extends Wrap {
  format: number;
  nonce: string;
  ciphertext: string;
}

const UNREADABLE = { ok: false, reason: "secret_unreadable" } as const;
export type Opened = { ok: true; secret: Secret } | typeof UNREADABLE;

type Random = (bytes: number) => Bytes;

/** A new tenant's salt, as its row holds it. */
export const newSalt = (random: Random): string => toBase64url(random(SALT_BYTES));

/**
 * Seals and opens the secrets of one tenant. `salt`: base64url; null when it was destroyed or never made. Not to be kept
 * for longer than the work in hand: what it has derived would outlive the salt.
 */
export function tenantKeys(ring: Keyring, tenantId: string, salt: string | null) {
  const derived = new Map<number, ReturnType<typeof deriveWrapping>>();
  const wrappingOf = (keyVersion: number) => {
    const known = derived.get(keyVersion) ?? deriveWrapping(ring, { tenantId, salt, keyVersion });
    derived.set(keyVersion, known);
    return known;
  };

  /** Throws for whatever is wrong; only {@link UNREADABLE} leaves this file. */
  async function unwrap(envelope: Envelope, place: SecretPlace, extractable: boolean): Promise<CryptoKey> {
    const { format, keyVersion } = envelope;
    if (keyVersion < ring.floor) throw new Error("below the floor");
    const { key, commitment } = await wrappingIn(format, keyVersion);
    if (commitment !== envelope.keyCommitment) throw new Error("another wrapping key");
    const algorithm = gcm(bytesOf(envelope.wrapNonce, NONCE_BYTES), associated("key", format, place, keyVersion));
    const wrapped = bytesOf(envelope.wrappedKey);
    return crypto.subtle.unwrapKey("raw", wrapped, key, algorithm, "AES-GCM", extractable, ["decrypt"]);
  }

  function wrappingIn(format: number, keyVersion: number): Promise<{ key: CryptoKey; commitment: string | null }> {
    if (format === FORMAT) return wrappingOf(keyVersion);
    if (format !== FORMAT_BEFORE_SALTS) throw new Error("no such format");
    return importKey(ringKey(ring, keyVersion), ["unwrapKey"]).then((key) => ({ key, commitment: null }));
  }

  async function wrap(dataKey: Bytes, wrapNonce: Bytes, place: SecretPlace): Promise<Wrap> {
    const keyVersion = ring.current;
    const { key, commitment } = await wrappingOf(keyVersion);
    const algorithm = gcm(wrapNonce, associated("key", FORMAT, place, keyVersion));
    const wrapped = await crypto.subtle.encrypt(algorithm, key, dataKey);
    return {
      keyVersion,
      keyCommitment: commitment,
      wrapNonce: toBase64url(wrapNonce),
      wrappedKey: base64urlOf(wrapped),
    };
  }

  async function seal(secret: Secret, place: SecretPlace, random: Random): Promise<Envelope> {
    const fresh = random(DATA_KEY_BYTES + 2 * NONCE_BYTES);
    const dataKey = fresh.subarray(0, DATA_KEY_BYTES);
    const nonce = fresh.subarray(DATA_KEY_BYTES, DATA_KEY_BYTES + NONCE_BYTES);
    const key = await importKey(dataKey, ["encrypt"]);
    const value = gcm(nonce, associated("value", FORMAT, place));
    const ciphertext = await crypto.subtle.encrypt(value, key, utf8(secret.reveal()));
    const wrapped = await wrap(dataKey, fresh.subarray(DATA_KEY_BYTES + NONCE_BYTES), place);
    const envelope = { format: FORMAT, nonce: toBase64url(nonce), ciphertext: base64urlOf(ciphertext), ...wrapped };
    fresh.fill(0);
    return envelope;
  }

  /** Wrong tag, wrong or retired key, moved, truncated or made-up row, destroyed salt: one and the same failure. */
  async function open(envelope: Envelope, place: SecretPlace): Promise<Opened> {
    try {
      const key = await unwrap(envelope, place, false);
      const algorithm = gcm(bytesOf(envelope.nonce, NONCE_BYTES), associated("value", envelope.format, place));
      const value = await crypto.subtle.decrypt(algorithm, key, bytesOf(envelope.ciphertext));
      return { ok: true, secret: new Secret(decoder.decode(value)) };
    } catch {
      return UNREADABLE;
    }
  }

  /**
   * The same secret under the ring's current key. The value is not touched; only a row of the old format, whose value is
   * bound to that format, is sealed anew once.
   */
  async function rewrap(
    envelope: Envelope,
    place: SecretPlace,
    random: Random,
  ): Promise<{ ok: true; envelope: Envelope } | typeof UNREADABLE> {
    if (envelope.format !== FORMAT) {
      const opened = await open(envelope, place);
      return opened.ok ? { ok: true, envelope: await seal(opened.secret, place, random) } : opened;
    }
    try {
      const dataKey = await rawKey(await unwrap(envelope, place, true));
      const wrapped = await wrap(dataKey, random(NONCE_BYTES), place);
      dataKey.fill(0);
      return { ok: true, envelope: { ...envelope, ...wrapped } };
    } catch {
      return UNREADABLE;
    }
  }

  /** JSON of a fixed array: unambiguous, whatever the parts hold. A value's own leaves out the ring's key version, so
   * that rotation rewraps the data key and never touches the value. */
  function associated(
    what: "value" | "key",
    format: number,
    { name, version }: SecretPlace,
    keyVersion?: number,
  ): Bytes {
    const parts = ["chelar-vault", what, format, tenantId, name, version];
    if (keyVersion !== undefined) parts.push(keyVersion);
    return utf8(JSON.stringify(parts));
  }

  return { seal, open, rewrap };
}
export type TenantKeys = ReturnType<typeof tenantKeys>;

/** One derivation gives the key and, from an independent half, what may be told of it. */
async function deriveWrapping(ring: Keyring, from: { tenantId: string; salt: string | null; keyVersion: number }) {
  const { tenantId, salt, keyVersion } = from;
  const info = utf8(JSON.stringify(["chelar-vault", "wrap", FORMAT, tenantId, keyVersion]));
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: bytesOf(salt ?? "", SALT_BYTES), info };
  const bits = new Uint8Array(await crypto.subtle.deriveBits(algorithm, await rootKey(ring, keyVersion), 512));
  const key = await importKey(bits.subarray(0, 32), ["encrypt", "unwrapKey"]);
  const commitment = toBase64url(bits.subarray(32));
  bits.fill(0);
  return { key, commitment };
}

/** To tell keys of the ring apart without showing them. */
export async function fingerprintOf(key: Bytes): Promise<string> {
  const name = utf8("chelar-vault fingerprint");
  const input = new Uint8Array(name.length + key.length);
  input.set(name);
  input.set(key, name.length);
  return toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", input))).slice(0, 12);
}

const rootKeys = new WeakMap<Bytes, Promise<CryptoKey>>();

function rootKey(ring: Keyring, version: number): Promise<CryptoKey> {
  const bytes = ringKey(ring, version);
  const known = rootKeys.get(bytes) ?? crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits"]);
  rootKeys.set(bytes, known);
  return known;
}

function ringKey(ring: Keyring, version: number): Bytes {
  const key = ring.keys.get(version);
  if (!key) throw new Error("no such key in the ring");
  return key;
}

function bytesOf(text: string, length?: number): Bytes {
  const bytes = fromBase64url(text);
  if (!bytes || (length !== undefined && bytes.length !== length)) throw new Error("not the bytes of an envelope");
  return bytes as Bytes;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8 = (text: string) => encoder.encode(text) as Bytes;

const rawKey = async (key: CryptoKey) => new Uint8Array((await crypto.subtle.exportKey("raw", key)) as ArrayBuffer);

const base64urlOf = (bytes: ArrayBuffer) => toBase64url(new Uint8Array(bytes));

const gcm = (iv: Bytes, additionalData: Bytes) => ({ name: "AES-GCM", iv, additionalData });

const importKey = (bytes: Bytes, usages: ("encrypt" | "unwrapKey")[]) =>
  crypto.subtle.importKey("raw", bytes, "AES-GCM", false, usages);
