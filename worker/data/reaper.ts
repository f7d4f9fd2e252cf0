import { and, desc, eq, getTableName, inArray, isNotNull, isNull, ne, notExists, type SQL, sql } from "drizzle-orm";
import { channels, hostLeftovers, orphans, sweeps, tenants, user } from "../../schema/db/index.ts";
import { type Leftover, leftover, type Report } from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { atomically, type Database, isGuardFailure, type Statement } from "../db.ts";
import { type Config, tenantHostnameOf } from "../env.ts";
import { describeError } from "../http.ts";
import { deletion } from "../tenants/service.ts";
import { HOLDINGS, type Holding } from "./holdings.ts";
import type { DataHosts } from "./moves.ts";
import { isSweepDue, ORPHAN_GRACE_MS } from "./rules.ts";

const MAX_NAMED = 200;

/** What belongs to nobody, under a name that is the same at every sweep, and what removes it. */
interface Orphan {
  what: string;
  remove: () => Promise<void>;
}

export interface Sweep {
  at: string;
  found: number;
  removed: number;
  /** At most 200 of what was found, each with when it was first seen. */
  orphans: { what: string; firstSeenAt: string }[];
  /** How many were looked at, by kind: what was not looked at must not read as clean. */
  looked: Record<string, number>;
}

export interface Reaper {
  /** Looks at everything now. What was there at every sweep for a week is removed. */
  sweep(): Promise<Sweep>;
  /** Has the hosts look anew, for the next sweep. */
  askHosts(): Promise<void>;
  /** The newest first. */
  list(): Promise<Sweep[]>;
  /** Once a day. */
  tick(): Promise<void>;
}

/** What a host has just told of its leftovers replaces what it told before. */
export function leftoversStatement(
  db: Database,
  hostId: string,
  { items }: Extract<Report, { type: "host.leftovers" }>,
  now: number,
): Statement {
  const row = { at: now, items: JSON.stringify(items) };
  return db
    .insert(hostLeftovers)
    .values({ hostId, ...row })
    .onConflictDoUpdate({ target: hostLeftovers.hostId, set: row });
}

export function createReaper({
  db,
  world,
  config,
  hosts,
}: {
  db: Database;
  world: World;
  config: Pick<Config, "tenants">;
  hosts: Pick<DataHosts, "reap" | "probe" | "announce" | "deliver">;
}): Reaper {
  /** Rows whose agent, channel or person is not there: by table and id. */
  async function rowOrphans(): Promise<Orphan[]> {
    const found: Orphan[] = [];
    for (const { table, whose, goes } of HOLDINGS) {
      const stranger = typeof goes === "string" ? strangerTo(db, whose) : null;
      if (stranger === null || !("column" in whose)) continue;
      const { column } = whose;
      const ids = await db.selectDistinct({ id: column }).from(table).where(stranger).limit(MAX_NAMED);
      for (const { id } of ids as { id: string }[]) {
        // Asked once more where it is removed: its owner may have come back with a database since.
        const remove = async () => void (await db.delete(table).where(and(eq(column, id), stranger)));
        found.push({ what: `row ${getTableName(table)} ${id}`, remove });
      }
    }
    return found;
  }

  /** An agent that lives and whose person does not: made in the moment in which the account went. */
  async function agentOrphans(): Promise<Orphan[]> {
    const noPerson = notExists(db.select({ one: sql`1` }).from(user).where(eq(user.id, tenants.ownerId)));
    const rows = await db
      .select()
      .from(tenants)
      .where(and(ne(tenants.desired, "deleted"), noPerson));
    return rows.map((row) => ({
      what: `agent ${row.id}`,
      async remove() {
        const why = { actor: "system", step: "owner.gone", now: world.now() };
        await atomically(db, deletion(db, row, why, hosts.announce));
        await hosts.deliver(row.id);
      },
    }));
  }

  /** What hosts have and no journal of theirs knows, where the database knows nobody for it either. */
  async function hostOrphans(looked: Sweep["looked"]): Promise<Orphan[]> {
    const told = await db.select().from(hostLeftovers);
    const living = await db
      .select({ id: tenants.id, slug: tenants.slug })
      .from(tenants)
      .where(isNull(tenants.purgedAt));
    const ids = new Set(living.map(({ id }) => id));
    const names = new Set(living.map(({ slug }) => tenantHostnameOf(config.tenants, slug)));
    const isNobodys = ({ kind, name }: Leftover) =>
      // Copies may be another host's, a directory may be what an agent left behind when it moved: both have somebody. Of
      // certificates only agents' are judged: the platform's own names are in the same place.
      kind === "certificate" ? name.endsWith(config.tenants.domain) && !names.has(name) : !ids.has(name);
    looked.hosts = told.length;
    return told.flatMap(({ hostId, items }) =>
      leftover
        .array()
        .parse(JSON.parse(items))
        .filter(isNobodys)
        .map((item) => ({
          what: `host ${hostId} ${item.kind} ${item.name}`,
          async remove() {
            if (!(await hosts.reap(hostId, [item]))) throw new Error("the host did not hear of it");
          },
        })),
    );
  }

  async function removeDue(found: readonly Orphan[], due: ReadonlySet<string>): Promise<number> {
    let removed = 0;
    for (const { what, remove } of found) {
      if (!due.has(what)) continue;
      try {
        await remove();
        removed += 1;
        await db.update(orphans).set({ removedAt: world.now() }).where(eq(orphans.what, what));
      } catch (error) {
        if (isGuardFailure(error)) continue;
        console.error(JSON.stringify({ event: "orphan_stays", what, error: describeError(error) }));
      }
    }
    return removed;
  }

  async function sweep(): Promise<Sweep> {
    const now = world.now();
    const looked: Sweep["looked"] = { tables: HOLDINGS.length };
    const parts = [await rowOrphans(), await agentOrphans(), await hostOrphans(looked)];
    const found = parts.flat();
    const named = found.map(({ what }) => what);
    const known = await db.select().from(orphans);
    const isStill = new Set(named);
    const over = known.filter(({ what }) => !isStill.has(what)).map(({ what }) => what);
    const news = found.filter(({ what }) => !known.some((row) => row.what === what));
    const changes = [
      ...news.map(({ what }) => db.insert(orphans).values({ what, firstSeenAt: now }).onConflictDoNothing()),
      // Seen again later, its time begins anew: only what is nobody's at every sweep goes.
      ...chunks(over).map((some) => db.delete(orphans).where(inArray(orphans.what, some))),
    ];
    if (changes.length > 0) await atomically(db, changes);
    const firstSeen = new Map(known.map((row) => [row.what, row.firstSeenAt]));
    const seenAt = (what: string) => firstSeen.get(what) ?? now;
    const due = new Set(named.filter((what) => now - seenAt(what) >= ORPHAN_GRACE_MS));
    const removed = await removeDue(found, due);
    const iso = (ms: number) => new Date(ms).toISOString();
    const listed = named.slice(0, MAX_NAMED).map((what) => ({ what, firstSeenAt: iso(seenAt(what)) }));
    const result = { at: iso(now), found: found.length, removed, orphans: listed, looked };
    await db.insert(sweeps).values({ at: now, found: found.length, removed, report: JSON.stringify(result) });
    console.log(JSON.stringify({ event: "sweep", found: found.length, removed }));
    return result;
  }

  return {
    sweep,
    askHosts: hosts.probe,
    async list() {
      const rows = await db.select().from(sweeps).orderBy(desc(sweeps.id)).limit(30);
      return rows.map(({ report }) => JSON.parse(report) as Sweep);
    },
    async tick() {
      const [last] = await db.select({ at: sweeps.at }).from(sweeps).orderBy(desc(sweeps.id)).limit(1);
      if (isSweepDue(last?.at ?? null, world.now())) await sweep();
    },
  };
}

/** The rows of a table whose owner is in no table; null where they need none. */
function strangerTo(db: Database, whose: Holding["whose"]): SQL | undefined | null {
  const one = { one: sql`1` };
  switch (whose.by) {
    case "tenant": {
      const { column } = whose;
      return and(isNotNull(column), notExists(db.select(one).from(tenants).where(eq(tenants.id, column))));
    }
    case "channel": {
      const { column } = whose;
      return notExists(db.select(one).from(channels).where(eq(channels.id, column)));
    }
    case "person": {
      const { column } = whose;
      return and(isNotNull(column), notExists(db.select(one).from(user).where(eq(user.id, column))));
    }
    // A mail may be to somebody who has no account yet, or no more.
    case "email":
    case "line":
    case "nobody":
      return null;
  }
}

function chunks(all: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(all.length / MAX_NAMED) }, (_, i) =>
    all.slice(i * MAX_NAMED, (i + 1) * MAX_NAMED),
  );
}
