import { fromBase64url, toBase64url } from "../../schema/protocol/index.ts";
import { Secret } from "./secret.ts";

/**
 * Encryption at rest (DESIGN 3.7): a fresh 256-bit data key per version seals the value; a versioned key of the ring
 * wraps the data key. Both are AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D 8.2.2).
 */
const FORMAT = 1;
const NONCE_BYTES = 12;
const DATA_KEY_BYTES = 32;

/** Which row it is: part of the associated data, so that no ciphertext can be moved to another row. */
export interface SecretPlace {
  tenantId: string;
  name: string;
  version: number;
}

export interface Envelope {
  format: number;
  keyVersion: number;
  wrapNonce: string;
  wrappedKey: string;
  nonce: string;
  ciphertext: string;
}

export interface Keyring {
  current: number;
  keys: ReadonlyMap<number, Bytes>;
}

export type Opened = { ok: true; secret: Secret } | { ok: false; reason: "secret_unreadable" };

type Bytes = Uint8Array<ArrayBuffer>;
type Random = (bytes: number) => Bytes;

export async function sealSecret(
  secret: Secret,
  place: SecretPlace,
  { ring, random }: { ring: Keyring; random: Random },
): Promise<Envelope> {
  const keyVersion = ring.current;
  const header = { format: FORMAT, keyVersion };
  const dataKey = random(DATA_KEY_BYTES);
  const [nonce, wrapNonce] = [random(NONCE_BYTES), random(NONCE_BYTES)];
  const [ciphertext, wrappedKey] = await Promise.all([
    encrypt(dataKey, nonce, associated("value", place, header), utf8(secret.reveal())),
    encrypt(ringKey(ring, keyVersion), wrapNonce, associated("key", place, header), dataKey),
  ]);
  dataKey.fill(0);
  return {
    ...header,
    wrapNonce: toBase64url(wrapNonce),
    wrappedKey: toBase64url(wrappedKey),
    nonce: toBase64url(nonce),
    ciphertext: toBase64url(ciphertext),
  };
}

/** Wrong tag, wrong or missing key, moved, truncated or made-up row: one and the same failure. */
export async function openSecret(envelope: Envelope, place: SecretPlace, ring: Keyring): Promise<Opened> {
  try {
    if (envelope.format !== FORMAT) return unreadable;
    const dataKey = await decrypt(
      ringKey(ring, envelope.keyVersion),
      bytesOf(envelope.wrapNonce, NONCE_BYTES),
      associated("key", place, envelope),
      bytesOf(envelope.wrappedKey),
    );
    const value = await decrypt(
      dataKey,
      bytesOf(envelope.nonce, NONCE_BYTES),
      associated("value", place, envelope),
      bytesOf(envelope.ciphertext),
    );
    return { ok: true, secret: new Secret(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value)) };
  } catch {
    return unreadable;
  }
}

const unreadable: Opened = { ok: false, reason: "secret_unreadable" };

/** JSON of a fixed array: unambiguous, whatever the parts hold. The value's own data leaves out the ring's key version,
 * so that rotation rewraps the data key and never touches the value. */
function associated(what: "value" | "key", place: SecretPlace, header: Pick<Envelope, "format" | "keyVersion">): Bytes {
  const parts = ["chelar-vault", what, header.format, place.tenantId, place.name, place.version];
  if (what === "key") parts.push(header.keyVersion);
  return utf8(JSON.stringify(parts));
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

const utf8 = (text: string) => new TextEncoder().encode(text) as Bytes;

const importKey = (bytes: Bytes, usage: "encrypt" | "decrypt") =>
  crypto.subtle.importKey("raw", bytes, "AES-GCM", false, [usage]);

async function encrypt(key: Bytes, iv: Bytes, additionalData: Bytes, plain: Bytes): Promise<Bytes> {
  const algorithm = { name: "AES-GCM", iv, additionalData };
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, await importKey(key, "encrypt"), plain));
}

async function decrypt(key: Bytes, iv: Bytes, additionalData: Bytes, sealed: Bytes): Promise<Bytes> {
  const algorithm = { name: "AES-GCM", iv, additionalData };
  return new Uint8Array(await crypto.subtle.decrypt(algorithm, await importKey(key, "decrypt"), sealed));
}
