/**
 * Identifiers: a short prefix that says what it is, then 128 random bits in lower-case base32
 * (26 characters, no padding), so that an id is safe in host names, paths, labels and iptables comments.
 */
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

export type IdPrefix = "tnt" | "hst" | "usr" | "cmd" | "out" | "evt" | "aud" | "tok" | "rol" | "chn";

/** `random` must be 16 bytes from a cryptographic source. */
export function idFrom(prefix: IdPrefix, random: Uint8Array): string {
  if (random.length !== 16) throw new RangeError("an id takes exactly 16 random bytes");
  let bits = 0;
  let value = 0;
  let text = "";
  for (const byte of random) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  if (bits > 0) text += ALPHABET[(value << (5 - bits)) & 31];
  return `${prefix}_${text}`;
}

/** A fresh id; the only impure function here, for wiring and stores. */
export function newId(prefix: IdPrefix): string {
  return idFrom(prefix, crypto.getRandomValues(new Uint8Array(16)));
}

export const idPattern = (prefix: IdPrefix): RegExp => new RegExp(`^${prefix}_[a-z2-7]{26}$`);
