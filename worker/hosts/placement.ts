import { and, count, eq, isNull, type SQL, sql } from "drizzle-orm";
import { hosts, tenants } from "../../schema/db/index.ts";
import type { RuntimeName, TenantLimits } from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { type Database, insist, type Statement } from "../db.ts";
import { DEFAULT_PLAN, limitsOf, PLAN_IDS } from "../tenants/index.ts";
import { raiseAlert, resolveAlert } from "./alerts.ts";
import { unfitHosts } from "./fitness.ts";
import { choosePlace, type HostRoom, wasAway } from "./rules.ts";

/** What somebody wants a place for. `region` null: wherever there is room. */
export interface Wish {
  runtime: RuntimeName;
  plan: string;
  region: string | null;
}

const ANYWHERE = "anywhere";

/** Where new agents go. */
export function createPlacement({ db, world }: { db: Database; world: World }) {
  return {
    /** A host with room for one more, or null. `besides`: not that one. */
    async place({ runtime, plan, region }: Wish, besides?: string): Promise<string | null> {
      return choosePlace(
        (await readRooms(db)).filter(({ id }) => id !== besides),
        { ...limitsOf(runtime, plan), region },
      );
    },

    /** Fails the transaction when the host has become too full meanwhile; ends the alert that there is no room. */
    takeRoom: (hostId: string, { region }: Pick<Wish, "region">): Statement[] => [
      insistRoom(db, hostId),
      resolveAlert(db, "no_capacity", region ?? ANYWHERE, world.now()),
    ],

    /**
     * Which of these agents cannot have this plan where they are, since their server would have promised more than it
     * has: a full host must not become an overbooked one because somebody paid. The operator hears of each server.
     */
    async crowded(rows: readonly Placed[], plan: string): Promise<ReadonlySet<string>> {
      const grown = rows.filter((row) => grows(row, plan));
      if (grown.length === 0) return new Set();
      const [all, promised] = await Promise.all([db.select().from(hosts), readPromised(db)]);
      const free = new Map(all.map((host) => [host.id, freeOn(host, promised(host.id))]));
      const crowded = new Set<string>();
      for (const row of grown) {
        const room = free.get(row.hostId);
        const [had, has] = [limitsOf(row.runtime, row.plan), limitsOf(row.runtime, plan)];
        const more = { memoryMiB: has.memoryMiB - had.memoryMiB, diskMiB: has.diskMiB - had.diskMiB };
        if (!room || more.memoryMiB > room.memoryMiB || more.diskMiB > room.diskMiB) crowded.add(row.id);
        else Object.assign(room, { memoryMiB: room.memoryMiB - more.memoryMiB, diskMiB: room.diskMiB - more.diskMiB });
      }
      for (const { hostId } of rows.filter(({ id }) => crowded.has(id))) {
        const detail = "A larger plan waits: this server has no room for it. Add one, and move the agent there.";
        await raiseAlert(db, { kind: "no_capacity", subject: hostId, detail }, world.now());
      }
      return crowded;
    },

    /** Fails the transaction when one of the servers on which an agent grows has become too full meanwhile. */
    keepPromises: (rows: readonly Placed[], plan: string): Statement[] =>
      [...new Set(rows.filter((row) => grows(row, plan)).map(({ hostId }) => hostId))].flatMap((hostId) => [
        insist(db, keptBy(hostId, sql`${hosts} where ${hosts.id} = ${hostId}`)),
        resolveAlert(db, "no_capacity", hostId, world.now()),
      ]),

    /** Somebody was sent away. They have their answer; the operator has to hear of it too. */
    async sentAway({ runtime, region }: Pick<Wish, "runtime" | "region">): Promise<void> {
      const subject = region ?? ANYWHERE;
      const where = region === null ? "no server has" : `no server in ${region} has`;
      const detail = `Somebody was sent away: ${where} room for another ${runtime}. Add one with \`host add\`.`;
      await raiseAlert(db, { kind: "no_capacity", subject, detail }, world.now());
    },

    /** Where there are servers that take agents. */
    async regions(): Promise<string[]> {
      const rows = await db.selectDistinct({ region: hosts.region }).from(hosts).where(eq(hosts.state, "enrolled"));
      return rows.map(({ region }) => region).sort();
    },
  };
}

/**
 * Without the hosts that have fallen silent while others speak: a dead one empties itself by moves, and would be the
 * first choice for its room. Not by the clock: if all are silent, it is the edge that was away.
 */
function speaking<H extends { lastReportAt: number | null; enrolledAt: number }>(among: readonly H[]): H[] {
  const lastWordAt = ({ lastReportAt, enrolledAt }: H) => Math.max(lastReportAt ?? 0, enrolledAt);
  const newestAt = Math.max(...among.map(lastWordAt));
  return among.filter((host) => !wasAway(lastWordAt(host), newestAt));
}

/** What its tenants were promised of one host. */
export interface Promised {
  usedTenants: number;
  usedMemoryMiB: number;
  usedDiskMiB: number;
}

/** By host, whatever state the host is in. */
export async function readPromised(db: Database): Promise<(hostId: string) => Promised> {
  const used = await db
    .select({ hostId: tenants.hostId, runtime: tenants.runtime, plan: tenants.plan, n: count() })
    .from(tenants)
    .where(isNull(tenants.purgedAt))
    .groupBy(tenants.hostId, tenants.runtime, tenants.plan);
  return (hostId) => {
    const here = used.filter((row) => row.hostId === hostId);
    const promised = (what: "memoryMiB" | "diskMiB") =>
      here.reduce((sum, row) => sum + row.n * limitsOf(row.runtime, row.plan)[what], 0);
    return {
      usedTenants: here.reduce((sum, row) => sum + row.n, 0),
      usedMemoryMiB: promised("memoryMiB"),
      usedDiskMiB: promised("diskMiB"),
    };
  };
}

async function readRooms(db: Database): Promise<HostRoom[]> {
  const [open, promised, unfit] = await Promise.all([
    db.select().from(hosts).where(eq(hosts.state, "enrolled")),
    readPromised(db),
    unfitHosts(db),
  ]);
  return speaking(open)
    .filter(({ id }) => !unfit.has(id))
    .map(({ id, region, memoryMiB, diskMiB, maxTenants }) => ({
      ...{ id, region, memoryMiB, diskMiB, maxTenants },
      ...promised(id),
    }));
}

type Placed = Pick<typeof tenants.$inferSelect, "id" | "hostId" | "runtime" | "plan">;

function grows({ runtime, plan: before }: Placed, plan: string): boolean {
  const [had, has] = [limitsOf(runtime, before), limitsOf(runtime, plan)];
  return has.memoryMiB > had.memoryMiB || has.diskMiB > had.diskMiB;
}
const freeOn = (host: { memoryMiB: number; diskMiB: number }, used: Promised) => ({
  memoryMiB: host.memoryMiB - used.usedMemoryMiB,
  diskMiB: host.diskMiB - used.usedDiskMiB,
});

/** Inside the creating transaction: two creations that both saw the last place must not both get it. */
function insistRoom(db: Database, hostId: string): Statement {
  const host = sql`${hosts} where ${hosts.id} = ${hostId} and ${hosts.state} = 'enrolled'`;
  const isNotFull = sql`(select count(*) from ${livingOn(hostId)}) <= (select ${hosts.maxTenants} from ${host})`;
  return insist(db, sql`${isNotFull} and ${keptBy(hostId, host)}`);
}

const livingOn = (hostId: string) =>
  sql`${tenants} where ${tenants.hostId} = ${hostId} and ${tenants.purgedAt} is null`;

/** What its agents were promised together is there. */
const keptBy = (hostId: string, host: SQL): SQL =>
  sql`(select sum(${promisedBy("memoryMiB")}) from ${livingOn(hostId)}) <= (select ${hosts.memoryMiB} from ${host})
    and (select sum(${promisedBy("diskMiB")}) from ${livingOn(hostId)}) <= (select ${hosts.diskMiB} from ${host})`;

/** {@link limitsOf} in the database's own words. */
function promisedBy(what: keyof TenantLimits): SQL {
  const rows = tenants.runtime.enumValues.flatMap((runtime) => [
    ...PLAN_IDS.map((plan) => {
      const isIt = and(eq(tenants.runtime, runtime), eq(tenants.plan, plan));
      return sql`when ${isIt} then ${limitsOf(runtime, plan)[what]}`;
    }),
    sql`when ${eq(tenants.runtime, runtime)} then ${limitsOf(runtime, DEFAULT_PLAN)[what]}`,
  ]);
  return sql`case ${sql.join(rows, sql` `)} end`;
}
