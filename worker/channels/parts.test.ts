import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { partsOf } from "./parts.ts";

describe("an answer in parts", () => {
  it("loses nothing but the space at its cuts, and no part is empty or longer than its provider takes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 120 }), fc.integer({ min: 4, max: 30 }), (text, max) => {
        const parts = partsOf(text, max);
        const bare = (some: string) => some.replace(/\s/g, "");
        return parts.every((part) => part.trim() !== "" && part.length <= max) && bare(parts.join("")) === bare(text);
      }),
    );
  });

  it("is cut behind a paragraph, else a line, else a word, and never inside of a character", () => {
    expect(partsOf(`${"a".repeat(60)}\n\n${"b".repeat(30)} c`, 80)).toEqual(["a".repeat(60), `${"b".repeat(30)} c`]);
    expect(partsOf("one two three four", 10)).toEqual(["one two", "three four"]);
    expect(partsOf(`${"a".repeat(9)}😀b`, 10)).toEqual(["a".repeat(9), "😀b"]);
    expect(partsOf("  \n ", 10)).toEqual([]);
  });
});
