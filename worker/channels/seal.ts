import { fromBase64url, toBase64url } from "../../schema/protocol/index.ts";

/**
 * What people write, at rest. Each agent has one random key for it, which is a secret of its vault: so it is rotated,
 * destroyed and kept from hosts with all the others. A message is bound to its row; AES-256-GCM, a random nonce each.
 */
export interface MessageKeys {
  seal(text: Uint8Array<ArrayBuffer>, place: Place, nonce: Uint8Array<ArrayBuffer>): Promise<string>;
  /** Null for whatever is wrong. */
  open(sealed: string, place: Place): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Tells whether two texts are the same to whoever has the key, and nothing to anybody else. */
  digest(text: string): Promise<string>;
}

export interface Place {
  channelId: string;
  updateId: string;
}

export const NONCE_BYTES = 12;

const utf8 = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;

/** `key`: base64url of 32 random bytes. */
export async function messageKeys(key: string): Promise<MessageKeys> {
  const root = await crypto.subtle.importKey("raw", utf8(key), "HKDF", false, ["deriveBits"]);
  const derive = (use: string) =>
    crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: utf8(""), info: utf8(`chelar ${use}`) }, root, 256);
  const [bodyBits, digestBits] = await Promise.all([derive("message body"), derive("message digest")]);
  const body = await crypto.subtle.importKey("raw", bodyBits, "AES-GCM", false, ["encrypt", "decrypt"]);
  const mac = await crypto.subtle.importKey("raw", digestBits, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const bound = ({ channelId, updateId }: Place) => utf8(JSON.stringify(["chelar-message", 1, channelId, updateId]));

  return {
    async seal(text, place, nonce) {
      const algorithm = { name: "AES-GCM", iv: nonce, additionalData: bound(place) };
      const sealed = new Uint8Array(await crypto.subtle.encrypt(algorithm, body, text));
      return `${toBase64url(nonce)}.${toBase64url(sealed)}`;
    },

    async open(sealed, place) {
      const [nonce, bytes] = sealed.split(".").map((part) => fromBase64url(part));
      if (nonce?.length !== NONCE_BYTES || !bytes) return null;
      const algorithm = { name: "AES-GCM", iv: nonce as Uint8Array<ArrayBuffer>, additionalData: bound(place) };
      try {
        return new Uint8Array(await crypto.subtle.decrypt(algorithm, body, bytes as Uint8Array<ArrayBuffer>));
      } catch {
        return null;
      }
    },

    async digest(text) {
      return toBase64url(new Uint8Array(await crypto.subtle.sign("HMAC", mac, utf8(text)))).slice(0, 22);
    },
  };
}
