import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** How a part of the platform was on one day, counted in minutes: what the public status page is drawn from. */
export const statusDays = sqliteTable(
  "status_days",
  {
    /** `edge`, `database`, or `region:` and its name. */
    component: text().notNull(),
    /** Days since the epoch, UTC. */
    day: integer().notNull(),
    good: integer().notNull().default(0),
    poor: integer().notNull().default(0),
    bad: integer().notNull().default(0),
    /** The last minute since the epoch that was counted: a minute counts once, however often the clock ticks. */
    lastMinute: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.component, t.day] })],
);

/** A time in which a part was not well. Says when and how badly, never why or where. */
export const statusIncidents = sqliteTable(
  "status_incidents",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    component: text().notNull(),
    /** The worst that it came to. */
    level: text({ enum: ["poor", "bad"] }).notNull(),
    startedAt: integer().notNull(),
    /** Null while it lasts. */
    endedAt: integer(),
  },
  (t) => [index("status_incidents_time").on(t.startedAt), index("status_incidents_open").on(t.component, t.endedAt)],
);
