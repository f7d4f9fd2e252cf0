import type { CryptoKey } from "jose";
import { toBase64url } from "../../schema/protocol/index.ts";
import {
  boundTo,
  boxed,
  bytesOf,
  DATA_KEY_BYTES,
  type Envelope,
  FORMAT,
  FORMAT_BEFORE_SALTS,
  type Half,
  halvesOf,
  NONCE_BYTES,
  type SecretPlace,
  utf8,
} from "./formats.ts";
import type { Bytes, Keyring } from "./rules.ts";
import { Secret } from "./secret.ts";

export { type Envelope, FORMAT, type SecretPlace } from "./formats.ts";

/**
 * Encryption at rest (DESIGN 3.7): a fresh 256-bit data key per version seals the value, and is itself wrapped; both
 * with AES-256-GCM and a random 96-bit nonce (NIST SP 800-38D 8.2.2). What wraps is derived (HKDF, RFC 5869) from a
 * key of the ring and the tenant's own salt, so that without the salt the ring opens nothing of that tenant.
 *
 * GCM does not commit to its key: whoever knows two keys can make one ciphertext that opens under both (Len, Grubbs,
 * Ristenpart, "Partitioning Oracle Attacks", 2021). So a commitment to the wrapping key is stored and compared before
 * anything is decrypted. It binds the rest, too: under one wrapping key the row gives one data key, and that one value.
 */
const SALT_BYTES = 32;

/** Once: in workerd each look at `crypto.subtle` costs a fifteenth of a cipher's call. */
const { subtle } = crypto;

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
  const bound = boundTo(tenantId);
  const derived: Wrapping[] = [];
  const known = (format: number, keyVersion: number) =>
    derived.find((one) => one.keyVersion === keyVersion && one.format === format);
  async function derive(format: number, keyVersion: number): Promise<Wrapping> {
    const wrapping = await makeWrapping(ring, { tenantId, salt, format, keyVersion });
    derived.push(wrapping);
    return wrapping;
  }

  /** Where a row says the truth about what it is wrapped under, and may be; throws otherwise. */
  function committed({ keyVersion, keyCommitment }: Envelope, { key, commitment }: Wrapping): CryptoKey {
    if (keyVersion < ring.floor) throw new Error("below the floor");
    if (commitment !== keyCommitment) throw new Error("another wrapping key");
    return key;
  }

  async function seal(secret: Secret, place: SecretPlace, random: Random): Promise<Envelope> {
    const fresh = random(DATA_KEY_BYTES + 2 * NONCE_BYTES);
    const dataKey = fresh.subarray(0, DATA_KEY_BYTES);
    const nonce = fresh.subarray(DATA_KEY_BYTES, DATA_KEY_BYTES + NONCE_BYTES);
    const wrapNonce = fresh.subarray(DATA_KEY_BYTES + NONCE_BYTES);
    const keyVersion = ring.current;
    const to = bound(place, keyVersion, secret.reveal());
    const wrapping = known(FORMAT, keyVersion) ?? (await derive(FORMAT, keyVersion));
    const key = await importKey(dataKey, ["encrypt"]);
    const value = await subtle.encrypt(gcm(nonce, to.value), key, to.text);
    const wrapped = await subtle.encrypt(gcm(wrapNonce, to.key), wrapping.key, dataKey);
    const envelope = {
      format: FORMAT,
      keyVersion,
      keyCommitment: wrapping.commitment,
      wrappedKey: boxed(wrapNonce, wrapped),
      ciphertext: boxed(nonce, value),
      nonce: "",
      wrapNonce: "",
    };
    fresh.fill(0);
    return envelope;
  }

  /** Wrong tag, wrong or retired key, moved, truncated or made-up row, destroyed salt: one and the same failure. */
  async function open(envelope: Envelope, place: SecretPlace): Promise<Opened> {
    try {
      const { format, keyVersion } = envelope;
      const { key, value } = halvesOf(envelope, tenantId, place, bound);
      const wrapping = known(format, keyVersion) ?? (await derive(format, keyVersion));
      const dataKey = await unwrapped(committed(envelope, wrapping), key, false);
      const text = await subtle.decrypt(gcm(value.nonce, value.bound), dataKey, value.sealed);
      return { ok: true, secret: new Secret(decoder.decode(text)) };
    } catch {
      return UNREADABLE;
    }
  }

  /**
   * The same secret under the ring's current key. The value is not touched; only a row of an older format, whose value is
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
      const { key } = halvesOf(envelope, tenantId, place, bound);
      const before = known(FORMAT, envelope.keyVersion) ?? (await derive(FORMAT, envelope.keyVersion));
      const dataKey = await rawKey(await unwrapped(committed(envelope, before), key, true));
      const keyVersion = ring.current;
      const wrapping = known(FORMAT, keyVersion) ?? (await derive(FORMAT, keyVersion));
      const nonce = random(NONCE_BYTES);
      const to = bound(place, keyVersion);
      const wrapped = await subtle.encrypt(gcm(nonce, to.key), wrapping.key, dataKey);
      dataKey.fill(0);
      const wrap = { keyVersion, keyCommitment: wrapping.commitment, wrappedKey: boxed(nonce, wrapped) };
      return { ok: true, envelope: { ...envelope, ...wrap } };
    } catch {
      return UNREADABLE;
    }
  }

  return { seal, open, rewrap };
}
export type TenantKeys = ReturnType<typeof tenantKeys>;

const unwrapped = (by: CryptoKey, { nonce, sealed, bound }: Half, extractable: boolean): Promise<CryptoKey> =>
  subtle.unwrapKey("raw", sealed, by, gcm(nonce, bound), "AES-GCM", extractable, ["decrypt"]);

interface Wrapping {
  format: number;
  keyVersion: number;
  key: CryptoKey;
  /** Null where the ring's key itself wraps. */
  commitment: string | null;
}

/** One derivation gives the key and, from an independent half, what may be told of it. Each format has a key of its own. */
async function makeWrapping(
  ring: Keyring,
  from: { tenantId: string; salt: string | null; format: number; keyVersion: number },
): Promise<Wrapping> {
  const { tenantId, salt, format, keyVersion } = from;
  if (format === FORMAT_BEFORE_SALTS)
    return { format, keyVersion, key: await importKey(ringKey(ring, keyVersion), ["unwrapKey"]), commitment: null };
  const info = utf8(JSON.stringify(["chelar-vault", "wrap", format, tenantId, keyVersion]));
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: bytesOf(salt ?? "", SALT_BYTES), info };
  const bits = new Uint8Array(await subtle.deriveBits(algorithm, await rootKey(ring, keyVersion), 512));
  const key = await importKey(bits.subarray(0, 32), ["encrypt", "unwrapKey"]);
  const commitment = toBase64url(bits.subarray(32));
  bits.fill(0);
  return { format, keyVersion, key, commitment };
}

/** To tell keys of the ring apart without showing them. */
export async function fingerprintOf(key: Bytes): Promise<string> {
  const name = utf8("chelar-vault fingerprint");
  const input = new Uint8Array(name.length + key.length);
  input.set(name);
  input.set(key, name.length);
  return toBase64url(new Uint8Array(await subtle.digest("SHA-256", input))).slice(0, 12);
}

const rootKeys = new WeakMap<Bytes, Promise<CryptoKey>>();

function rootKey(ring: Keyring, version: number): Promise<CryptoKey> {
  const bytes = ringKey(ring, version);
  const known = rootKeys.get(bytes) ?? subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits"]);
  rootKeys.set(bytes, known);
  return known;
}

function ringKey(ring: Keyring, version: number): Bytes {
  const key = ring.keys.get(version);
  if (!key) throw new Error("no such key in the ring");
  return key;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const rawKey = async (key: CryptoKey) => new Uint8Array((await subtle.exportKey("raw", key)) as ArrayBuffer);

const gcm = (iv: Bytes, additionalData: Bytes) => ({ name: "AES-GCM", iv, additionalData });

const importKey = (bytes: Bytes, usages: ("encrypt" | "unwrapKey")[]) =>
  subtle.importKey("raw", bytes, "AES-GCM", false, usages);
