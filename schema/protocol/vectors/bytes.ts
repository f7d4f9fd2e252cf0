import { fromBase64url, MAX_ENVELOPE_BYTES } from "../index.ts";
import {
  b64,
  claimsOf,
  headerOf,
  honest,
  partsOf,
  signParts,
  type Vector,
  type World,
  withClaims,
  withPayloadText,
} from "./forge.ts";

/** Rewrites an honest, signed envelope. */
const after =
  (rewrite: (compact: string, world: World) => string): Vector["forge"] =>
  async (world) =>
    rewrite(await honest(world), world);

type Parts = [string, string, string];
const partwise = (rewrite: (parts: Parts) => string[]) => after((compact) => rewrite(partsOf(compact)).join("."));

/** Signs over base64url that is not canonical, so that the signature itself is no defence. */
const encoded =
  (rewrite: (header64: string, payload64: string) => [string, string]): Vector["forge"] =>
  (world) => {
    const parts = rewrite(b64(JSON.stringify(headerOf(world))), b64(JSON.stringify(claimsOf(world))));
    return signParts(...parts, world.privateKey);
  };

/** Another last character whose spare bits are set: a lenient decoder reads the very same bytes. */
export function withSpareBits(text: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  if (text.length % 4 < 2) throw new Error("no spare bits in a part of whole bytes");
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) as string) + 1];
}

/** Order of the Ed25519 base point (RFC 8032 section 5.1). */
const L = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n;

/** The same signature with S + n·L: valid for a verifier that skips the range check of RFC 8032 section 5.1.7. */
export function withLargerS(compact: string, times: bigint): string {
  const [header, payload, signature] = partsOf(compact);
  const bytes = fromBase64url(signature) as Uint8Array;
  let s = bytes.slice(32).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n) + times * L;
  for (let index = 32; index < 64; index++, s >>= 8n) bytes[index] = Number(s & 255n);
  if (s !== 0n) throw new RangeError("S no longer fits 32 bytes");
  return `${header}.${payload}.${b64(bytes)}`;
}

const padded = (text: string) => `${text}${"=".repeat((4 - (text.length % 4)) % 4 || 1)}`;
const halved = (text: string, by: string) => text.slice(0, 20) + by + text.slice(20);
const resized = (signature64: string, length: number) => {
  const bytes = new Uint8Array(length);
  bytes.set((fromBase64url(signature64) as Uint8Array).subarray(0, length));
  return b64(bytes);
};

export const envelopeVectors: Vector[] = [
  { name: "an empty body", reason: "malformed", forge: () => "" },
  { name: "two dots", reason: "malformed", forge: () => ".." },
  { name: "two parts", reason: "malformed", forge: partwise(([h, p]) => [h, p]) },
  { name: "four parts", reason: "malformed", forge: partwise((parts) => [...parts, "AA"]) },
  { name: "the five parts of a JWE", reason: "malformed", forge: partwise((parts) => [...parts, "AA", "AA"]) },
  { name: "a trailing dot", reason: "malformed", forge: after((compact) => `${compact}.`) },
  { name: "a trailing newline", reason: "malformed", forge: after((compact) => `${compact}\n`) },
  { name: "a trailing NUL", reason: "malformed", forge: after((compact) => `${compact}\0`) },
  { name: "trailing bytes after the signature", reason: "malformed", forge: after((compact) => `${compact}AAAA`) },
  { name: "a leading space", reason: "malformed", forge: after((compact) => ` ${compact}`) },
  { name: "a byte order mark before it", reason: "malformed", forge: after((compact) => `\ufeff${compact}`) },
  { name: "full-width dots", reason: "malformed", forge: after((compact) => compact.replaceAll(".", "．")) },
  { name: "an envelope in quotes", reason: "malformed", forge: after((compact) => `"${compact}"`) },
  {
    name: "the JSON serialisation of a JWS",
    reason: "malformed",
    forge: partwise(([h, payload, signature]) => [JSON.stringify({ protected: h, payload, signature })]),
  },
  { name: "a detached payload", reason: "malformed", forge: partwise(([h, , s]) => [h, "", s]) },
  { name: "an empty header", reason: "malformed", forge: partwise(([, p, s]) => ["", p, s]) },
  { name: "padding in the header", reason: "malformed", forge: encoded((h, p) => [padded(h), p]) },
  { name: "padding in the payload", reason: "malformed", forge: encoded((h, p) => [h, padded(p)]) },
  { name: "padding in the signature", reason: "malformed", forge: partwise(([h, p, s]) => [h, p, padded(s)]) },
  { name: "a space inside the header", reason: "malformed", forge: encoded((h, p) => [halved(h, " "), p]) },
  { name: "a space inside the payload", reason: "malformed", forge: encoded((h, p) => [h, halved(p, " ")]) },
  { name: "a newline inside the payload", reason: "malformed", forge: encoded((h, p) => [h, halved(p, "\n")]) },
  { name: "a tab inside the signature", reason: "malformed", forge: partwise(([h, p, s]) => [h, p, halved(s, "\t")]) },
  {
    name: "the alphabet of plain base64 in the signature",
    reason: "malformed",
    forge: partwise(([h, p, s]) => [h, p, `+/${s.slice(2)}`]),
  },
  { name: "percent encoding in the payload", reason: "malformed", forge: encoded((h, p) => [h, `${p}%3D`]) },
  {
    name: "spare bits at the end of the signature",
    reason: "malformed",
    forge: partwise(([h, p, s]) => [h, p, withSpareBits(s)]),
  },
  {
    name: "spare bits at the end of the payload",
    reason: "malformed",
    forge: async (world) => {
      for (let pad = 0; ; pad++) {
        const payload64 = b64(JSON.stringify(claimsOf(world, { iss: "e".repeat(1 + pad) })));
        if (payload64.length % 4 === 0) continue;
        return signParts(b64(JSON.stringify(headerOf(world))), withSpareBits(payload64), world.privateKey);
      }
    },
  },
];

export const signatureVectors: Vector[] = [
  {
    name: "a non-canonical S (S + L)",
    reason: "signature_invalid",
    forge: after((compact) => withLargerS(compact, 1n)),
  },
  { name: "a non-canonical S (S + 7L)", reason: "signature_invalid", forge: after((c) => withLargerS(c, 7n)) },
  { name: "no signature", reason: "malformed", forge: partwise(([h, p]) => [h, p, ""]) },
  { name: "a signature of 63 bytes", reason: "malformed", forge: partwise(([h, p, s]) => [h, p, resized(s, 63)]) },
  { name: "a signature of 65 bytes", reason: "malformed", forge: partwise(([h, p, s]) => [h, p, resized(s, 65)]) },
  {
    name: "a signature of zeros",
    reason: "signature_invalid",
    forge: partwise(([h, p]) => [h, p, b64(new Uint8Array(64))]),
  },
  {
    name: "R at the neutral point with S zero",
    reason: "signature_invalid",
    forge: partwise(([h, p]) => [h, p, b64(Uint8Array.from({ length: 64 }, (_, i) => (i === 0 ? 1 : 0)))]),
  },
  {
    name: "R and S exchanged",
    reason: "signature_invalid",
    forge: partwise(([h, p, s]) => {
      const bytes = fromBase64url(s) as Uint8Array;
      return [h, p, b64(Uint8Array.from([...bytes.subarray(32), ...bytes.subarray(0, 32)]))];
    }),
  },
  {
    name: "another envelope's signature",
    reason: "signature_invalid",
    forge: async (world) => {
      const [[h, p], [, , s]] = [partsOf(await honest(world)), partsOf(await honest(world))];
      return [h, p, s].join(".");
    },
  },
  {
    name: "another envelope's payload",
    reason: "signature_invalid",
    forge: async (world) => {
      const [[h, , s], [, p]] = [partsOf(await honest(world)), partsOf(await withClaims(world, { epoch: 9 }))];
      return [h, p, s].join(".");
    },
  },
  {
    name: "another envelope's header",
    reason: "signature_invalid",
    forge: (world) => {
      const header64 = b64(JSON.stringify(headerOf(world, { kid: world.next.kid })));
      return honest(world).then((compact) => [header64, ...partsOf(compact).slice(1)].join("."));
    },
  },
];

const text = (rewrite: (text: string) => string | Uint8Array, patch?: object) => (world: World) =>
  withPayloadText(world, rewrite, patch);
const malformedText = (name: string, rewrite: (text: string) => string | Uint8Array, patch?: object): Vector => ({
  name,
  reason: "malformed",
  forge: text(rewrite, patch),
});

export const jsonVectors: Vector[] = [
  malformedText("a duplicate aud, ours last", (json) => json.replace('"aud":', '"aud":"hst_other","aud":')),
  malformedText("a duplicate aud, ours first", (json) => json.replace(/}$/, ',"aud":"hst_other"}')),
  malformedText("a duplicate aud spelled with an escape", (json) => json.replace(/}$/, ',"\\u0061ud":"hst_other"}')),
  malformedText("a duplicate exp", (json) => json.replace(/}$/, ',"exp":1}')),
  malformedText("a duplicate command", (json) => json.replace(/}$/, ',"command":{"type":"host.probe"}}')),
  malformedText("a duplicate generation inside the command", (json) =>
    json.replace('"generation":7', '"generation":9,$&'),
  ),
  malformedText("a claim named __proto__", (json) => json.replace(/}$/, ',"__proto__":{"epoch":3}}')),
  malformedText("a __proto__ inside a command", (json) => json.replace('"restarts":0', '"__proto__":{},$&')),
  malformedText("spaces between claims", (json) => json.replaceAll(",", ", ")),
  malformedText("a newline after the JSON", (json) => `${json}\n`),
  malformedText("a second JSON value after the first", (json) => `${json}{}`),
  malformedText("a NUL after the JSON", (json) => `${json}\0`),
  malformedText("a byte order mark", (json) => `\ufeff${json}`),
  malformedText("bytes that are no UTF-8", (json) => Uint8Array.from([...new TextEncoder().encode(json), 0xff])),
  malformedText("an overlong UTF-8 slash", () => Uint8Array.from([0x22, 0xc0, 0xaf, 0x22])),
  malformedText("UTF-16", (json) => Uint8Array.from([...json].flatMap((character) => [character.charCodeAt(0), 0]))),
  malformedText("restarts as -0", (json) => json.replace('"restarts":0', '"restarts":-0')),
  malformedText("v as 1e0", (json) => json.replace('"v":1', '"v":1e0')),
  malformedText("v as 1.0", (json) => json.replace('"v":1', '"v":1.0')),
  malformedText("a generation with a leading zero", (json) => json.replace('"generation":7', '"generation":07')),
  malformedText("a generation past every number", (json) => json.replace('"generation":7', '"generation":1e999')),
  malformedText("a generation that rounds", (json) => json.replace('"generation":7', '"generation":9007199254740993')),
  malformedText("NaN", (json) => json.replace('"restarts":0', '"restarts":NaN')),
  malformedText("a comment", (json) => json.replace("{", "{/**/")),
  malformedText("a trailing comma", (json) => json.replace(/}$/, ",}")),
  malformedText("a payload cut short", (json) => json.slice(0, -1)),
  malformedText("escaped letters", (json) => json.replace('"host', '"\\u0068ost')),
];

/** JSON that nests `depth` lists; the recursion of a careless parser is the target. */
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

export const sizeVectors: Vector[] = [
  {
    name: "one byte over 64 KiB",
    reason: "too_large",
    forge: after((compact) => compact.padEnd(MAX_ENVELOPE_BYTES.command + 1, "A")),
  },
  {
    name: "a signed envelope of 100 KiB",
    reason: "too_large",
    forge: (w) => withClaims(w, { pad: "p".repeat(75_000) }),
  },
  {
    name: "64 KiB of two-byte characters, counted in bytes",
    reason: "too_large",
    forge: () => "é".repeat(MAX_ENVELOPE_BYTES.command / 2 + 1),
  },
  { name: "65,536 dots", reason: "malformed", forge: () => ".".repeat(MAX_ENVELOPE_BYTES.command) },
  {
    name: "a claim nested 64 deep",
    reason: "claims_invalid",
    forge: text((json) => json.replace(/}$/, `,"deep":${nested(64)}}`)),
  },
  {
    name: "a claim nested 20,000 deep",
    reason: ["malformed", "claims_invalid"],
    forge: text((json) => json.replace(/}$/, `,"deep":${nested(20_000)}}`)),
  },
  { name: "a payload nested 20,000 deep", reason: ["malformed", "claims_invalid"], forge: text(() => nested(20_000)) },
  {
    name: "a thousand unknown claims",
    reason: "claims_invalid",
    forge: (world) => withClaims(world, Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, i]))),
  },
];
