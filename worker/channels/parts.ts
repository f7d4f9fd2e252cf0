/**
 * An answer in parts that its provider takes, each at most `max` UTF-16 units: cut behind a paragraph, a line or a word
 * where one ends in the second half, and never inside of a character. Nothing of the text is lost but the space at a cut.
 */
export function partsOf(text: string, max: number): string[] {
  const parts: string[] = [];
  let rest = text.trim();
  while (rest.length > max) {
    const at = cutAt(rest, max);
    parts.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  return rest === "" ? parts : [...parts, rest];
}

function cutAt(text: string, max: number): number {
  for (const end of ["\n\n", "\n", " "]) {
    const at = text.lastIndexOf(end, max);
    if (at > max / 2) return at;
  }
  const isSplitPair = /[\uD800-\uDBFF]/.test(text[max - 1] as string) && /[\uDC00-\uDFFF]/.test(text[max] as string);
  return isSplitPair ? max - 1 : max;
}
