// By hand: a formatter of the platform's costs a tenth of a millisecond each time, and some pages have a hundred times.
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec"];

/** `2026-11-22T09:02:11.123Z` → `22 Nov, 09:02:11 UTC`. */
export const readableTime = (iso: string): string => `${dayOf(new Date(iso))}, ${iso.slice(11, 19)} UTC`;

/** `2026-11-22T09:02:11.123Z` → `22 Nov 2026`. */
export const readableDay = (iso: string): string => `${dayOf(new Date(iso))} ${iso.slice(0, 4)}`;

const dayOf = (date: Date): string => `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
