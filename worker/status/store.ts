import { and, desc, eq, gte, isNull, lt, ne, sql } from "drizzle-orm";
import { hosts, statusDays, statusIncidents } from "../../schema/db/index.ts";
import { type Database, insist, type Statement } from "../db.ts";
import { type Counted, EDGE, KEPT_DAYS, type Level, MINUTE_MS } from "./rules.ts";

const MOST_INCIDENTS = 50;
const lastMinute = sql<number | null>`(select max(${statusDays.lastMinute}) from ${statusDays}
  where ${statusDays.component} = ${EDGE})`;

/** Everything that one look needs, in one round trip. */
export async function readLook(db: Database) {
  const { region, lastReportAt, enrolledAt } = hosts;
  const [machines, last, open] = await db.batch([
    db.select({ region, lastReportAt, enrolledAt }).from(hosts).where(ne(hosts.state, "removed")),
    db.select({ minute: lastMinute.as("minute") }).from(sql`(select 1)`),
    db.select().from(statusIncidents).where(isNull(statusIncidents.endedAt)),
  ]);
  return { hosts: machines, lastMinute: last[0]?.minute ?? null, open };
}

/** Fails the transaction when another tick has counted meanwhile. */
export const insistLast = (db: Database, minute: number | null): Statement =>
  insist(db, sql`${lastMinute} is ${minute}`);

export function addMinutes(db: Database, { component, day, level, minutes }: Counted, upTo: number): Statement {
  const column = statusDays[level];
  return db
    .insert(statusDays)
    .values({ component, day, [level]: minutes, lastMinute: upTo })
    .onConflictDoUpdate({
      target: [statusDays.component, statusDays.day],
      set: { [level]: sql`${column} + ${minutes}`, lastMinute: upTo },
    });
}

type Incident = typeof statusIncidents.$inferInsert;
export const insertIncident = (db: Database, row: Incident): Statement => db.insert(statusIncidents).values(row);

export function changeIncident(db: Database, id: number, to: Partial<Pick<Incident, "level" | "endedAt">>): Statement {
  return db.update(statusIncidents).set(to).where(eq(statusIncidents.id, id));
}

export const forgetOlder = (db: Database, day: number): Statement[] => [
  db.delete(statusDays).where(lt(statusDays.day, day - KEPT_DAYS)),
  db.delete(statusIncidents).where(lt(statusIncidents.startedAt, (day - KEPT_DAYS) * 24 * 60 * MINUTE_MS)),
];

export async function readHistory(db: Database, sinceDay: number) {
  const [regions, days, incidents] = await db.batch([
    db.selectDistinct({ region: hosts.region }).from(hosts).where(ne(hosts.state, "removed")),
    db.select().from(statusDays).where(gte(statusDays.day, sinceDay)),
    db
      .select()
      .from(statusIncidents)
      .where(and(gte(statusIncidents.startedAt, sinceDay * 24 * 60 * MINUTE_MS)))
      .orderBy(desc(statusIncidents.startedAt))
      .limit(MOST_INCIDENTS),
  ]);
  return { regions: regions.map(({ region }) => region).sort(), days, incidents };
}
export type History = Awaited<ReturnType<typeof readHistory>>;
export type OpenIncident = { id: number; component: string; level: Exclude<Level, "good"> };
