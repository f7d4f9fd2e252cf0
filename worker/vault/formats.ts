import { fromBase64url, toBase64url } from "../../schema/protocol/index.ts";
import type { Bytes } from "./rules.ts";

/** How a row holds an envelope, and what binds its two halves to that row. Pure; the ciphers are in `envelope.ts`. */

/** Each half is one box: nonce and ciphertext together. Of the key's, a box has always the same length. */
export const FORMAT = 3;
/** Read until the sweep has made it anew: the nonces have columns of their own. */
const FORMAT_OF_COLUMNS = 2;
/** Read until the sweep has made it anew: so have they here, the ring's key itself wraps, and nothing commits. */
export const FORMAT_BEFORE_SALTS = 1;

export const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const DATA_KEY_BYTES = 32;
const KEY_BOX_BYTES = NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES;
/** Three bytes are four letters of base64url to the bit, and so are nonce and key box: they can be spelt side by side. */
const KEY_BOX_LETTERS = (KEY_BOX_BYTES / 3) * 4;

/** Which row of the tenant it is: part of the associated data, so that no ciphertext can be moved to another row. */
export interface SecretPlace {
  name: string;
  version: number;
}

/** A rotation replaces the first three. */
export interface Envelope {
  keyVersion: number;
  keyCommitment: string | null;
  wrappedKey: string;
  format: number;
  ciphertext: string;
  /** Empty since format 3. */
  nonce: string;
  wrapNonce: string;
}

/** One half of an envelope, ready for AES-GCM. */
export interface Half {
  nonce: Bytes;
  sealed: Bytes;
  bound: Bytes;
}

/** Takes a row apart; throws where it is none. */
export function halvesOf(
  envelope: Envelope,
  tenantId: string,
  place: SecretPlace,
  bound: Binding,
): { key: Half; value: Half } {
  const { format, keyVersion, ciphertext, wrappedKey } = envelope;
  switch (format) {
    case FORMAT: {
      if (wrappedKey.length !== KEY_BOX_LETTERS) throw new Error("not the box of a key");
      const to = bound(place, keyVersion);
      const boxes = bytesOf(wrappedKey + ciphertext);
      return {
        key: unboxed(boxes, 0, KEY_BOX_BYTES, to.key),
        value: unboxed(boxes, KEY_BOX_BYTES, boxes.length, to.value),
      };
    }
    case FORMAT_OF_COLUMNS:
    case FORMAT_BEFORE_SALTS: {
      const row = [format, tenantId, place.name, place.version];
      const half = (nonce: string, sealed: string, what: readonly unknown[]): Half => ({
        ...{ nonce: bytesOf(nonce, NONCE_BYTES), sealed: bytesOf(sealed) },
        bound: utf8(JSON.stringify(["chelar-vault", ...what])),
      });
      return {
        key: half(envelope.wrapNonce, wrappedKey, ["key", ...row, keyVersion]),
        value: half(envelope.nonce, ciphertext, ["value", ...row]),
      };
    }
    default:
      throw new Error("no such format");
  }
}

/**
 * JSON of a fixed array: unambiguous, whatever the parts hold. The value's is the key's without its end, the ring's key
 * version: a rotation rewraps the data key and never touches the value. They need nothing else to tell them apart, since
 * no key seals both. `text`, which is to be sealed there, is encoded in the same go: a second one costs as much again.
 * Throws where the name is not ASCII, since then letters are no bytes.
 */
export function boundTo(tenantId: string) {
  const start = JSON.stringify(["chelar-vault", FORMAT, tenantId]).slice(0, -1);
  return ({ name, version }: SecretPlace, keyVersion: number, text = ""): Record<"key" | "value" | "text", Bytes> => {
    const end = `,${keyVersion}]`;
    const key = `${start},${JSON.stringify(name)},${version}${end}`;
    if (!ASCII.test(key)) throw new Error("a secret's name and its tenant's are ASCII");
    const bytes = utf8(key + text);
    return {
      key: bytes.subarray(0, key.length),
      value: bytes.subarray(0, key.length - end.length),
      text: bytes.subarray(key.length),
    };
  };
}
const ASCII = /^[ -~]*$/;
export type Binding = ReturnType<typeof boundTo>;

export const boxed = (nonce: Bytes, sealed: ArrayBuffer): string =>
  toBase64url(nonce) + toBase64url(new Uint8Array(sealed));

const unboxed = (boxes: Bytes, begin: number, end: number, bound: Bytes): Half => ({
  nonce: boxes.subarray(begin, begin + NONCE_BYTES),
  sealed: boxes.subarray(begin + NONCE_BYTES, end),
  bound,
});

export function bytesOf(text: string, length?: number): Bytes {
  const bytes = fromBase64url(text);
  if (!bytes || (length !== undefined && bytes.length !== length)) throw new Error("not the bytes of an envelope");
  return bytes as Bytes;
}

const encoder = new TextEncoder();
export const utf8 = (text: string) => encoder.encode(text) as Bytes;
