import type { CryptoKey } from "jose";
import type { DeletionStep, TenantSpec } from "../../schema/protocol/index.ts";
import type { TenantRecord } from "../journal-records.ts";
import type { StepNote } from "../journal-tenants.ts";
import { orAborted } from "../waiting.ts";
import { type Tenant, type TenantLayout, tenantLayout } from "./layout.ts";
import {
  type Containers,
  type Copies,
  type Firewall,
  type Images,
  type Routes,
  type Runtimes,
  SlotBlockedError,
  StepError,
  type Volumes,
} from "./ports.ts";
import type { ChainStep } from "./rules.ts";
import { openSealed } from "./sealed.ts";
import type { Upgrades } from "./upgrades.ts";
import { afterCall, requireFirewall } from "./walls.ts";

export interface Ports {
  volumes: Volumes;
  firewall: Firewall;
  containers: Containers;
  runtimes: Runtimes;
  images: Images;
  routes: Routes;
  copies: Copies;
}

export interface StepsOptions {
  ports: Ports;
  /** Gives UID and slot, once, or another slot; null when the pool is used up. */
  place: (tenantId: string, elsewhere?: boolean) => { uid: number; slot: number } | null;
  sealingKey: CryptoKey;
  /** Makes its data what its owner asked for. */
  restore: (tenant: Tenant, key: string | null) => Promise<void>;
  upgrades: Pick<Upgrades, "imageOf" | "snapshot" | "undo" | "ready">;
  /** Whether what is being removed lives on another host. */
  isMoved: (tenantId: string) => boolean;
  /** Signs that nothing is left of a tenant. */
  testify: (record: TenantRecord, proofs: readonly DeletionStep[]) => Promise<string>;
  pool: string;
  stateDir: string;
  runDir: string;
}

/** One walk along one chain. `record` is as the walk began; the numbers may be given during it. */
export interface StepContext {
  record: TenantRecord;
  signal: AbortSignal;
  progress: (note: Pick<StepNote, "fraction" | "detail">) => void;
  /** What the steps of this walk have found when they looked. */
  proofs?: readonly DeletionStep[];
}

/** A step of a deletion says what it has looked at; `forget` signs all of it. */
// biome-ignore lint/suspicious/noConfusingVoidType: most steps have nothing to say.
export type Steps = Readonly<Record<ChainStep, (context: StepContext) => Promise<string | void>>>;

/** What each step does with this host. All of them converge; none of them records anything. */
export function createSteps({
  ports,
  place,
  sealingKey,
  restore,
  upgrades,
  isMoved,
  testify,
  pool,
  stateDir,
  runDir,
}: StepsOptions): Steps {
  const { volumes, containers, runtimes, images, routes, copies } = ports;
  const firewallStands = afterCall(() => requireFirewall(ports.firewall));

  const tenantOf = (record: TenantRecord): Tenant => {
    const { spec, layout } = placedTenant(record, { pool, stateDir, runDir });
    return { spec: { ...spec, image: upgrades.imageOf(record) ?? undefined }, layout };
  };

  const layoutOf = ({ id, uid, slot }: TenantRecord): TenantLayout | null =>
    uid === null || slot === null ? null : tenantLayout({ tenantId: id, uid, slot, pool, stateDir, runDir });

  /** For what lies under the tenant's id alone: a journal that was lost knows no numbers, and the data must go. */
  const pathsOf = (record: TenantRecord): TenantLayout =>
    layoutOf(record) ?? tenantLayout({ tenantId: record.id, uid: 0, slot: 0, pool, stateDir, runDir });

  async function writeEnv(record: TenantRecord, tenant: Tenant): Promise<void> {
    await runtimes.writeEnv(tenant, (await openSealed(record, sealingKey)).env);
  }

  return {
    image({ record, signal, progress }) {
      const { runtime } = specOf(record);
      return orAborted(images.ensure(runtime, progress, upgrades.imageOf(record) ?? undefined), signal);
    },
    firewall: () => firewallStands(),

    async uid({ record }) {
      const placed = place(record.id);
      if (!placed) throw new StepError("This server has no room for another agent.", { retryable: false });
      // The record is this walk's own copy; the steps after this one lay everything out from its numbers.
      Object.assign(record, placed);
    },
    async volume({ record }) {
      const { spec, layout } = tenantOf(record);
      const { volumeKey = null } = await openSealed(record, sealingKey);
      await restore({ spec, layout }, volumeKey);
      await upgrades.undo(record, { spec, layout });
      await volumes.open(layout, { diskMiB: spec.limits.diskMiB, key: volumeKey });
    },
    async network({ record }) {
      try {
        await containers.ensureNetwork(tenantOf(record).layout);
      } catch (error) {
        // The steps beside this one were laid out by the old slot: the next walk takes all of them again.
        if (error instanceof SlotBlockedError) place(record.id, true);
        throw error;
      }
    },
    config: ({ record }) => runtimes.writeConfig(tenantOf(record)),

    async container({ record }) {
      const tenant = tenantOf(record);
      const found = await containers.find(record.id);
      // By somebody else, or by a journal that was lost.
      if (found?.paused) await containers.unpause(record.id);
      const wanted = found?.running === true && found.restarts === record.restarts;
      // Who is held waits on: it is what they wait for.
      if (!wanted && !routes.isHeld(tenant.spec.hostname)) routes.remove(tenant.spec.hostname);
      // Gracefully: making it again would kill it.
      if (found?.running && !wanted) {
        await containers.stop(record.id, runtimes.stopTimeoutSeconds(tenant.spec.runtime));
      }
      await upgrades.snapshot(record, tenant);
      // Before the container is made, since these directories are sources of its mounts.
      await volumes.ensureMountPoint(tenant.layout);
      if (!wanted) await writeEnv(record, tenant);
      const created = await containers.ensureCreated(tenant, record.restarts);
      if (wanted && !created.running) await writeEnv(record, tenant);
    },
    async health({ record, signal }) {
      const tenant = tenantOf(record);
      try {
        const pid = await containers.start(tenant);
        // Started before its volume was opened again: what it holds of it is dead.
        if (pid !== null && !(await volumes.isOpenIn(tenant.layout, pid))) {
          if (!routes.isHeld(tenant.spec.hostname)) routes.remove(tenant.spec.hostname);
          await containers.stop(record.id, runtimes.stopTimeoutSeconds(tenant.spec.runtime));
          await writeEnv(record, tenant);
          await containers.start(tenant);
        }
        await orAborted(runtimes.untilReady(tenant, signal), signal);
        upgrades.ready(record);
      } finally {
        // Ready or dead, the entrypoint has read it.
        await runtimes.clearEnv(tenant.layout);
      }
    },
    async route({ record }) {
      const tenant = tenantOf(record);
      const { hostname, limits } = tenant.spec;
      const { requestsPerMinute, openConnections } = limits;
      const upstream = runtimes.upstream(tenant);
      const closed = runtimes.closed(tenant.spec.runtime);
      const channels = runtimes.channels(tenant);
      routes.set(hostname, { tenantId: record.id, upstream, requestsPerMinute, openConnections, closed, channels });
    },

    async unroute({ record }) {
      if (record.spec) routes.remove(record.spec.hostname);
    },
    async stop({ record }) {
      if (record.spec) await containers.stop(record.id, runtimes.stopTimeoutSeconds(record.spec.runtime));
      await runtimes.clearEnv(pathsOf(record));
    },
    async remove_container({ record }) {
      await containers.remove(record.id);
      if (await containers.find(record.id)) throw new Error(`the container of ${record.id} is still there`);
      await volumes.close(pathsOf(record));
      return "the engine knows no container of it";
    },
    async remove_network({ record }) {
      const layout = layoutOf(record);
      if (!layout) return "this server never gave it a network";
      await containers.removeNetwork(layout);
      if (await containers.hasNetwork(layout)) {
        throw new StepError("The agent's network could not be removed.", { retryable: true, log: layout.network });
      }
      return "the engine knows no network of it, and the kernel no bridge; the walls name no single agent";
    },
    async remove_volume({ record }) {
      const paths = pathsOf(record);
      const seen = await volumes.destroy(paths);
      await runtimes.removeConfig(paths);
      return `${seen}; its key was only in the journal, which has overwritten it`;
    },
    remove_copies: async ({ record }) =>
      isMoved(record.id) ? "its copies belong to the server where it lives now" : copies.destroy(record.id),
    /** The tombstone is written by the journal together with the record of this step. */
    forget: ({ record, proofs = [] }) => testify(record, proofs),
  };
}

function specOf({ id, spec }: TenantRecord): TenantSpec {
  if (!spec) throw new Error(`${id} has no spec`);
  return spec;
}

/** A tenant that has its numbers. */
export function placedTenant(record: TenantRecord, places: Pick<StepsOptions, "pool" | "stateDir" | "runDir">): Tenant {
  const { id, uid, slot } = record;
  if (uid === null || slot === null) throw new Error(`${id} has no place`);
  return { spec: specOf(record), layout: tenantLayout({ tenantId: id, uid, slot, ...places }) };
}
