import { and, eq, exists, isNotNull, isNull, ne, sql } from "drizzle-orm";
import { outbox, tenantDataWishes, tenants } from "../../schema/db/index.ts";
import type { HostReap, RuntimeName, TenantStorage } from "../../schema/protocol/index.ts";
import { atomically, type Database, insist, isGuardFailure, type Statement } from "../db.ts";
import { describeError } from "../http.ts";
import { decideMove } from "./rules.ts";

type TenantRow = typeof tenants.$inferSelect;
type Wishes = typeof tenantDataWishes.$inferSelect;

/** What this room needs of the hosts' room. */
export type Files = { ok: true; body: ReadableStream } | { ok: false; reason: "away" | "busy" | "none" };

export interface DataHosts {
  place(wish: { runtime: RuntimeName; plan: string; region: null }, besides: string): Promise<string | null>;
  takeRoom(hostId: string, wish: { region: null }): Statement[];
  announce(row: { hostId: string; tenantId: string; generation: number }): Statement;
  deliver(tenantId: string): Promise<void>;
  /** Has every host look at itself anew; what they find comes as reports. */
  probe(): Promise<void>;
  /** Whether the host has heard what of its leftovers is nobody's. */
  reap(hostId: string, items: HostReap["items"]): Promise<boolean>;
  /** The agent's own files, as its host sends them. */
  files(tenantId: string, signal: AbortSignal): Promise<Files>;
  /** Silent for so long, while others speak, that nothing is waited for any more. */
  isLost(hostId: string): Promise<boolean>;
}

/** What an owner starts stays where it is: a move that went on later would bring back what it was before. */
export const endMove = (db: Database, tenantId: string): Statement =>
  db.update(tenantDataWishes).set({ moveTo: null, moveAskedAt: null }).where(eq(tenantDataWishes.tenantId, tenantId));

/** It runs again: for how long it could not be reached, by one clock, from the word that stopped it. */
export const moveDone = (db: Database, tenantId: string, now: number): Statement =>
  db
    .update(tenantDataWishes)
    .set({ moveDownMs: sql`${now} - ${tenantDataWishes.moveAskedAt}`, moveAskedAt: null })
    .where(
      and(
        eq(tenantDataWishes.tenantId, tenantId),
        isNotNull(tenantDataWishes.moveAskedAt),
        isNull(tenantDataWishes.moveTo),
      ),
    );

/** What is wanted, why, and the word to the host: one transaction, or nothing. */
export type Change = (
  row: TenantRow,
  to: Partial<Pick<TenantRow, "desired" | "restarts" | "hostId" | "heldFrom">>,
  why: { actor: string; action: string; wishes: Partial<Wishes>; more?: Statement[]; detail?: object },
) => Statement[];

interface MoveDeps {
  db: Database;
  port: DataHosts;
  read(
    id: string,
  ): Promise<{ tenant: TenantRow; facts?: Pick<TenantStorage, "backup">; wishes: Wishes | null } | undefined>;
  change: Change;
}

/** Goes on with every move that is on its way. */
export function createMoves({ db, port, read, change }: MoveDeps): () => Promise<void> {
  /** Held meanwhile, it is not started, and is started when it is let go. */
  const runningAgain = ({ heldFrom }: TenantRow) =>
    heldFrom === null ? ({ desired: "running" } as const) : ({ heldFrom: "running" } as const);

  /**
   * Started where it goes, from its last copy. What it has left behind goes by the audit's line that is written here, when
   * that copy has proven itself.
   */
  async function switchOver(tenant: TenantRow, wishes: Wishes, hostId: string, lost: boolean): Promise<void> {
    const restore = wishes.restores + 1;
    const to = { hostId, ...runningAgain(tenant), restarts: tenant.restarts + 1 };
    const isForAnother = and(eq(outbox.tenantId, tenant.id), ne(outbox.hostId, hostId));
    const more = [
      db.update(tenants).set({ observed: "pending", observedGeneration: 0 }).where(eq(tenants.id, tenant.id)),
      ...port.takeRoom(hostId, { region: null }),
      db.delete(outbox).where(and(isForAnother, isNull(outbox.deliveredAt))),
    ];
    const word = {
      actor: "system",
      action: "moved",
      wishes: { moveTo: null, restores: restore, restoreFrom: "backup" },
    };
    const detail = { from: tenant.hostId, restore, lost };
    await atomically(db, change(tenant, to, { ...word, more, detail }));
    await port.deliver(tenant.id);
  }

  /** Its new server has filled up or was closed: another, or it goes on where it is. */
  async function moveElsewhere(tenant: TenantRow, isLost: boolean): Promise<void> {
    const { id, runtime, plan, hostId } = tenant;
    const moveTo = await port.place({ runtime, plan, region: null }, hostId);
    if (moveTo) {
      await db
        .update(tenantDataWishes)
        .set({ moveTo })
        .where(and(eq(tenantDataWishes.tenantId, id), isNotNull(tenantDataWishes.moveTo)));
    } else if (!isLost) {
      const word = { actor: "system", action: "stayed", wishes: { moveTo: null, moveAskedAt: null } };
      await atomically(db, change(tenant, runningAgain(tenant), word));
      await port.deliver(id);
    }
  }

  async function goOn(id: string): Promise<void> {
    const found = await read(id);
    if (!found?.wishes?.moveTo) return;
    const { tenant, facts, wishes } = found;
    const step = decideMove({
      observed: tenant.observed,
      desired: tenant.desired,
      isUpToDate: tenant.observedGeneration === tenant.generation,
      copies: { asked: wishes.backups, made: facts?.backup?.number ?? 0 },
      isHostLost: await port.isLost(tenant.hostId),
      hasCopy: facts?.backup !== undefined,
    });
    const asItWas = db
      .select({ one: sql`1` })
      .from(tenants)
      .where(and(eq(tenants.id, id), eq(tenants.generation, tenant.generation)));
    switch (step) {
      case "wait":
        return;
      case "forget":
        // Nothing of what was asked for since.
        await atomically(db, [insist(db, exists(asItWas)), endMove(db, id)]);
        return;
      case "switch":
      case "switch_lost":
        try {
          await switchOver(tenant, wishes, found.wishes.moveTo, step === "switch_lost");
        } catch (error) {
          if (!isGuardFailure(error)) throw error;
          // Somebody was faster: theirs is the newer word, and is looked at in the next turn.
          if ((await read(id))?.tenant.generation !== tenant.generation) return;
          await moveElsewhere(tenant, step === "switch_lost");
        }
    }
  }

  return async () => {
    const moving = await db
      .select({ id: tenantDataWishes.tenantId })
      .from(tenantDataWishes)
      .innerJoin(tenants, eq(tenants.id, tenantDataWishes.tenantId))
      .where(and(isNotNull(tenantDataWishes.moveTo), ne(tenants.desired, "deleted")));
    for (const { id } of moving) {
      try {
        await goOn(id);
      } catch (error) {
        // One that cannot go on must not stand before all others.
        console.error(JSON.stringify({ event: "move_failed", tenant: id, error: describeError(error) }));
      }
    }
  };
}
