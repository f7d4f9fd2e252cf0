import {
  DATABASE,
  type DayCount,
  dayLevel,
  EDGE,
  KEPT_DAYS,
  type Level,
  MINUTE_MS,
  minuteOf,
  regionOf,
  uptime,
  worst,
} from "./rules.ts";
import type { History } from "./store.ts";
import type { StatusView } from "./types.ts";

const NAMES: Readonly<Record<string, string>> = { [EDGE]: "Dashboard and API", [DATABASE]: "Database" };
const nameOf = (component: string): string => NAMES[component] ?? `Agents in ${component.slice(regionOf("").length)}`;

/** Without a look for so long, how a part is now is not known. */
const STALE_MINUTES = 5;
const DAY_MS = 24 * 60 * MINUTE_MS;
const dateOf = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);
const iso = (ms: number): string => new Date(ms).toISOString();

export function viewOf({ regions, days, incidents }: History, sinceDay: number, now: number): StatusView {
  const ids = [EDGE, DATABASE, ...regions.map(regionOf)];
  const open = new Map(incidents.filter(({ endedAt }) => endedAt === null).map((it) => [it.component, it.level]));
  const components = ids.map((id) => {
    const own = new Map<number, (typeof days)[number]>();
    for (const row of days) if (row.component === id) own.set(row.day, row);
    const lastMinute = Math.max(-1, ...[...own.values()].map((row) => row.lastMinute));
    const isFresh = minuteOf(now) - lastMinute <= STALE_MINUTES;
    // Whoever reads this is answered by the edge: it is there, whatever its clock does.
    const level: Level | null = isFresh ? (open.get(id) ?? "good") : id === EDGE ? "good" : null;
    return {
      ...{ id, name: nameOf(id), level },
      uptimePercent: uptime([...own.values()]),
      days: daysOf(own, sinceDay),
    };
  });
  return {
    at: iso(now),
    level: worst(components.map(({ level }) => level ?? "good")),
    components,
    incidents: incidents
      .filter(({ component }) => ids.includes(component))
      .map(({ component, level, startedAt, endedAt }) => ({
        ...{ component: nameOf(component), level, startedAt: iso(startedAt) },
        endedAt: endedAt === null ? null : iso(endedAt),
      })),
  };
}

const daysOf = (own: ReadonlyMap<number, DayCount>, sinceDay: number) =>
  Array.from({ length: KEPT_DAYS }, (_, index) => {
    const count = own.get(sinceDay + index);
    return { date: dateOf(sinceDay + index), level: dayLevel(count), uptimePercent: count ? uptime([count]) : null };
  });

/** What can be said when our own records cannot be read: we answer, and the database does not. */
export const blindView = ([edge, database]: readonly [string, string], now: number): StatusView => ({
  at: iso(now),
  level: "bad",
  components: [
    { id: edge, name: nameOf(edge), level: "good", uptimePercent: null, days: [] },
    { id: database, name: nameOf(database), level: "bad", uptimePercent: null, days: [] },
  ],
  incidents: [],
});
