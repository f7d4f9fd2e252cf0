import type { World } from "../clock.ts";
import { atomically, type Database, isGuardFailure, type Statement } from "../db.ts";
import { describeError } from "../http.ts";
import { DATABASE, dayOf, EDGE, judge, KEPT_DAYS, type Level, MINUTE_MS, minuteOf } from "./rules.ts";
import * as store from "./store.ts";
import type { StatusView } from "./types.ts";
import { blindView, viewOf } from "./view.ts";

export type { StatusView } from "./types.ts";

/** A page that everybody may ask for costs the database one read in so long, however many ask. */
const KEPT_MS = 30_000;

/** A database that hangs is as good as none, to somebody who waits for this page. */
const PATIENCE_MS = 3_000;

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, refuse) => {
    timer = setTimeout(() => refuse(new Error(`no answer within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The status room: it looks each minute, counts, and tells everybody. */
export function createStatus({ db, world }: { db: Database; world: World }) {
  // Both may be lost with the isolate: the first is a cache, the second only says whom a gap is put down to.
  let kept: { view: StatusView; at: number } | null = null;
  let databaseFailed = false;

  async function look(): Promise<void> {
    const began = world.now();
    const { hosts, lastMinute, open } = await store.readLook(db).catch((error) => {
      databaseFailed = true;
      throw error;
    });
    const now = world.now();
    const minute = minuteOf(now);
    const judged = judge({ minute, lastMinute, databaseMs: now - began, hosts, databaseFailed });
    if (!judged) return;
    const { gap } = judged;
    const statements: Statement[] = [
      store.insistLast(db, lastMinute),
      ...judged.counts.map((count) => store.addMinutes(db, count, minute)),
      ...[...judged.now].flatMap(([component, level]) => incidentStatements(component, level, open, minute)),
      ...(gap
        ? [
            store.insertIncident(db, {
              ...{ component: gap.component, level: "bad" as const },
              ...{ startedAt: gap.from * MINUTE_MS, endedAt: gap.to * MINUTE_MS },
            }),
          ]
        : []),
      ...store.forgetOlder(db, dayOf(minute)),
    ];
    try {
      await atomically(db, statements);
      databaseFailed = false;
    } catch (error) {
      // Another tick was faster: the minute is counted.
      if (!isGuardFailure(error)) throw error;
    }
  }

  function incidentStatements(
    component: string,
    level: Level,
    all: readonly store.OpenIncident[],
    minute: number,
  ): Statement[] {
    const open = all.find((incident) => incident.component === component);
    const at = minute * MINUTE_MS;
    if (level === "good") return open ? [store.changeIncident(db, open.id, { endedAt: at })] : [];
    if (!open) return [store.insertIncident(db, { component, level, startedAt: at })];
    return level === "bad" && open.level === "poor" ? [store.changeIncident(db, open.id, { level })] : [];
  }

  return {
    /** What the clock asks for. */
    tick: look,

    /** The same for everybody. When not even our own records can be read, that is what it says. */
    async read(): Promise<StatusView> {
      const now = world.now();
      if (kept && now - kept.at < KEPT_MS) return kept.view;
      const sinceDay = dayOf(minuteOf(now)) - KEPT_DAYS + 1;
      const view = await within(PATIENCE_MS, store.readHistory(db, sinceDay)).then(
        (history) => viewOf(history, sinceDay, now),
        (error) => {
          console.error(JSON.stringify({ event: "status_unreadable", error: describeError(error) }));
          return blindView([EDGE, DATABASE], now);
        },
      );
      kept = { view, at: now };
      return view;
    },
  };
}

export type Status = ReturnType<typeof createStatus>;
