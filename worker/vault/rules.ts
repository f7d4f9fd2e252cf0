import { z } from "zod";
import { fromBase64url } from "../../schema/protocol/index.ts";

export { VERDICTS, type Verdict, verdictWords } from "./live.ts";
export { describeRefusal, isOwnersName, modelFor, PROVIDERS, parseSecret, variableFor } from "./providers.ts";
export { Secret } from "./secret.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** The keys that wrap, by version. `current` wraps what is new; what is wrapped below `floor` is refused. */
export interface Keyring {
  current: number;
  floor: number;
  keys: ReadonlyMap<number, Bytes>;
}

export type KeyringRefusal =
  | "not_json"
  | "shape"
  | "key_length"
  | "version_twice"
  | "key_twice"
  | "current_missing"
  | "current_below_floor"
  | "not_random";

const KEY_BYTES = 32;
const MAX_KEYS = 8;
const versionName = z.string().regex(/^[1-9]\d{0,8}$/);
const ringDocument = z.strictObject({
  current: z.int().min(1),
  /** Absent in rings from before there was a floor. */
  floor: z.int().min(1).default(1),
  keys: z.record(versionName, z.string()).refine((keys) => Object.keys(keys).length <= MAX_KEYS),
});

/** Takes `{"current":2,"floor":1,"keys":{"1":"…","2":"…"}}` apart. A refusal never repeats a part of it. */
export function parseKeyring(text: string): { ok: true; ring: Keyring } | { ok: false; refusal: KeyringRefusal } {
  const refuse = (refusal: KeyringRefusal) => ({ ok: false, refusal }) as const;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return refuse("not_json");
  }
  const parsed = ringDocument.safeParse(document);
  if (!parsed.success) return refuse("shape");
  const { current, floor } = parsed.data;
  const entries = Object.entries(parsed.data.keys);
  // JSON.parse keeps the last of two equal names: which key a version means would be up to their order. Without escapes
  // every name of a version is found by its colon.
  if (text.includes("\\")) return refuse("shape");
  if ((text.match(/"\d+"\s*:/g) ?? []).length !== entries.length) return refuse("version_twice");
  const keys = new Map<number, Bytes>();
  for (const [version, encoded] of entries) {
    const bytes = fromBase64url(encoded);
    if (bytes?.length !== KEY_BYTES) return refuse("key_length");
    if (!looksRandom(bytes as Bytes)) return refuse("not_random");
    keys.set(Number(version), bytes as Bytes);
  }
  // The same bytes under two versions: a rotation that rotates nothing.
  if (new Set(entries.map(([, encoded]) => encoded)).size !== entries.length) return refuse("key_twice");
  if (!keys.has(current)) return refuse("current_missing");
  if (current < floor) return refuse("current_below_floor");
  return { ok: true, ring: { current, floor, keys } };
}

export function ringText({ current, floor, keys }: Keyring, encode: (bytes: Bytes) => string): string {
  const entries = [...keys].map(([version, bytes]) => [version, encode(bytes)]);
  return JSON.stringify({ current, floor, keys: Object.fromEntries(entries) });
}

/**
 * Whether 32 bytes may have come from a random source. Catches what people type or paste for a trial: one byte again
 * and again, 0, 1, 2 …, a repeated word, a passphrase. A random key fails with a chance below 2^-45.
 */
export function looksRandom(bytes: Bytes): boolean {
  if (new Set(bytes).size < 16) return false;
  if (bytes.every((byte) => byte >= 0x20 && byte < 0x7f)) return false;
  const steps = new Set(bytes.slice(1).map((byte, at) => (byte - (bytes[at] as number)) & 0xff));
  return steps.size >= 8;
}

/** Random 96-bit nonces are good for 2^32 uses of one key (NIST SP 800-38D 8.3). */
export const WRAP_LIMIT = 2 ** 32;
/** When to rotate, long before: a sixteenth of the limit. */
export const WRAP_WARNING = 2 ** 28;
