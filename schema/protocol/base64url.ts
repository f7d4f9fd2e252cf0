/** The engine's own where it has one (workerd does, Node 24 does not): many times as fast. */
interface NativeBase64 {
  toBase64?(options: typeof SPELLING): string;
}
interface FromNativeBase64 {
  fromBase64?(text: string, options: typeof SPELLING): Uint8Array;
}
const SPELLING = { alphabet: "base64url", omitPadding: true } as const;

export function toBase64url(bytes: Uint8Array): string {
  const native = (bytes as NativeBase64).toBase64?.(SPELLING);
  if (native !== undefined) return native;
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Strict: no padding, no spaces, no spare bits. Returns null for anything else. */
export function fromBase64url(text: string): Uint8Array | null {
  const left = text.length % 4;
  if (text === "" || left === 1) return null;
  // Two characters carry one byte and four bits more, three carry two bytes and two bits more.
  const spareBits = left === 2 ? 0b1111 : left === 3 ? 0b11 : 0;
  if (ALPHABET.indexOf(text.at(-1) as string) & spareBits) return null;
  const native = nativeBytes(text);
  if (native !== undefined) return native;
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return null;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** The engine passes over spaces and padding; what it then gives is shorter than that many characters make. */
function nativeBytes(text: string): Uint8Array | null | undefined {
  const { fromBase64 } = Uint8Array as FromNativeBase64;
  if (!fromBase64) return undefined;
  try {
    const bytes = fromBase64(text, SPELLING);
    return bytes.length === (text.length * 3) >> 2 ? bytes : null;
  } catch {
    return null;
  }
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
