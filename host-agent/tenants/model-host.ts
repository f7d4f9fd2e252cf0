import { basename } from "node:path";
import { type Tenant, tenantLayout } from "./layout.ts";
import { type ContainerFacts, type EngineListener, type Route, SlotBlockedError, StepError } from "./ports.ts";
import type { Ports } from "./steps.ts";

/** Out of a port: from here on the process that made this call does nothing any more. */
export class KillError extends Error {}

/**
 * A host in memory with the semantics that matter of a real one: names are unique, a network cannot be made twice or
 * removed under a container, a container starts only with its mounts and its environment in place. It outlives the
 * agents that work on it, like the real one.
 */
export function createModelHost() {
  const networks = new Set<string>();
  const containers = new Map<string, ContainerFacts & { network: string; starts: number; instance: number }>();
  const volumes = new Map<string, { uid: number; open: boolean; instance: number }>();
  const mounts = new Set<string>();
  const configs = new Set<string>();
  const envs = new Map<string, Record<string, string>>();
  const images = new Set<string>();
  const listeners = new Set<EngineListener>();
  const host = {
    networks,
    containers,
    volumes,
    configs,
    envs,
    images,
    routes: new Map<string, Route>(),
    firewall: { differences: [] as string[], repairable: true },
    /** What a start does: ready, or dead on arrival. */
    onStart: (_tenantId: string, _image?: string): "ready" | "dies" | "hangs" => "ready",
    /** Data that was kept, and data that was brought back, by tenant. */
    snapshots: [] as string[],
    restored: [] as string[],
    startedEnv: new Map<string, Record<string, string>>(),
    violations: [] as string[],
    /** Networks of which the engine keeps a half. */
    halves: new Set<string>(),

    /** The process ends by itself. */
    crash(tenantId: string, exitCode = 1): void {
      const container = containers.get(tenantId);
      if (!container?.running) return;
      Object.assign(container, { running: false, exitCode });
      for (const { died } of listeners) died(tenantId);
    },
    /** The engine was away, and answers again. */
    engineBack(): void {
      for (const { back } of listeners) back();
    },
    /** The agent's process is gone: its gate and its event stream with it. */
    forgetProcess(): void {
      host.routes = new Map();
      listeners.clear();
    },
  };

  const planHash = ({ spec, layout }: Tenant, restarts: number) =>
    JSON.stringify([spec.limits, spec.runtime, spec.image, layout.uid, layout.address, restarts]);
  const need = (condition: boolean, what: string) => {
    if (!condition) throw new StepError("The model host refuses.", { retryable: true, log: what });
  };

  /** The ports of one agent process. `before` and `after` are called around every call, and may throw. */
  function ports(before: (call: string) => void, after: (call: string) => void): Ports {
    const raw: Ports = {
      volumes: {
        ensureMountPoint: async ({ tenantId }) => void mounts.add(tenantId),
        isOpenIn: async ({ tenantId }) => {
          const volume = volumes.get(tenantId);
          return volume?.open === true && volume.instance === containers.get(tenantId)?.instance;
        },
        async open(layout) {
          const known = volumes.get(layout.tenantId);
          if (known && known.uid !== layout.uid) host.violations.push(`volume of ${layout.tenantId} changed its UID`);
          mounts.add(layout.tenantId);
          const instance = known?.open ? known.instance : (known?.instance ?? 0) + 1;
          volumes.set(layout.tenantId, { uid: layout.uid, open: true, instance });
        },
        async close(layout) {
          const volume = volumes.get(layout.tenantId);
          need(!containers.get(layout.tenantId)?.running, "volume in use");
          if (volume) volume.open = false;
        },
        async destroy(layout) {
          need(!containers.has(layout.tenantId), "volume in use");
          volumes.delete(layout.tenantId);
          mounts.delete(layout.tenantId);
          return "no volume in the model";
        },
        usage: async () => new Map(),
        snapshots: {
          list: async () => [],
          take: async ({ volumeDir }) => void host.snapshots.push(basename(volumeDir)),
          thin: async () => {},
          frozen: async (_, work) => work(""),
          hasLive: async ({ volumeDir }) => volumes.has(basename(volumeDir)),
          async restore({ volumeDir }, { makeWay }) {
            await makeWay();
            need(!containers.get(basename(volumeDir))?.running, "volume in use");
            host.restored.push(basename(volumeDir));
          },
          receive: async (_, { makeWay }) => makeWay(),
          settle: async () => {},
        },
        recount: async () => false,
        restrain: async () => {},
        disk: async () => null,
        freeze: async () => {},
      },
      firewall: {
        async apply() {
          if (host.firewall.repairable) host.firewall.differences = [];
        },
        verify: async () => host.firewall.differences,
      },
      containers: {
        async ensureNetwork({ network }) {
          if (host.halves.has(network)) throw new SlotBlockedError(`${network} conflicts with a half of itself`);
          networks.add(network);
        },
        async removeNetwork({ network }) {
          need(![...containers.values()].some((one) => one.network === network), "network in use");
          networks.delete(network);
        },
        hasNetwork: async ({ network }) => networks.has(network),
        find: async (tenantId) => structuredClone(containers.get(tenantId) ?? null),
        list: async () => structuredClone([...containers.values()]),
        async ensureCreated(tenant, restarts) {
          const { id } = tenant.spec;
          const wanted = planHash(tenant, restarts);
          const found = containers.get(id);
          if (found?.planHash === wanted) return structuredClone(found);
          if (found?.running) host.violations.push(`running container of ${id} was killed instead of stopped`);
          containers.delete(id);
          need(mounts.has(id), "no such mount: data");
          need(configs.has(id), "no such mount: config");
          need(envs.has(id) || host.startedEnv.has(id), "no such mount: env");
          need(images.has(tenant.spec.runtime), "no such image");
          const made = { tenantId: id, containerId: `${id}-${restarts}`, running: false, exitCode: null };
          const more = { oomKilled: false, startedAt: "", planHash: wanted, restarts, starts: 0, instance: 0 };
          containers.set(id, { ...made, ...more, network: tenant.layout.network });
          return structuredClone(containers.get(id) as ContainerFacts);
        },
        async start({ spec }) {
          const container = containers.get(spec.id);
          need(container !== undefined, "no such container");
          if (!container || container.running) return container?.running ? 1 : null;
          need(networks.has(container.network), "no such network");
          const env = envs.get(spec.id);
          need(env !== undefined, "no environment");
          if (host.firewall.differences.length > 0) host.violations.push(`${spec.id} started without walls`);
          host.startedEnv.set(spec.id, env ?? {});
          const volume = volumes.get(spec.id);
          if (!volume?.open) host.violations.push(`${spec.id} started without its volume`);
          const { instance } = volume ?? { instance: 0 };
          Object.assign(container, { running: true, exitCode: null, starts: container.starts + 1, instance });
          if (host.onStart(spec.id, spec.image) === "dies") host.crash(spec.id);
          return null;
        },
        async stop(tenantId) {
          const container = containers.get(tenantId);
          if (!container?.running) return;
          Object.assign(container, { running: false, exitCode: 0 });
          for (const { died } of listeners) died(tenantId);
        },
        pause: async () => {},
        unpause: async () => {},
        vitals: async () => null,
        async remove(tenantId) {
          containers.delete(tenantId);
        },
        ping: async () => {},
        versions: async () => ({ docker: "model" }),
        watch(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      runtimes: {
        async writeConfig({ spec }) {
          configs.add(spec.id);
        },
        hasConfig: async ({ spec }) => configs.has(spec.id),
        async writeEnv({ spec }, env) {
          envs.set(spec.id, { ...env });
        },
        async clearEnv({ tenantId }) {
          envs.delete(tenantId);
        },
        async removeConfig({ tenantId }) {
          configs.delete(tenantId);
          envs.delete(tenantId);
        },
        async untilReady({ spec }, signal) {
          const hang = host.onStart(spec.id, spec.image) === "hangs";
          if (hang) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
          need(containers.get(spec.id)?.running === true, "it ended before it was ready");
        },
        upstream: ({ layout }) => `${layout.address}:8080`,
        closed: () => undefined,
        channels: () => undefined,
        answer: async () => null,
        port: () => 8080,
        busy: async () => null,
        nextRunMs: async () => null,
        status: async () => null,
        stopTimeoutSeconds: () => 1,
      },
      images: {
        state: (runtime) => ({ runtime, state: images.has(runtime) ? "ready" : "absent" }),
        async ensure(runtime, onProgress) {
          if (!images.has(runtime)) onProgress({ fraction: 0.5, detail: "building" });
          images.add(runtime);
        },
      },
      copies: {
        isThere: false,
        send: async () => ({ bytes: 0 }),
        fetch: async () => {},
        list: async () => [],
        destroy: async () => "no copies in the model",
      },
      routes: {
        set: (hostname, route) => void host.routes.set(hostname, route),
        remove: (hostname) => void host.routes.delete(hostname),
        fail: (hostname) => void host.routes.delete(hostname),
        hold: () => {},
        isHeld: () => false,
        tell: () => {},
        waiting: () => 0,
        idleMs: () => 0,
        stir: () => {},
      },
    };
    return {
      ...raw,
      volumes: { ...watched("volumes", raw.volumes, before, after), snapshots: raw.volumes.snapshots },
      firewall: watched("firewall", raw.firewall, before, after),
      containers: { ...watched("containers", raw.containers, before, after), watch: raw.containers.watch },
      runtimes: {
        ...watched("runtimes", raw.runtimes, before, after),
        upstream: raw.runtimes.upstream,
        closed: raw.runtimes.closed,
        channels: raw.runtimes.channels,
        port: raw.runtimes.port,
        stopTimeoutSeconds: raw.runtimes.stopTimeoutSeconds,
      },
      copies: raw.copies,
      images: { ...watched("images", raw.images, before, after), state: raw.images.state },
    };
  }

  return Object.assign(host, { ports });
}
export type ModelHost = ReturnType<typeof createModelHost>;

function watched<T extends object>(
  room: string,
  port: T,
  before: (call: string) => void,
  after: (call: string) => void,
): T {
  return Object.fromEntries(
    Object.entries(port).map(([name, operation]) => [
      name,
      async (...args: unknown[]) => {
        before(`${room}.${name}`);
        const result = await operation(...args);
        after(`${room}.${name}`);
        return result;
      },
    ]),
  ) as T;
}

export const PLACE = { pool: "10.213.0.0/16", stateDir: "/var/lib/model", runDir: "/run/model" };
export const layoutFor = (tenantId: string, uid: number, slot: number) =>
  tenantLayout({ tenantId, uid, slot, ...PLACE });
