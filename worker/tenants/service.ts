import type { Person } from "../accounts/index.ts";
import { endMove, lockOf } from "../data/index.ts";
import { atomically, retryingGuards, type Statement } from "../db.ts";
import { tenantHostnameOf, tenantOriginOf } from "../env.ts";
import { good, type Result, refuse } from "../problem.ts";
import { createVault, eraseTenant } from "../vault/service.ts";
import { creationIn } from "./create.ts";
import type { TenantServiceOptions } from "./ports.ts";
import { decideTransition, parseName, type TenantRow } from "./rules.ts";
import { samplesOf } from "./samples.ts";
import { createSecretService, type SecretService } from "./secrets.ts";
import * as store from "./store.ts";
import type { Background, TenantAction, TenantEvent, TenantService, TenantView } from "./types.ts";
import { beginDueDeletions, setWaiting } from "./undo.ts";
import { createUpgrades, type Upgrades } from "./upgrades.ts";
import { commandsViewOf, postureViewOf, tenantEventOf, tenantViewOf } from "./view.ts";

const MAX_EVENTS = 500;

export interface FullTenantService extends TenantService, SecretService {
  /** Both at once, for a stream that looks often. */
  follow(person: Person, id: string, after: number): Promise<Result<{ view: TenantView; events: TenantEvent[] }>>;
  /** Runs it from another image: the one that is asked for, or the newest. The one before it comes back where it fails. */
  upgrade(
    person: Person,
    id: string,
    image: string | null | undefined,
    background: Background,
  ): Promise<Result<TenantView>>;
  upgrades: Upgrades;
  /** Begins the deletions that can no longer be undone; goes on with rollouts. */
  tick(): Promise<void>;
}

export function createTenantService(options: TenantServiceOptions): FullTenantService {
  const { db, world, ring, origins, hosts } = options;
  const vault = createVault({ db, world, ring });
  const upgrades = createUpgrades({ db, world, hosts });
  const view = (record: store.TenantRecord): TenantView =>
    tenantViewOf(record, {
      hostname: tenantHostnameOf(origins, record.tenant.slug),
      url: tenantOriginOf(origins, record.tenant.slug),
    });

  /** What belongs to it may be asked for beside this, and is dropped where this refuses. */
  async function owned(person: Person, id: string): Promise<Result<store.TenantRecord>> {
    const record = await store.findOwned(db, person.id, id);
    return record && record.tenant.purgedAt === null ? good(record) : refuse("not_found");
  }

  /** Change, event, audit and outbox row: one transaction, or nothing. */
  function changeStatements(row: TenantRow, to: ReturnType<typeof changed>, person: Person, step: string): Statement[] {
    const { id: tenantId, hostId } = row;
    const { generation, updatedAt: at } = to;
    return [
      ...store.changeWanted(db, row, to),
      store.insertOwnerEvent(db, { tenantId, generation, at, step: `owner.${step}` }),
      store.insertAudit(db, {
        at,
        actor: person.id,
        action: `tenant.${step}`,
        subject: tenantId,
        detail: JSON.stringify({ generation }),
      }),
      hosts.announce({ hostId, tenantId, generation }),
    ];
  }
  /** What the owner deletes is unreadable from this moment on, whether its server can be reached or not. */
  const erased = (row: TenantRow, to: { desired: string; updatedAt: number }): Statement[] =>
    to.desired === "deleted" ? eraseTenant(db, row.id, to.updatedAt) : [];

  const changeAlong: Parameters<typeof createSecretService>[0]["changeAlong"] = ({ person, id, later, plan }) =>
    retryingGuards(async () => {
      const record = await owned(person, id);
      if (!record.ok) return record;
      const row = record.value.tenant;
      const transition = decideTransition(row, "secret_changed", undoOf(record.value));
      if (transition.kind === "refused") return refuse(transition.reason);
      if (transition.kind === "unchanged") throw new Error("a changed secret always makes a generation");
      const to = changed(transition.to);
      const planned = await plan(row, to.updatedAt);
      if (!planned.ok) return planned;
      const { value, statements } = planned.value;
      if (statements === null) return good(value);
      // The guard on the generation comes first: two versions of one secret cannot be written at once.
      await atomically(db, [...changeStatements(row, to, person, "secret"), ...statements]);
      later(hosts.deliver(id));
      return good(value);
    });
  const changed = (to: Extract<ReturnType<typeof decideTransition>, { kind: "change" }>["to"]) => ({
    ...to,
    updatedAt: world.now(),
  });
  const undoOf = ({ waiting, isMoving }: store.TenantRecord) => ({
    ...{ waiting, isMoving, nowMs: world.now(), windowMs: options.undoMs },
  });

  async function follow(person: Person, id: string, after: number) {
    const [record, rows] = await Promise.all([owned(person, id), store.eventsAfter(db, id, after, MAX_EVENTS)]);
    if (!record.ok) return record;
    return good({ view: view(record.value), events: rows.map(tenantEventOf) });
  }

  return {
    async list(person) {
      return (await store.listOwned(db, person.id)).map(view);
    },

    async nameFor(person, name) {
      const parsed = parseName(name);
      if (!parsed.ok) return parsed;
      const [taken, lock] = await Promise.all([
        store.isNameTaken(db, name),
        lockOf(db, { slug: name, ownerId: person.id, now: world.now() }),
      ]);
      return taken || lock.isLocked ? refuse("name_taken", { field: "name" }) : good(null);
    },

    async read(person, id) {
      const record = await owned(person, id);
      return record.ok ? good(view(record.value)) : record;
    },

    create: creationIn({ ...options, vault, view }),

    async act(person, id, action, later) {
      return retryingGuards(async () => {
        const record = await owned(person, id);
        if (!record.ok) return record;
        const row = record.value.tenant;
        const transition = decideTransition(row, action, undoOf(record.value));
        if (transition.kind === "refused") return refuse(transition.reason);
        if (transition.kind === "unchanged") return good(view(record.value));
        const to = changed(transition.to);
        const { waiting } = transition;
        const ended =
          waiting !== undefined ? [setWaiting(db, id, waiting)] : to.desired === "running" ? [endMove(db, id)] : [];
        const goodbye = to.desired === "deleted" ? await options.channels?.goodbye(id) : undefined;
        await atomically(db, [...changeStatements(row, to, person, action), ...erased(row, to), ...ended]);
        later(hosts.deliver(id));
        if (goodbye) later(goodbye());
        return good(view({ ...record.value, waiting: waiting ?? null, tenant: { ...row, ...to } }));
      });
    },

    async events(person, id, after) {
      const followed = await follow(person, id, after);
      return followed.ok ? good(followed.value.events) : followed;
    },

    async recent(person, id) {
      const [record, rows] = await Promise.all([owned(person, id), store.newestEvents(db, id, MAX_EVENTS)]);
      return record.ok ? good(rows.map(tenantEventOf)) : record;
    },

    follow,

    async upgrade(person, id, image, later) {
      const upgraded = await retryingGuards(async () => {
        const record = await owned(person, id);
        if (!record.ok) return record;
        if (record.value.waiting) return refuse("tenant_deleting");
        return upgrades.upgrade(record.value.tenant, image, person.id);
      });
      if (!upgraded.ok) return upgraded;
      later(hosts.deliver(id));
      const record = await owned(person, id);
      return record.ok ? good(view(record.value)) : record;
    },

    upgrades,

    async tick() {
      await beginDueDeletions(db, hosts, world.now());
      await upgrades.tick();
    },

    regions: hosts.regions,

    ...createSecretService({ db, world, vault, owned, changeAlong }),

    async samples(person, id) {
      const [record, samples] = await Promise.all([owned(person, id), samplesOf(db, id, world.now())]);
      return record.ok ? good(samples) : record;
    },

    async commands(person, id) {
      const record = await owned(person, id);
      return record.ok ? good(commandsViewOf(await hosts.ledgerOf(id))) : record;
    },

    async posture(person, id) {
      const [record, posture] = await Promise.all([owned(person, id), store.postureOf(db, id)]);
      return record.ok ? good(postureViewOf(posture)) : record;
    },
  };
}

export { agentsOf, settle } from "./allowance.ts";
export type { AllowancePort, HostsPort } from "./ports.ts";
export { retryFailed } from "./retry.ts";
export { forgetSamples, sampleStatements } from "./samples.ts";
export type { SecretService } from "./secrets.ts";
export { deletion } from "./undo.ts";
export { imageStatement } from "./upgrades.ts";
export type { TenantAction, TenantEvent, TenantService, TenantView };
