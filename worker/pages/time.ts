/** `2026-11-22T09:02:11.123Z` → `22 Nov, 09:02:11 UTC`. */
export function readableTime(iso: string): string {
  const date = new Date(iso);
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  return `${day}, ${date.toISOString().slice(11, 19)} UTC`;
}
