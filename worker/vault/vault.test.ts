import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Envelope, openSecret, type SecretPlace, sealSecret } from "./envelope.ts";
import { PROVIDERS, parseSecret } from "./providers.ts";
import { Secret } from "./secret.ts";

const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
const ring = { current: 2, keys: new Map([1, 2].map((version) => [version, random(32)])) };
const place: SecretPlace = { tenantId: "tnt_a", name: "ANTHROPIC_API_KEY", version: 3 };
const seal = (text: string, at = place, of = ring) => sealSecret(new Secret(text), at, { ring: of, random });
const unreadable = { ok: false, reason: "secret_unreadable" };

describe("an envelope", () => {
  it("gives back exactly what was sealed, whatever it was", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 300 }), async (text) => {
        const opened = await openSecret(await seal(text), place, ring);
        expect(opened.ok && opened.secret.reveal()).toBe(text);
      }),
      { numRuns: 50 },
    );
  });

  it.each<[string, Partial<SecretPlace>]>([
    ["tenant", { tenantId: "tnt_b" }],
    ["name", { name: "OPENAI_API_KEY" }],
    ["version", { version: 4 }],
    ["tenant and name, shifted", { tenantId: "tnt_aANTHROPIC", name: "_API_KEY" }],
  ])("opens nowhere but in its own row: another %s", async (_what, moved) => {
    expect(await openSecret(await seal("value"), { ...place, ...moved }, ring)).toEqual(unreadable);
  });

  it.each<[string, (envelope: Envelope, other: Envelope) => Partial<Envelope>]>([
    ["another format", () => ({ format: 2 })],
    ["another version of the ring's key", () => ({ keyVersion: 1 })],
    ["a key that the ring has not", () => ({ keyVersion: 9 })],
    ["the value of a neighbour", (_, { nonce, ciphertext }) => ({ nonce, ciphertext })],
    ["the data key of a neighbour", (_, { wrapNonce, wrappedKey }) => ({ wrapNonce, wrappedKey })],
    ["a truncated value", ({ ciphertext }) => ({ ciphertext: ciphertext.slice(0, -4) })],
    ["an empty value", () => ({ ciphertext: "" })],
    ["a nonce of another length", ({ nonce }) => ({ nonce: nonce.slice(0, -4) })],
    ["bytes that are no base64url", () => ({ wrappedKey: "!!!" })],
  ])("fails in the one way for %s", async (_what, change) => {
    const envelope = await seal("value");
    const neighbour = await seal("other", { ...place, name: "OPENAI_API_KEY" });
    expect(await openSecret({ ...envelope, ...change(envelope, neighbour) }, place, ring)).toEqual(unreadable);
  });

  it("fails in the one way for every flipped bit of value and key", async () => {
    const envelope = await seal("value");
    for (const part of ["ciphertext", "wrappedKey", "nonce", "wrapNonce"] as const) {
      const bytes = Buffer.from(envelope[part], "base64url");
      for (let at = 0; at < bytes.length * 8; at += 7) {
        const flipped = Buffer.from(bytes);
        flipped[at >> 3] = (flipped[at >> 3] as number) ^ (1 << (at & 7));
        expect(await openSecret({ ...envelope, [part]: flipped.toString("base64url") }, place, ring)).toEqual(
          unreadable,
        );
      }
    }
  });

  it("fails in the one way under another ring with the same version numbers", async () => {
    const other = { current: 2, keys: new Map([[2, random(32)]]) };
    expect(await openSecret(await seal("value"), place, other)).toEqual(unreadable);
  });

  it("fails in the one way when the row claims another version of a ring that repeats a key", async () => {
    const [key = random(32)] = ring.keys.values();
    const twice = { current: 1, keys: new Map([1, 2].map((version) => [version, key])) };
    const envelope = await seal("value", place, twice);
    expect(await openSecret({ ...envelope, keyVersion: 2 }, place, twice)).toEqual(unreadable);
  });

  it("never seals the same value to the same bytes, nor under the same data key or nonce", async () => {
    const sealed = await Promise.all(Array.from({ length: 20 }, () => seal("value")));
    for (const part of ["ciphertext", "wrappedKey", "nonce", "wrapNonce"] as const) {
      expect(new Set(sealed.map((envelope) => envelope[part])).size).toBe(20);
    }
  });

  it("still opens what an older key of the ring has sealed", async () => {
    const old = await seal("value", place, { ...ring, current: 1 });
    expect((await openSecret(old, place, ring)).ok).toBe(true);
  });
});

describe("a secret", () => {
  it("cannot be seen by printing, joining or serialising it", () => {
    const secret = new Secret("canary-0123456789");
    const seen = [
      `${secret}`,
      String(secret),
      `${[secret]}`,
      JSON.stringify({ secret }),
      Object.entries(secret).join(),
    ];
    const inspect = secret[
      Symbol.for("nodejs.util.inspect.custom") as unknown as keyof Secret
    ] as unknown as () => string;
    expect([...seen, inspect.call(secret)].join()).not.toContain("canary");
    expect(secret.reveal()).toBe("canary-0123456789");
  });

  it("shows four characters of a long one and nothing of a short one", () => {
    expect(new Secret("0123456789abcdef").lastFour()).toBe("cdef");
    expect(new Secret("short").lastFour()).toBe("");
  });
});

describe("the table of providers", () => {
  it.each([
    ["ANTHROPIC_API_KEY", "sk-ant-api03-abcdefghijklmnop"],
    ["OPENAI_API_KEY", "sk-proj-abcdefghijklmnop_-012"],
    ["GEMINI_API_KEY", "AIzaSyA0123456789abcdefghijk"],
    ["MISTRAL_API_KEY", "abcdefghijklmnopABCDEFGH01234567"],
    ["OPENROUTER_API_KEY", "sk-or-v1-0123456789abcdef"],
    ["TELEGRAM_BOT_TOKEN", "123456789:AAF-abcdefghijklmnopqrstuvwxyz0123"],
  ])("takes a key of the shape of %s, and of no other provider", (env, value) => {
    const taken = PROVIDERS.filter((provider) => parseSecret(provider.env, value).ok).map((provider) => provider.env);
    expect(taken).toContain(env);
    if (env.startsWith("OPEN") || env.startsWith("ANTH")) {
      expect(taken.filter((it) => !it.startsWith("GEMINI"))).toEqual([env]);
    }
  });

  it.each([
    ["PATH", "anything", "unknown_name"],
    ["__proto__", "anything", "unknown_name"],
    ["ANTHROPIC_API_KEY", "", "empty"],
    ["ANTHROPIC_API_KEY", "sk-ant-abcdefghijklmnop\n", "whitespace"],
    ["ANTHROPIC_API_KEY", "sk-ant-abcdefghi jklmnop", "whitespace"],
    ["ANTHROPIC_API_KEY", "sk-ant-abcdefghijklmnop\u0000", "whitespace"],
    ["ANTHROPIC_API_KEY", "sk-abcdefghijklmnopqrst", "shape"],
    ["ANTHROPIC_API_KEY", `sk-ant-${"a".repeat(65_536)}`, "shape"],
    ["TELEGRAM_BOT_TOKEN", "not a token", "whitespace"],
  ])("refuses %s=%j without repeating it", (env, value, reason) => {
    const parsed = parseSecret(env, value);
    expect(parsed.ok ? null : parsed.refusal.reason).toBe(reason);
    if (value.length > 4) expect(JSON.stringify(parsed)).not.toContain(value);
  });
});
