import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBase64url, toBase64url } from "./base64url.ts";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

describe("base64url", () => {
  it("gives back what it was given, of every length", () => {
    for (let length = 1; length < 200; length++) {
      const bytes = crypto.getRandomValues(new Uint8Array(length));
      expect(fromBase64url(toBase64url(bytes))).toEqual(bytes);
    }
  });

  // Two texts of the same bytes are two signatures, hashes or keys that look different and are the same.
  it("takes each sequence of bytes in one spelling only", () => {
    const unit = fc.constantFrom(...LETTERS, ..."+/= \t\n\r\f.ä\u0000");
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (text) => {
        const bytes = fromBase64url(text);
        expect(bytes === null || toBase64url(bytes) === text).toBe(true);
        expect(bytes !== null && /[^A-Za-z0-9_-]/.test(text)).toBe(false);
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    "",
    "A",
    "AB",
    "AAB",
    "AA==",
    "AAA=",
    "AA A",
    "AA\n",
    " AAAA",
    "A A A A",
    "AA+A",
    "AA/A",
    "AAAAA",
    "AAAA====",
  ])("refuses %j", (text) => expect(fromBase64url(text)).toBeNull());
});
