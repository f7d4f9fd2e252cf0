/** In order: most browsers claim to be those below them as well. */
const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bFirefox\//, "Firefox"],
  [/\b(?:Headless)?Chrom(?:e|ium)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly [RegExp, string][] = [
  [/\bAndroid\b/, "Android"],
  [/\biPhone\b|\biPad\b/, "iOS"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];

/** What a User-Agent says, in two words. It is only what the browser claims. */
export function browserName(userAgent: string | null): string {
  const of = (table: readonly [RegExp, string][]) => table.find(([known]) => known.test(userAgent ?? ""))?.[1];
  const browser = of(BROWSERS);
  const system = of(SYSTEMS);
  if (!browser) return userAgent ? "Another program" : "Unknown browser";
  return system ? `${browser} on ${system}` : browser;
}
