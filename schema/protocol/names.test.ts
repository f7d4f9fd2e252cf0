import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { idFrom, idPattern, newId, RESERVED_SLUGS, refuseSlug, SLUG_MAX, SLUG_MIN } from "./index.ts";

const sixteenBytes = fc.uint8Array({ minLength: 16, maxLength: 16 });

/** Reads the base32 of an id back; the independent half of the round trip. */
function bytesOf(id: string): Uint8Array {
  let value = 0n;
  for (const character of id.slice(4))
    value = value * 32n + BigInt("abcdefghijklmnopqrstuvwxyz234567".indexOf(character));
  value >>= 2n;
  return Uint8Array.from({ length: 16 }, (_, i) => Number((value >> BigInt(8 * (15 - i))) & 255n));
}

describe("an id", () => {
  it("carries all 128 bits: two different randoms never share an id", () => {
    fc.assert(
      fc.property(sixteenBytes, (random) => {
        expect(bytesOf(idFrom("tnt", random))).toEqual(random);
      }),
    );
  });

  it("matches its own pattern and nobody else's", () => {
    fc.assert(
      fc.property(sixteenBytes, (random) => {
        expect(idFrom("hst", random)).toMatch(idPattern("hst"));
        expect(idFrom("hst", random)).not.toMatch(idPattern("tnt"));
      }),
    );
  });

  it("is safe in host names, paths, labels and rule comments", () => {
    fc.assert(
      fc.property(sixteenBytes, (random) => {
        expect(idFrom("cmd", random)).toMatch(/^[a-z2-7_]{30}$/);
      }),
    );
  });

  it.each([0, 15, 17, 32])("is not made from %i bytes", (length) => {
    expect(() => idFrom("tnt", new Uint8Array(length))).toThrow(RangeError);
  });

  it("is new each time", () => {
    expect(new Set(Array.from({ length: 100 }, () => newId("evt"))).size).toBe(100);
  });
});

describe("a name", () => {
  const nearNames = fc.string({ unit: fc.constantFrom(..."abz09-"), maxLength: 40 });

  it("that is accepted is one lower-case DNS label without look-alikes", () => {
    fc.assert(
      fc.property(fc.oneof(nearNames, fc.string(), fc.string({ unit: "grapheme" })), (slug) => {
        if (refuseSlug(slug) !== null) return;
        expect(slug).toMatch(/^[a-z][a-z0-9-]*[a-z0-9]$/);
        expect(slug).not.toContain("--");
        expect(slug.length).toBeGreaterThanOrEqual(SLUG_MIN);
        expect(slug.length).toBeLessThanOrEqual(SLUG_MAX);
        expect(new URL(`http://${slug}.example`).hostname).toBe(`${slug}.example`);
      }),
      { numRuns: 2_000 },
    );
  });

  it("that keeps the rule is never refused for its characters", () => {
    const label = fc.stringMatching(/^[a-z](?:-?[a-z0-9]){2,15}$/).filter((slug) => !RESERVED_SLUGS.has(slug));
    fc.assert(
      fc.property(label, (slug) => {
        expect(refuseSlug(slug)).toBeNull();
      }),
    );
  });

  it.each([...RESERVED_SLUGS])("%s is kept for the platform", (slug) => {
    expect(refuseSlug(slug)).toEqual({ reason: "reserved" });
  });

  it.each([
    ["", "too_short"],
    ["ab", "too_short"],
    ["a".repeat(33), "too_long"],
    ["Ada", "characters"],
    ["1ada", "characters"],
    ["-ada", "characters"],
    ["ada-", "characters"],
    ["a--b", "characters"],
    ["xn--ls8h", "characters"],
    ["a.b", "characters"],
    ["a_b", "characters"],
    ["аda", "characters"],
    ["ada\n", "characters"],
    ["../etc", "characters"],
    ["__proto__", "characters"],
  ])("%j is refused as %s", (slug, reason) => {
    expect(refuseSlug(slug)).toMatchObject({ reason });
  });

  it.each(["abc", "a1b", "a-b", "a".repeat(32)])("%s may be used", (slug) => {
    expect(refuseSlug(slug)).toBeNull();
  });
});
