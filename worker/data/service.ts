import { and, eq } from "drizzle-orm";
import { audit, tenantDataWishes, tenantEvents, tenantStorage, tenants } from "../../schema/db/index.ts";
import { tenantStorage as storageReport } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/types.ts";
import type { World } from "../clock.ts";
import { atomically, changedOne, type Database, insist, retryingGuards, type Statement } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { type Change, createMoves, type DataHosts } from "./moves.ts";
import { type StorageWarning, storageWarning } from "./rules.ts";

/** `waitUntil` of the request. */
type Background = (work: Promise<unknown>) => void;

export interface StorageView {
  usedBytes: number;
  limitBytes: number;
  warning: StorageWarning | null;
  /** Files that are not the agent's own or open to others, as its server last found. */
  strays: number;
  snapshots: string[];
  backup: { at: string; bytes: number; verifiedAt: string | null } | null;
  restored: { from: string; at: string; tookMs: number; ok: boolean } | null;
  at: string;
  move: { to: string; askedAt: string } | null;
  /** How long it could not be reached during its last move, in milliseconds; null before one has ended. */
  moveDownMs: number | null;
}

export interface DataService {
  /** Null before its server has said anything about it. */
  storage(person: Person, id: string): Promise<Result<StorageView | null>>;
  /** A copy in object storage now, besides the plan's. */
  backup(person: Person, id: string, later: Background): Promise<Result<null>>;
  /** `from`: a snapshot's name, or `backup`. Starts the agent. */
  restore(person: Person, id: string, from: string, later: Background): Promise<Result<null>>;
  /** To another server with room: stopped, copied, started there. A server that is lost is not waited for. */
  move(person: Person, id: string, later: Background): Promise<Result<null>>;
  /** The agent's own files as one tar, while they are read; `name`: the agent's. */
  files(person: Person, id: string, signal: AbortSignal): Promise<Result<{ name: string; body: ReadableStream }>>;
  /** Goes on with every move that is on its way. */
  tick(): Promise<void>;
}

export function createDataService({
  db,
  world,
  hosts: port,
}: {
  db: Database;
  world: World;
  hosts: DataHosts;
}): DataService {
  async function read(id: string) {
    const [tenantRows, storageRows, wishRows] = await db.batch([
      db.select().from(tenants).where(eq(tenants.id, id)),
      db.select().from(tenantStorage).where(eq(tenantStorage.tenantId, id)),
      db.select().from(tenantDataWishes).where(eq(tenantDataWishes.tenantId, id)),
    ]);
    const [tenant, stored] = [tenantRows[0], storageRows[0]];
    const parts = storageReport.shape;
    const facts = stored && {
      ...stored,
      snapshots: parts.snapshots.parse(JSON.parse(stored.snapshots)),
      backup: parts.backup.parse(stored.backup === null ? undefined : JSON.parse(stored.backup)),
      restored: parts.restored.parse(stored.restored === null ? undefined : JSON.parse(stored.restored)),
    };
    return tenant && { tenant, facts, wishes: wishRows[0] ?? null };
  }
  type Found = NonNullable<Awaited<ReturnType<typeof read>>>;

  async function owned(person: Person, id: string): Promise<Result<Found>> {
    const found = await read(id);
    if (!found || found.tenant.ownerId !== person.id || found.tenant.purgedAt !== null) return refuse("not_found");
    const isDeleted = found.tenant.desired === "deleted" || found.wishes?.deleteAt != null;
    return isDeleted ? refuse("tenant_deleting") : good(found);
  }

  const change: Change = (row, to, { actor, action, wishes, more = [], detail = {} }) => {
    const [at, generation, tenantId] = [world.now(), row.generation + 1, row.id];
    return [
      db
        .update(tenants)
        .set({ ...to, generation, updatedAt: at })
        .where(and(eq(tenants.id, tenantId), eq(tenants.generation, row.generation))),
      insist(db, changedOne),
      ...more,
      db
        .insert(tenantDataWishes)
        .values({ tenantId, ...wishes })
        .onConflictDoUpdate({ target: tenantDataWishes.tenantId, set: wishes }),
      db.insert(tenantEvents).values({ tenantId, generation, at, step: `owner.${action}`, status: "done" }),
      db.insert(audit).values({
        ...{ at, actor, action: `tenant.${action}`, subject: tenantId },
        detail: JSON.stringify({ generation, ...detail }),
      }),
      port.announce({ hostId: to.hostId ?? row.hostId, tenantId, generation }),
    ];
  };

  function act(person: Person, id: string, later: Background, plan: (found: Found) => Promise<Result<Statement[]>>) {
    return retryingGuards(async (): Promise<Result<null>> => {
      const found = await owned(person, id);
      if (!found.ok) return found;
      const planned = await plan(found.value);
      if (!planned.ok) return planned;
      await atomically(db, planned.value);
      later(port.deliver(id));
      return good(null);
    });
  }

  return {
    async storage(person, id) {
      const found = await owned(person, id);
      if (!found.ok) return found;
      const { facts, wishes } = found.value;
      if (!facts) return good(null);
      const { usedBytes, limitBytes, strays, snapshots, backup, restored } = facts;
      const iso = (ms: number) => new Date(ms).toISOString();
      return good({
        ...{ usedBytes, limitBytes, strays, snapshots, warning: storageWarning(facts) },
        backup: backup
          ? { at: iso(backup.at), bytes: backup.bytes, verifiedAt: backup.verifiedAt ? iso(backup.verifiedAt) : null }
          : null,
        restored: restored
          ? { from: restored.from, at: iso(restored.at), tookMs: restored.tookMs, ok: restored.ok }
          : null,
        at: iso(facts.at),
        move: wishes?.moveTo ? { to: wishes.moveTo, askedAt: iso(wishes.moveAskedAt ?? 0) } : null,
        moveDownMs: wishes?.moveDownMs ?? null,
      });
    },

    backup: (person, id, later) =>
      act(person, id, later, async ({ tenant, wishes }) =>
        good(
          change(tenant, {}, { actor: person.id, action: "backup", wishes: { backups: (wishes?.backups ?? 0) + 1 } }),
        ),
      ),

    restore: (person, id, from, later) =>
      act(person, id, later, async ({ tenant, facts, wishes }) => {
        const isThere = from === "backup" ? facts?.backup !== undefined : facts?.snapshots.includes(from);
        if (!isThere) return refuse("no_such_copy", { field: "from" });
        // Both end with a start.
        if (tenant.heldFrom !== null) return refuse("payment_required");
        const to = { desired: "running" as const, restarts: tenant.restarts + 1 };
        const wish = { restores: (wishes?.restores ?? 0) + 1, restoreFrom: from, moveTo: null, moveAskedAt: null };
        return good(change(tenant, to, { actor: person.id, action: "restore", wishes: wish }));
      }),

    move: (person, id, later) =>
      act(person, id, later, async ({ tenant, wishes }) => {
        if (wishes?.moveTo) return refuse("tenant_moving");
        if (tenant.heldFrom !== null) return refuse("payment_required");
        const { runtime, plan, hostId } = tenant;
        const moveTo = await port.place({ runtime, plan, region: null }, hostId);
        if (!moveTo) return refuse("no_capacity");
        const wish = { moveTo, moveAskedAt: world.now(), moveDownMs: null, backups: (wishes?.backups ?? 0) + 1 };
        return good(change(tenant, { desired: "stopped" }, { actor: person.id, action: "move", wishes: wish }));
      }),

    async files(person, id, signal) {
      const found = await read(id);
      const { tenant } = found ?? {};
      if (!tenant || tenant.ownerId !== person.id || tenant.purgedAt !== null) return refuse("not_found");
      // Also while its deletion can still be undone: that is when somebody notices what they want to keep.
      if (tenant.desired === "deleted") return refuse("tenant_deleting");
      const files = await port.files(id, signal);
      if (files.ok) return good({ name: tenant.slug, body: files.body });
      switch (files.reason) {
        case "none":
          return refuse("no_such_copy", { detail: "The agent has no files yet." });
        case "busy":
          return refuse("rate_limited", { retryAfterSeconds: 30, detail: "One download at a time." });
        case "away":
          return refuse("host_away", { detail: "The agent's server does not answer. Try again in a moment." });
      }
    },

    tick: createMoves({ db, port, read, change }),
  };
}
