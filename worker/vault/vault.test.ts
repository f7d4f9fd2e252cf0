import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBase64url, toBase64url } from "../../schema/protocol/index.ts";
import { type Envelope, newSalt, type SecretPlace, tenantKeys } from "./envelope.ts";
import { boundTo } from "./formats.ts";
import { PROVIDERS, parseSecret } from "./providers.ts";
import { type Bytes, type Keyring, parseKeyring } from "./rules.ts";
import { Secret } from "./secret.ts";

const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
const ringOf = (versions: readonly number[], current: number, floor = 1): Keyring => ({
  ...{ current, floor },
  keys: new Map(versions.map((version) => [version, random(32)])),
});
const ring = ringOf([1, 2], 2);
const [salt, otherSalt] = [newSalt(random), newSalt(random)];
const place: SecretPlace = { name: "ANTHROPIC_API_KEY", version: 3 };
const keys = tenantKeys(ring, "tnt_a", salt);
const seal = (text: string, at = place, by = keys) => by.seal(new Secret(text), at, random);
const unreadable = { ok: false, reason: "secret_unreadable" };

describe("an envelope", () => {
  it("gives back exactly what was sealed, whatever it was", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 300 }), async (text) => {
        const opened = await keys.open(await seal(text), place);
        expect(opened.ok && opened.secret.reveal()).toBe(text);
      }),
      { numRuns: 50 },
    );
  });

  it.each<[string, Partial<SecretPlace>]>([
    ["name", { name: "OPENAI_API_KEY" }],
    ["version", { version: 4 }],
    ["name and version, shifted", { name: "ANTHROPIC_API_KEY3", version: 0 }],
  ])("opens nowhere but in its own row: another %s", async (_what, moved) => {
    expect(await keys.open(await seal("value"), { ...place, ...moved })).toEqual(unreadable);
  });

  it.each([
    ["with that tenant's own salt", otherSalt],
    ["even if both had one salt", salt],
  ])("opens for no other tenant, %s", async (_what, theirs) => {
    expect(await tenantKeys(ring, "tnt_b", theirs).open(await seal("value"), place)).toEqual(unreadable);
    expect(await tenantKeys(ring, "tnt_aANTHROPIC", theirs).open(await seal("value"), place)).toEqual(unreadable);
  });

  it("names its tenant in both of its locks, so that one of them alone keeps others out", async () => {
    const other = await tenantKeys(ring, "tnt_b", salt).seal(new Secret("value"), place, random);
    expect(other.keyCommitment).not.toBe((await seal("value")).keyCommitment);
    const [mine, theirs] = ["tnt_a", "tnt_b"].map((tenantId) => boundTo(tenantId)(place, 2));
    expect(mine?.key).not.toEqual(theirs?.key);
    expect(mine?.value).not.toEqual(theirs?.value);
  });

  it("seals for no name that is not ASCII, where the end of a name and a value's beginning could not be told apart", async () => {
    const elsewhere = { ...place, name: "CLÉ" };
    await expect(seal("value", elsewhere)).rejects.toThrow("are ASCII");
    expect(await keys.open(await seal("value"), elsewhere)).toEqual(unreadable);
  });

  it.each<[string, (envelope: Envelope, other: Envelope) => Partial<Envelope>]>([
    ["the format before", () => ({ format: 2 })],
    ["the format before, its nonces in their columns", (envelope) => ({ format: 2, ...columnsOf(envelope) })],
    ["the first format", () => ({ format: 1 })],
    ["the first format, in all its parts", (envelope) => ({ format: 1, keyCommitment: null, ...columnsOf(envelope) })],
    ["a format that is not there yet", () => ({ format: 4 })],
    ["another version of the ring's key", () => ({ keyVersion: 1 })],
    ["a key that the ring has not", () => ({ keyVersion: 9 })],
    ["no commitment", () => ({ keyCommitment: null })],
    ["the value of a neighbour", (_, { ciphertext }) => ({ ciphertext })],
    ["the data key of a neighbour", (_, { wrappedKey }) => ({ wrappedKey })],
    ["value and data key in each other's place", (it) => ({ ciphertext: it.wrappedKey, wrappedKey: it.ciphertext })],
    ["a truncated value", ({ ciphertext }) => ({ ciphertext: ciphertext.slice(0, -4) })],
    ["an empty value", () => ({ ciphertext: "" })],
    ["a data key of another length", ({ wrappedKey }) => ({ wrappedKey: wrappedKey.slice(0, -4) })],
    ["nothing but a nonce", ({ ciphertext }) => ({ ciphertext: ciphertext.slice(0, 16) })],
    ["bytes that are no base64url", () => ({ wrappedKey: "!!!" })],
  ])("fails in the one way for %s", async (_what, change) => {
    const envelope = await seal("value");
    const neighbour = await seal("other", { ...place, name: "OPENAI_API_KEY" });
    expect(await keys.open({ ...envelope, ...change(envelope, neighbour) }, place)).toEqual(unreadable);
  });

  it("fails in the one way for every flipped bit of value, key and commitment", async () => {
    const envelope = await seal("value");
    for (const part of ["ciphertext", "wrappedKey", "keyCommitment"] as const) {
      const bytes = Buffer.from(envelope[part] ?? "", "base64url");
      for (let at = 0; at < bytes.length * 8; at += 7) {
        const flipped = Buffer.from(bytes);
        flipped[at >> 3] = (flipped[at >> 3] as number) ^ (1 << (at & 7));
        expect(await keys.open({ ...envelope, [part]: flipped.toString("base64url") }, place)).toEqual(unreadable);
      }
    }
  });

  it("fails in the one way under another ring with the same version numbers", async () => {
    const other = tenantKeys(ringOf([2], 2), "tnt_a", salt);
    expect(await other.open(await seal("value"), place)).toEqual(unreadable);
  });

  it("fails in the one way when the row claims another version of a ring that repeats a key", async () => {
    const twice = { ...ring, current: 1, keys: new Map([1, 2].map((version) => [version, ring.keys.get(1) as Bytes])) };
    const repeating = tenantKeys(twice, "tnt_a", salt);
    const envelope = await seal("value", place, repeating);
    expect(await repeating.open({ ...envelope, keyVersion: 2 }, place)).toEqual(unreadable);
  });

  it("says which wrapping key it takes before it decrypts: one ciphertext for two keys opens under one of them", async () => {
    const envelope = await seal("value");
    const foreign = await seal("value", place, tenantKeys(ring, "tnt_a", otherSalt));
    expect(envelope.keyCommitment).not.toBe(foreign.keyCommitment);
    expect(await keys.open({ ...envelope, keyCommitment: foreign.keyCommitment }, place)).toEqual(unreadable);
  });

  it("never seals the same value to the same bytes, nor under the same data key or nonce", async () => {
    const sealed = await Promise.all(Array.from({ length: 20 }, () => seal("value")));
    for (const part of ["ciphertext", "wrappedKey"] as const) {
      expect(new Set(sealed.map((envelope) => envelope[part])).size).toBe(20);
      // The first 16 characters are the 12 bytes of its nonce.
      expect(new Set(sealed.map((envelope) => envelope[part].slice(0, 16))).size).toBe(20);
    }
  });

  it("still opens what an older key of the ring has sealed, until the floor is above it", async () => {
    const old = await seal("value", place, tenantKeys({ ...ring, current: 1 }, "tnt_a", salt));
    expect((await keys.open(old, place)).ok).toBe(true);
    expect(await tenantKeys({ ...ring, floor: 2 }, "tnt_a", salt).open(old, place)).toEqual(unreadable);
  });

  it("opens never again when the tenant's salt is destroyed, whoever has the ring and a copy of the row", async () => {
    const envelope = await seal("value");
    expect(await tenantKeys(ring, "tnt_a", null).open(envelope, place)).toEqual(unreadable);
    expect(await tenantKeys(ring, "tnt_a", newSalt(random)).open(envelope, place)).toEqual(unreadable);
  });

  it("is rewrapped without its value being touched, and opens with the new key alone", async () => {
    const old = await seal("value", place, tenantKeys({ ...ring, current: 1 }, "tnt_a", salt));
    const done = await keys.rewrap(old, place, random);
    if (!done.ok) throw new Error("unreadable");
    expect(done.envelope).toMatchObject({ keyVersion: 2, ciphertext: old.ciphertext });
    expect(done.envelope.wrappedKey).not.toBe(old.wrappedKey);
    const onlyNew = { current: 2, floor: 2, keys: new Map([[2, ring.keys.get(2) as Bytes]]) };
    const opened = await tenantKeys(onlyNew, "tnt_a", salt).open(done.envelope, place);
    expect(opened.ok && opened.secret.reveal()).toBe("value");
    expect(await keys.rewrap({ ...old, wrappedKey: done.envelope.wrappedKey }, place, random)).toEqual(unreadable);
  });
});

/** Made by the code of their time: rows of older formats must stay readable. */
const OLD_RING: Keyring = {
  current: 1,
  floor: 1,
  keys: new Map([[1, fromBase64url("kq3xV0mJ8yB5pS7dLw1hZc9tRfGeNuA2oXiQ4bEYvTM") as Bytes]]),
};
const OLD = {
  1: {
    salt: null,
    text: "sk-ant-of-the-old-format",
    envelope: {
      ...{ format: 1, keyVersion: 1, keyCommitment: null },
      ...{ nonce: "xNBd61zRHPO5NaWn", wrapNonce: "iN_lyiasn9iw8dZk" },
      wrappedKey: "dDLcWltv6p_2ySMiRKSk17ZVMdwSq_zX6M4mNKHGRm2rRD8el-x7KrILBn3TRpDt",
      ciphertext: "MrILzLrrTK7aeMnZjmA0gadaPgV37QDpKp4kwidv1XV1REw7cVY-0g",
    },
  },
  2: {
    salt: "Vb2m0nqXcJ5uT8yL1wR4sG7hKdF9zPoEaQiN3xCvB6M",
    text: "sk-ant-of-the-format-before",
    envelope: {
      ...{ format: 2, keyVersion: 1, keyCommitment: "W_uOxx8kG_OvRylArWu4UBwAVYU2LpY5QkuZpQTpV0w" },
      ...{ nonce: "0RhnLN85I_ZhXX8U", wrapNonce: "u_SDwM9T8B3gYo4a" },
      wrappedKey: "U65aV6q2kDu0-sm81vdqfb3vDnwMvBRth1RFxCTzqYvdwgLAue-xcfdrnVYWvyYN",
      ciphertext: "mo6VjSzQdt_l0P89KcpsRdDWB4N71C0hA_MF4TWSm9cOQrc0S3axtzlxlQ",
    },
  },
} as const;

describe.each([1, 2] as const)("an envelope of format %i", (format) => {
  const { salt: itsSalt, text, envelope } = OLD[format];

  it("opens in its own row only, and in no other format", async () => {
    const mine = tenantKeys(OLD_RING, "tnt_a", itsSalt);
    const opened = await mine.open(envelope, place);
    expect(opened.ok && opened.secret.reveal()).toBe(text);
    expect(await tenantKeys(OLD_RING, "tnt_b", itsSalt).open(envelope, place)).toEqual(unreadable);
    for (const moved of [{ name: "OPENAI_API_KEY" }, { version: 4 }]) {
      expect(await mine.open(envelope, { ...place, ...moved })).toEqual(unreadable);
    }
    for (const other of [1, 2, 3, 4].filter((it) => it !== format)) {
      expect(await mine.open({ ...envelope, format: other }, place)).toEqual(unreadable);
      expect(await mine.open({ ...boxesOf(envelope), format: other }, place)).toEqual(unreadable);
    }
  });

  it("becomes one of format 3 when it is rewrapped", async () => {
    const mine = tenantKeys(OLD_RING, "tnt_a", itsSalt ?? salt);
    const done = await mine.rewrap(envelope, place, random);
    if (!done.ok) throw new Error("unreadable");
    const made = { format: 3, keyVersion: 1, keyCommitment: expect.any(String), nonce: "", wrapNonce: "" };
    expect(done.envelope).toMatchObject(made);
    const opened = await mine.open(done.envelope, place);
    expect(opened.ok && opened.secret.reveal()).toBe(text);
  });
});

/** The same bytes as an older format would hold them; 16 characters are a nonce. */
function columnsOf({ wrappedKey, ciphertext }: Envelope): Partial<Envelope> {
  return {
    ...{ wrapNonce: wrappedKey.slice(0, 16), wrappedKey: wrappedKey.slice(16) },
    ...{ nonce: ciphertext.slice(0, 16), ciphertext: ciphertext.slice(16) },
  };
}
const boxesOf = (it: Envelope): Envelope => ({
  ...{ ...it, nonce: "", wrapNonce: "" },
  ...{ wrappedKey: it.wrapNonce + it.wrappedKey, ciphertext: it.nonce + it.ciphertext },
});

describe("a keyring", () => {
  const [one, two] = [toBase64url(random(32)), toBase64url(random(32))];
  const sequence = toBase64url(Uint8Array.from({ length: 32 }, (_, at) => at * 3));
  const words = toBase64url(new TextEncoder().encode("correct horse battery staple 123"));

  it("is taken when it is sound, and starts at floor 1 where it names none", () => {
    const parsed = parseKeyring(`{"current":2,"keys":{"1":"${one}","2":"${two}"}}`);
    expect(parsed.ok && [parsed.ring.current, parsed.ring.floor, [...parsed.ring.keys.keys()]]).toEqual([2, 1, [1, 2]]);
  });

  it.each([
    ["not_json", "{"],
    ["shape", "[]"],
    ["shape", `{"current":1,"keys":{"1":"${one}"},"more":1}`],
    ["shape", `{"current":1,"keys":{"01":"${one}"}}`],
    ["shape", `{"current":"1","keys":{"1":"${one}"}}`],
    ["key_length", `{"current":1,"keys":{"1":"${one.slice(0, -4)}"}}`],
    ["key_length", `{"current":1,"keys":{"1":"${one}AAAA"}}`],
    ["key_length", `{"current":1,"keys":{"1":"${one}="}}`],
    ["version_twice", `{"current":1,"keys":{"1":"${one}","1":"${two}"}}`],
    ["shape", `{"current":1,"keys":{"1":"${one}","\\u0031" : "${two}"}}`],
    ["key_twice", `{"current":2,"keys":{"1":"${one}","2":"${one}"}}`],
    ["current_missing", `{"current":2,"keys":{"1":"${one}"}}`],
    ["current_below_floor", `{"current":1,"floor":2,"keys":{"1":"${one}","2":"${two}"}}`],
    ["not_random", `{"current":1,"keys":{"1":"${toBase64url(new Uint8Array(32))}"}}`],
    ["not_random", `{"current":1,"keys":{"1":"${toBase64url(new Uint8Array(32).fill(7))}"}}`],
    ["not_random", `{"current":1,"keys":{"1":"${sequence}"}}`],
    ["not_random", `{"current":1,"keys":{"1":"${words}"}}`],
  ])("is refused as %s: %s", (refusal, text) => {
    expect(parseKeyring(text)).toEqual({ ok: false, refusal });
  });

  it("takes what a random source gives", () => {
    for (let time = 0; time < 2_000; time++) {
      expect(parseKeyring(`{"current":1,"keys":{"1":"${toBase64url(random(32))}"}}`).ok).toBe(true);
    }
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
