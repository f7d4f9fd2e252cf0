import { newId, type RuntimeName } from "../../schema/protocol/index.ts";
import type { Limits, Person } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import { endMove, lockOf } from "../data/index.ts";
import { freshVolumeKey } from "../data/rules.ts";
import { atomically, type Database, isGuardFailure, isUniqueViolation, retryingGuards, type Statement } from "../db.ts";
import { type TenantOrigins, tenantHostnameOf, tenantOriginOf } from "../env.ts";
import { good, type Result, refuse } from "../problem.ts";
import { isOwnersName, type Keyring } from "../vault/rules.ts";
import { createVault, eraseTenant } from "../vault/service.ts";
import { decideTransition, parseName, parseNewTenant, type TenantRow } from "./rules.ts";
import { samplesOf } from "./samples.ts";
import { createSecretService, type SecretService } from "./secrets.ts";
import * as store from "./store.ts";
import type { Background, TenantAction, TenantEvent, TenantService, TenantView } from "./types.ts";
import { beginDueDeletions, setWaiting } from "./undo.ts";
import { createUpgrades, imageFor, type Upgrades, wantImage } from "./upgrades.ts";
import { commandsViewOf, postureViewOf, tenantEventOf, tenantViewOf } from "./view.ts";

const MAX_EVENTS = 500;

type Ledger = Parameters<typeof commandsViewOf>[0];

interface Wish {
  runtime: RuntimeName;
  plan: string;
  /** Null: wherever there is room. */
  region: string | null;
}

/** Many for a person, few for a program that makes and deletes agents to take their names. */
const CREATIONS = { max: 100, windowSeconds: 24 * 3_600 };

/** What this room needs of the hosts' room. */
export interface HostsPort {
  /** A host with room for one more, or null. */
  place(wish: Wish): Promise<string | null>;
  /** Fails the transaction when the host has become too full meanwhile. */
  takeRoom(hostId: string, wish: Wish): Statement[];
  /** Who of these cannot have this plan where they are, by id; see the hosts' room. */
  crowded(rows: readonly TenantRow[], plan: string): Promise<ReadonlySet<string>>;
  /** Fails the transaction when there is no room any more for those who grow. */
  keepPromises(rows: readonly TenantRow[], plan: string): Statement[];
  /** Tells the operator that there was no place. */
  sentAway(wish: Pick<Wish, "runtime" | "region">): Promise<void>;
  /** What the hosts of a tenant have accepted about it. */
  ledgerOf(tenantId: string): Promise<Ledger>;
  /** Where there are hosts that take agents. */
  regions(): Promise<string[]>;
  /** The outbox row. */
  announce(row: { hostId: string; tenantId: string; generation: number }): Statement;
  /** Brings the newest word about a tenant to its host; the outbox repeats what fails. */
  deliver(tenantId: string): Promise<void>;
}

/** What this room needs of the billing room. */
export interface AllowancePort {
  /** What an account gives its agents now. `still` fails the transaction when that has changed since. */
  allowanceOf(ownerId: string): Promise<{ plan: string; tenants: number; still: Statement[] }>;
}

/** What this room needs of the inbox. */
export interface ChannelsPort {
  /** While its keys are still there: what tells its bot, once they are not, that nobody listens any more. */
  goodbye(tenantId: string): Promise<() => Promise<unknown>>;
}

export interface TenantServiceOptions {
  db: Database;
  world: World;
  ring: Keyring;
  origins: TenantOrigins;
  /** No plan lifts this. */
  maxTenantsPerOwner: number;
  /** Null: nobody counts how often. */
  limits: Pick<Limits, "take"> | null;
  /** For how long a deletion can be taken back; 0: it begins at once. */
  undoMs: number;
  hosts: HostsPort;
  billing: AllowancePort;
  channels?: ChannelsPort;
}

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

    async create(person, input, later, id = newId("tnt")) {
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
    },

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
export { retryFailed } from "./retry.ts";
export { forgetSamples, sampleStatements } from "./samples.ts";
export type { SecretService } from "./secrets.ts";
export { deletion } from "./undo.ts";
export { imageStatement } from "./upgrades.ts";
export type { TenantAction, TenantEvent, TenantService, TenantView };
