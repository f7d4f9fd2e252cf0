import { and, desc, eq, isNull } from "drizzle-orm";
import { rollouts, runtimeImages, tenantImages, tenants } from "../../schema/db/index.ts";
import { newId, type RuntimeName, type TenantImage } from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { atomically, type Database, isGuardFailure, type Statement } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import type { HostsPort } from "./ports.ts";
import type { TenantRow } from "./rules.ts";
import * as store from "./store.ts";
import { chooseImage, type Image, nextRolloutStep } from "./upgrade-rules.ts";

export interface UpgradeContext {
  db: Database;
  world: World;
  hosts: Pick<HostsPort, "announce" | "deliver">;
}
type Rollout = typeof rollouts.$inferSelect;

/** Newest first. */
export async function allowedImages(db: Database, runtime: RuntimeName): Promise<string[]> {
  const { image, allowedAt } = runtimeImages;
  const rows = await db
    .select({ image })
    .from(runtimeImages)
    .where(eq(runtimeImages.runtime, runtime))
    .orderBy(desc(allowedAt), image);
  return rows.map((row) => row.image);
}

/** What a new agent runs from, or why not. */
export async function imageFor(db: Database, runtime: RuntimeName, asked: string | undefined): Promise<Result<Image>> {
  return chooseImage(runtime, asked, await allowedImages(db, runtime));
}

export const wantImage = (db: Database, tenantId: string, image: Image): Statement =>
  db
    .insert(tenantImages)
    .values({ tenantId, image })
    // A new attempt: what was refused before is forgotten with it.
    .onConflictDoUpdate({ target: tenantImages.tenantId, set: { image, refused: null } });

/** What its host says that it runs from, which it may only say about what it was told. */
export const imageStatement = (db: Database, { tenantId, generation, image, refused }: TenantImage): Statement => {
  const said = { running: image, runningGeneration: generation, refused };
  return db
    .insert(tenantImages)
    .values({ tenantId, ...said })
    .onConflictDoUpdate({ target: tenantImages.tenantId, set: said });
};

/** A new generation that runs from another image; also again from one that was refused before. */
function upgradeStatements(
  { db, world, hosts }: UpgradeContext,
  row: TenantRow,
  { image, actor, step }: { image: Image; actor: string; step: string },
): Statement[] {
  const { id: tenantId, hostId, desired } = row;
  const [generation, at] = [row.generation + 1, world.now()];
  return [
    ...store.changeWanted(db, row, { desired, generation, restarts: row.restarts + 1, updatedAt: at }),
    wantImage(db, tenantId, image),
    store.insertOwnerEvent(db, { tenantId, generation, at, step }),
    store.insertAudit(db, {
      ...{ at, actor, action: "tenant.upgrade", subject: tenantId },
      detail: JSON.stringify({ generation, image }),
    }),
    hosts.announce({ hostId, tenantId, generation }),
  ];
}

export function createUpgrades(context: UpgradeContext) {
  const { db, world, hosts } = context;

  const candidatesOf = (runtime: RuntimeName) =>
    db
      .select({ tenant: tenants, images: tenantImages })
      .from(tenants)
      .leftJoin(tenantImages, eq(tenantImages.tenantId, tenants.id))
      .where(and(eq(tenants.runtime, runtime), isNull(tenants.purgedAt)))
      .orderBy(tenants.createdAt, tenants.id);

  async function end(rollout: Rollout, state: "done" | "stopped", detail: string | null): Promise<void> {
    await db
      .update(rollouts)
      .set({ state, detail, endedAt: world.now() })
      .where(and(eq(rollouts.id, rollout.id), eq(rollouts.state, "running")));
  }

  async function advance(rollout: Rollout): Promise<void> {
    const rows = await candidatesOf(rollout.runtime as RuntimeName);
    const agents = rows.map(({ tenant, images }) => ({
      ...{ tenantId: tenant.id, desired: tenant.desired },
      ...{ image: images?.image ?? null, running: images?.running ?? null, refused: images?.refused ?? null },
    }));
    const next = nextRolloutStep(rollout.image, rollout.batch, agents);
    switch (next.do) {
      case "wait":
        return;
      case "done":
        return end(rollout, "done", null);
      case "stop":
        return end(rollout, "stopped", next.detail);
      case "begin":
        for (const { tenant } of rows.filter(({ tenant: { id } }) => next.ids.includes(id))) {
          const to = { image: rollout.image, actor: "operator", step: "platform.upgrade" };
          try {
            await atomically(db, upgradeStatements(context, tenant, to));
            await hosts.deliver(tenant.id);
          } catch (error) {
            // Its owner was faster: the next turn looks again.
            if (!isGuardFailure(error)) throw error;
          }
        }
    }
  }

  return {
    /** Of an owner's own agent, as it was read for them. */
    async upgrade(row: TenantRow, asked: string | null | undefined, actor: string): Promise<Result<null>> {
      if (row.desired === "deleted") return refuse("tenant_deleting");
      const image = chooseImage(row.runtime, asked, await allowedImages(db, row.runtime));
      if (!image.ok) return image;
      await atomically(db, upgradeStatements(context, row, { image: image.value, actor, step: "owner.upgrade" }));
      return good(null);
    },

    async list() {
      const [images, all] = await db.batch([
        db.select().from(runtimeImages).orderBy(desc(runtimeImages.allowedAt)),
        db.select().from(rollouts).orderBy(desc(rollouts.startedAt)).limit(20),
      ]);
      return { images, rollouts: all };
    },

    /** Whoever runs from it already goes on; nobody new does. */
    async allow(runtime: RuntimeName, image: string, allowed: boolean): Promise<void> {
      const it = and(eq(runtimeImages.runtime, runtime), eq(runtimeImages.image, image));
      const at = world.now();
      await atomically(db, [
        allowed
          ? db.insert(runtimeImages).values({ runtime, image, allowedAt: at }).onConflictDoNothing()
          : db.delete(runtimeImages).where(it),
        store.insertAudit(db, {
          ...{ at, actor: "operator", action: allowed ? "image.allow" : "image.forbid", subject: runtime },
          detail: JSON.stringify({ image }),
        }),
      ]);
    },

    /** Begins at the next turn; another of the same runtime that is on its way ends. */
    async rollOut(runtime: RuntimeName, asked: string | null, batch: number): Promise<Result<{ id: string }>> {
      const image = chooseImage(runtime, asked, await allowedImages(db, runtime));
      if (!image.ok) return image;
      const [id, at] = [newId("rol"), world.now()];
      const replaced = { state: "stopped", detail: "Another one was begun.", endedAt: at } as const;
      await atomically(db, [
        db
          .update(rollouts)
          .set(replaced)
          .where(and(eq(rollouts.runtime, runtime), eq(rollouts.state, "running"))),
        db.insert(rollouts).values({ id, runtime, image: image.value, batch, state: "running", startedAt: at }),
        store.insertAudit(db, {
          ...{ at, actor: "operator", action: "rollout.begin", subject: runtime },
          detail: JSON.stringify({ image: image.value, batch }),
        }),
      ]);
      return good({ id });
    },

    async tick(): Promise<void> {
      for (const one of await db.select().from(rollouts).where(eq(rollouts.state, "running"))) await advance(one);
    },
  };
}
export type Upgrades = ReturnType<typeof createUpgrades>;
