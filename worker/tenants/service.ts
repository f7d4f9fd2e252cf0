import { newId, type RuntimeName } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import { freshVolumeKey, isOwners } from "../data/rules.ts";
import { atomically, type Database, isGuardFailure, isUniqueViolation, retryingGuards, type Statement } from "../db.ts";
import { type TenantOrigins, tenantHostnameOf, tenantOriginOf } from "../env.ts";
import { good, type Result, refuse } from "../problem.ts";
import { describeRefusal, type Keyring, parseSecret, type Secret, sealSecret } from "../vault/index.ts";
import { decideTransition, parseNewTenant, type TenantRow } from "./rules.ts";
import * as store from "./store.ts";
import type {
  Background,
  PostureView,
  SecretView,
  TenantAction,
  TenantEvent,
  TenantService,
  TenantView,
} from "./types.ts";
import { postureViewOf, tenantEventOf, tenantViewOf } from "./view.ts";

const MAX_EVENTS = 500;

/** What this room needs of the hosts' room. */
export interface HostsPort {
  /** A host with room for one more, or null. */
  place(runtime: RuntimeName, plan: string): Promise<string | null>;
  /** Fails the transaction when the host has become too full meanwhile. */
  insistRoom(hostId: string): Statement;
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

export interface TenantServiceOptions {
  db: Database;
  world: World;
  ring: Keyring;
  origins: TenantOrigins;
  /** No plan lifts this. */
  maxTenantsPerOwner: number;
  hosts: HostsPort;
  billing: AllowancePort;
}

export interface FullTenantService extends TenantService {
  /** Both at once, for a stream that looks often. */
  follow(person: Person, id: string, after: number): Promise<Result<{ view: TenantView; events: TenantEvent[] }>>;
  putSecret(person: Person, id: string, name: string, value: string, later: Background): Promise<Result<SecretView>>;
  secrets(person: Person, id: string): Promise<Result<SecretView[]>>;
  /** What its server last found when it attacked its own walls; null before the first time. */
  posture(person: Person, id: string): Promise<Result<PostureView | null>>;
}

export function createTenantService(options: TenantServiceOptions): FullTenantService {
  const { db, world, ring, origins, hosts } = options;
  const view = (record: store.TenantRecord): TenantView =>
    tenantViewOf(record, {
      hostname: tenantHostnameOf(origins, record.tenant.slug),
      url: tenantOriginOf(origins, record.tenant.slug),
    });

  async function owned(person: Person, id: string): Promise<Result<store.TenantRecord>> {
    const record = await store.findOwned(db, person.id, id);
    return record && record.tenant.purgedAt === null ? good(record) : refuse("not_found");
  }

  async function sealed(tenantId: string, name: string, secret: Secret, version: number, person: Person, now: number) {
    const envelope = await sealSecret(secret, { tenantId, name, version }, { ring, random: world.random });
    const row: store.SecretRow = {
      tenantId,
      name,
      version,
      ...envelope,
      keyCommitment: null,
      deliveredAt: null,
      lastFour: secret.lastFour(),
      createdAt: now,
      createdBy: person.id,
    };
    return row;
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
  const changed = (to: Pick<TenantRow, "desired" | "generation" | "restarts">) => ({ ...to, updatedAt: world.now() });

  async function follow(person: Person, id: string, after: number) {
    const [record, rows] = await Promise.all([owned(person, id), store.eventsAfter(db, id, after, MAX_EVENTS)]);
    if (!record.ok) return record;
    return good({ view: view(record.value), events: rows.map(tenantEventOf) });
  }

  return {
    async list(person) {
      return (await store.listOwned(db, person.id)).map(view);
    },

    async read(person, id) {
      const record = await owned(person, id);
      return record.ok ? good(view(record.value)) : record;
    },

    async create(person, input, later) {
      const parsed = parseNewTenant(input);
      if (!parsed.ok) return parsed;
      const { slug, runtime } = parsed.value;
      const id = newId("tnt");

      const attempt = async (): Promise<Result<TenantView>> => {
        const [{ plan, tenants, still }, owned] = await Promise.all([
          options.billing.allowanceOf(person.id),
          store.countOwned(db, person.id),
        ]);
        if (tenants === 0) return refuse("payment_required");
        const max = Math.min(tenants, options.maxTenantsPerOwner);
        if (owned >= max) return refuse("too_many_tenants");
        const hostId = await hosts.place(runtime, plan);
        if (!hostId) return refuse("no_capacity");
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
        const secretRows = await Promise.all(
          [...parsed.value.secrets, freshVolumeKey(world.random)].map(({ name, secret }) =>
            sealed(id, name, secret, 1, person, now),
          ),
        );
        const detail = JSON.stringify({ slug, runtime, hostId, secrets: secretRows.filter(isOwners).map(({ name }) => name) });
        await atomically(db, [
          store.insertTenant(db, row),
          hosts.insistRoom(hostId),
          store.insistOwnerHasRoom(db, person.id, max),
          ...still,
          ...secretRows.map((secret) => store.putSecret(db, secret)),
          store.insertOwnerEvent(db, { tenantId: id, generation: 1, at: now, step: "owner.create" }),
          store.insertAudit(db, { at: now, actor: person.id, action: "tenant.create", subject: id, detail }),
          hosts.announce({ hostId, tenantId: id, generation: 1 }),
        ]);
        const record = await store.findOwned(db, person.id, id);
        return record ? good(view(record)) : refuse("internal");
      };

      try {
        const created = await retryingGuards(attempt);
        if (created.ok) later(hosts.deliver(id));
        return created;
      } catch (error) {
        // The index, not a look beforehand, decides between two who want the same name at once.
        if (isUniqueViolation(error, "tenants.slug")) return refuse("name_taken", { field: "name" });
        if (isGuardFailure(error)) return refuse("no_capacity");
        throw error;
      }
    },

    async act(person, id, action, later) {
      return retryingGuards(async () => {
        const record = await owned(person, id);
        if (!record.ok) return record;
        const row = record.value.tenant;
        const transition = decideTransition(row, action);
        if (transition.kind === "refused") return refuse(transition.reason);
        if (transition.kind === "unchanged") return good(view(record.value));
        const to = changed(transition.to);
        await atomically(db, changeStatements(row, to, person, action));
        later(hosts.deliver(id));
        return good(view({ ...record.value, tenant: { ...row, ...to } }));
      });
    },

    async events(person, id, after) {
      const followed = await follow(person, id, after);
      return followed.ok ? good(followed.value.events) : followed;
    },

    follow,

    async putSecret(person, id, name, value, later) {
      const parsed = parseSecret(name, value);
      if (!parsed.ok) return refuse("invalid_secret", { field: "value", detail: describeRefusal(parsed.refusal) });
      return retryingGuards(async () => {
        const record = await owned(person, id);
        if (!record.ok) return record;
        const row = record.value.tenant;
        const transition = decideTransition(row, "secret_changed");
        if (transition.kind === "refused") return refuse(transition.reason);
        if (transition.kind === "unchanged") throw new Error("a changed secret always makes a generation");
        const to = changed(transition.to);
        const known = (await store.listSecrets(db, id)).find((secret) => secret.name === name);
        const secret = await sealed(id, name, parsed.secret, (known?.version ?? 0) + 1, person, to.updatedAt);
        // The guard on the generation comes first: two versions of one secret cannot be written at once.
        await atomically(db, [...changeStatements(row, to, person, "secret"), store.putSecret(db, secret)]);
        later(hosts.deliver(id));
        return good(secretViewOf(secret));
      });
    },

    async secrets(person, id) {
      const record = await owned(person, id);
      return record.ok ? good((await store.listSecrets(db, id)).filter(isOwners).map(secretViewOf)) : record;
    },

    async posture(person, id) {
      const record = await owned(person, id);
      return record.ok ? good(postureViewOf(await store.postureOf(db, record.value.tenant.hostId))) : record;
    },
  };
}

const secretViewOf = (row: Pick<store.SecretRow, "name" | "version" | "lastFour" | "createdAt" | "createdBy">) => ({
  name: row.name,
  version: row.version,
  lastFour: row.lastFour,
  changedAt: new Date(row.createdAt).toISOString(),
  changedBy: row.createdBy,
});

export { agentsOf, settle } from "./allowance.ts";
export type { TenantAction, TenantEvent, TenantService, TenantView };
