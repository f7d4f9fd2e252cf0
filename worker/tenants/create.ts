import { newId } from "../../schema/protocol/index.ts";
import { lockOf } from "../data/index.ts";
import { freshVolumeKey } from "../data/rules.ts";
import { atomically, isGuardFailure, isUniqueViolation, retryingGuards } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { isOwnersName } from "../vault/rules.ts";
import type { createVault } from "../vault/service.ts";
import type { TenantServiceOptions } from "./ports.ts";
import { parseNewTenant, type TenantRow } from "./rules.ts";
import * as store from "./store.ts";
import type { TenantService, TenantView } from "./types.ts";
import { imageFor, wantImage } from "./upgrades.ts";

/** Many for a person, few for a program that makes and deletes agents to take their names. */
const CREATIONS = { max: 100, windowSeconds: 24 * 3_600 };

export interface CreationOptions extends TenantServiceOptions {
  vault: ReturnType<typeof createVault>;
  view(record: store.TenantRecord): TenantView;
}

/** An agent is there, with its keys, its place and the word to its host, or nothing of it is. */
export function creationIn(options: CreationOptions): TenantService["create"] {
  const { db, world, hosts, vault, view } = options;
  return async (person, input, later, id = newId("tnt")) => {
    const parsed = parseNewTenant(input);
    if (!parsed.ok) return parsed;
    const { slug, runtime, region } = parsed.value;
    const image = await imageFor(db, runtime, parsed.value.image);
    if (!image.ok) return image;
    const noRoom = async () => {
      await hosts.sentAway({ runtime, region });
      return refuse("no_capacity");
    };

    const attempt = async (): Promise<Result<TenantView>> => {
      const [{ plan, tenants, still }, owned, lock] = await Promise.all([
        options.billing.allowanceOf(person.id),
        store.countOwned(db, person.id),
        lockOf(db, { slug, ownerId: person.id, now: world.now() }),
      ]);
      if (lock.isLocked) return refuse("name_taken", { field: "name" });
      if (tenants === 0) return refuse("payment_required");
      const living = Math.min(tenants, options.maxTenantsPerOwner);
      // As many again may be on their way out: a server that is away keeps nobody from beginning anew, nor can a loop of
      // making and deleting fill it.
      const max = { living, all: 2 * living };
      if (owned.living >= max.living) return refuse("too_many_tenants");
      if (owned.all >= max.all) {
        return refuse("too_many_tenants", { detail: "Wait until the deletion of the others has ended." });
      }
      const wish = { runtime, plan, region };
      const hostId = await hosts.place(wish);
      if (!hostId) {
        const regions = await hosts.regions();
        if (region === null || regions.includes(region)) return noRoom();
        return refuse("unknown_region", { field: "region", detail: `Choose one of: ${regions.join(", ")}.` });
      }
      const now = world.now();
      const row: TenantRow = {
        id,
        ownerId: person.id,
        slug,
        runtime,
        plan,
        hostId,
        desired: "running",
        heldFrom: null,
        generation: 1,
        restarts: 0,
        observed: "pending",
        observedGeneration: 0,
        failure: null,
        createdAt: now,
        updatedAt: now,
        purgedAt: null,
      };
      const values = [...parsed.value.secrets, freshVolumeKey(world.random)].map((one) => ({ ...one, version: 1 }));
      const sealed = await vault.sealFirst({ tenantId: id, by: person.id, at: now, values });
      const names = values.map(({ name }) => name).filter(isOwnersName);
      const detail = JSON.stringify({ slug, runtime, hostId, secrets: names });
      await atomically(db, [
        store.insertTenant(db, row),
        ...(image.value === null ? [] : [wantImage(db, id, image.value)]),
        ...hosts.takeRoom(hostId, wish),
        store.insistOwnerHasRoom(db, person.id, max),
        ...still,
        // Its former owner's deletion may have ended since the look above.
        lock.insistFree,
        ...sealed.statements,
        store.insertOwnerEvent(db, { tenantId: id, generation: 1, at: now, step: "owner.create" }),
        store.insertAudit(db, { at: now, actor: person.id, action: "tenant.create", subject: id, detail }),
        ...names.map((name) =>
          store.insertAudit(db, {
            ...{ at: now, actor: person.id, action: "secret.write", subject: id },
            detail: JSON.stringify({ name, version: 1 }),
          }),
        ),
        hosts.announce({ hostId, tenantId: id, generation: 1 }),
      ]);
      const record = await store.findOwned(db, person.id, id);
      return record ? good(view(record)) : refuse("internal");
    };

    const waitSeconds = await options.limits?.take([[{ key: `create ${person.id}`, ...CREATIONS }]]);
    if (waitSeconds) return refuse("rate_limited", { retryAfterSeconds: waitSeconds });
    try {
      const created = await retryingGuards(attempt);
      if (created.ok) later(hosts.deliver(id));
      return created;
    } catch (error) {
      // The index, not a look beforehand, decides between two who want the same name at once.
      if (isUniqueViolation(error, "tenants.slug")) return refuse("name_taken", { field: "name" });
      if (isGuardFailure(error)) return noRoom();
      throw error;
    }
  };
}
