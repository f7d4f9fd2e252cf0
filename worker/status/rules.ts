import { z } from "zod";
import { wasAway } from "../hosts/rules.ts";

export const KEPT_DAYS = 90;
export const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;
/** A clock that ticks each minute may skip one or two; beyond that nobody was watching. */
const TOLERATED_MINUTES = 3;
/** A day with more bad minutes than this is a bad day, with fewer a poor one. */
const BAD_DAY_MINUTES = 10;
/** A round trip to the database that takes longer is felt on every page. */
export const SLOW_DATABASE_MS = 2_000;

export const LEVELS = ["good", "poor", "bad"] as const;
export const level = z.enum(LEVELS);
export type Level = z.infer<typeof level>;

export const EDGE = "edge";
export const DATABASE = "database";
export const regionOf = (name: string) => `region:${name}`;

export const minuteOf = (ms: number): number => Math.floor(ms / MINUTE_MS);
export const dayOf = (minute: number): number => Math.floor(minute / DAY_MINUTES);

interface HostFacts {
  region: string;
  lastReportAt: number | null;
  enrolledAt: number;
}

/** Each region by all of its hosts together: how many there are, or which, is nobody's business. */
export function regionLevels(hosts: readonly HostFacts[], now: number): Map<string, Level> {
  const regions = Map.groupBy(hosts, ({ region }) => regionOf(region));
  return new Map(
    [...regions].map(([region, all]) => {
      const away = all.filter(({ lastReportAt, enrolledAt }) => wasAway(lastReportAt ?? enrolledAt, now)).length;
      return [region, away === 0 ? "good" : away < all.length ? "poor" : "bad"];
    }),
  );
}

export interface Look {
  minute: number;
  /** The last minute that was counted; null before the first look of all. */
  lastMinute: number | null;
  databaseMs: number;
  hosts: readonly HostFacts[];
  /** Whether this edge remembers that the database did not answer meanwhile. */
  databaseFailed: boolean;
}

export interface Counted {
  component: string;
  day: number;
  level: Level;
  minutes: number;
}

export interface Judged {
  /** How each part is now. Without the regions right after a gap: hosts report through us, so their silence is ours. */
  now: Map<string, Level>;
  counts: Counted[];
  /** The time in which nobody watched, as minutes: it is over, and somebody was the reason. */
  gap: { component: string; from: number; to: number } | null;
}

/** What one look of the edge at everything comes to. Null: this minute has been counted. */
export function judge({ minute, lastMinute, databaseMs, hosts, databaseFailed }: Look): Judged | null {
  const elapsed = lastMinute === null ? 1 : minute - lastMinute;
  if (elapsed < 1) return null;
  const isGap = lastMinute !== null && elapsed > TOLERATED_MINUTES;
  const now = new Map<string, Level>([
    [EDGE, "good"],
    [DATABASE, databaseMs > SLOW_DATABASE_MS ? "poor" : "good"],
    ...(isGap ? [] : regionLevels(hosts, minute * MINUTE_MS)),
  ]);
  const seen = isGap ? 1 : elapsed;
  const counts = [...now].flatMap(([component, it]) => spread(component, it, minute - seen + 1, minute));
  if (!isGap) return { now, counts, gap: null };
  const component = databaseFailed ? DATABASE : EDGE;
  const from = Math.max(lastMinute + 1, minute - KEPT_DAYS * DAY_MINUTES);
  return {
    now,
    counts: [...counts, ...spread(component, "bad", from, minute - 1)],
    gap: { component, from, to: minute },
  };
}

/** Minutes from `from` to `to`, both with them, by day. */
function spread(component: string, it: Level, from: number, to: number): Counted[] {
  const counts: Counted[] = [];
  for (let start = from; start <= to; ) {
    const day = dayOf(start);
    const end = Math.min(to, (day + 1) * DAY_MINUTES - 1);
    counts.push({ component, day, level: it, minutes: end - start + 1 });
    start = end + 1;
  }
  return counts;
}

export interface DayCount {
  good: number;
  poor: number;
  bad: number;
}

/** One word for a day; null where nobody looked. */
export function dayLevel(count: DayCount | undefined): Level | null {
  if (!count || count.good + count.poor + count.bad === 0) return null;
  if (count.bad > BAD_DAY_MINUTES) return "bad";
  return count.bad + count.poor > 0 ? "poor" : "good";
}

/** In percent with two decimals, rounded down: 100 is said of a part that was never away. Null where nobody looked. */
export function uptime(counts: readonly DayCount[]): number | null {
  const sum = (what: keyof DayCount) => counts.reduce((all, count) => all + count[what], 0);
  const [up, down] = [sum("good") + sum("poor"), sum("bad")];
  return up + down === 0 ? null : Math.floor((up / (up + down)) * 10_000) / 100;
}

const RANK = { good: 0, poor: 1, bad: 2 } as const satisfies Record<Level, number>;
export const worst = (levels: readonly Level[]): Level =>
  levels.reduce<Level>((a, b) => (RANK[b] > RANK[a] ? b : a), "good");
