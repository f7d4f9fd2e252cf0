import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { RuntimeName } from "../../schema/protocol/index.ts";
import { RUNTIME_TABLE } from "../runtimes/table.ts";
import { type Containers, type NetworkLayout, SlotBlockedError, StepError } from "../tenants/ports.ts";
import { type ContainerState, type Docker, DockerError } from "./docker.ts";
import { canNeverStart, factsOf, factsOfListed, hasLostBridge, networkMatches, vitalsOf } from "./rules.ts";
import { containerSpec, LABELS, networkSpec, type SpecOptions } from "./spec.ts";
import { endStrays } from "./strays.ts";
import { watchEngine } from "./watch.ts";

export { connectDocker, type Docker, type ImageSummary } from "./docker.ts";
export { type ContainerSpec, containerSpec, LABELS, networkSpec, type SpecOptions } from "./spec.ts";

export interface ContainerOptions {
  docker: Docker;
  hostId: string;
  resolvers: readonly string[];
  /** `repo:tag` of a runtime's image on this host. */
  imageRef: (runtime: RuntimeName, image?: string) => string;
  busyboxPath?: string;
  log?: (line: string) => void;
}

const run = promisify(execFile);

/** Asked of our own network namespace, which /sys may not be. */
const hasBridge = async (network: string): Promise<boolean> =>
  (await readFile("/proc/self/net/dev", "utf8")).includes(` ${network}:`);

/** The lifecycle's containers and networks on a Docker engine. */
export function dockerContainers(options: ContainerOptions): Containers {
  const { docker, hostId, resolvers, imageRef, busyboxPath = "/bin/busybox", log = () => {} } = options;
  const ours = `${LABELS.host}=${hostId}`;
  const containerName = (tenantId: string) => `chelar-${tenantId}`;

  /** Asked once: the kernel does not change under a running engine. */
  let kernel: Promise<SpecOptions["kernel"]> | null = null;
  function kernelFacts() {
    kernel ??= docker.info().then(
      ({ CgroupVersion }) => ({
        cgroupVersion: CgroupVersion === "2" ? ("2" as const) : ("1" as const),
        ipv6: existsSync("/proc/sys/net/ipv6"),
      }),
      (error) => {
        kernel = null;
        throw error;
      },
    );
    return kernel;
  }

  const inspect = (tenantId: string) => absentIs(null, () => docker.inspectContainer(containerName(tenantId)), 404);

  /** Asked of an image that was not made here. What it says of volumes would be room beside the quota. */
  async function ownWords(image: string): Promise<SpecOptions["own"]> {
    const { Config } = await docker.inspectImage(image);
    if (Object.keys(Config.Volumes ?? {}).length > 0) {
      throw new StepError("The agent's image declares volumes of its own, which no agent may have.", {
        retryable: false,
        log: image,
      });
    }
    return { command: [...(Config.Entrypoint ?? []), ...(Config.Cmd ?? [])], workingDir: Config.WorkingDir || "/" };
  }

  async function endUnknown(state: ContainerState | null): Promise<void> {
    if (!state || state.State.Running) return;
    const count = await endStrays(state.Id);
    if (count > 0) log(`${count} processes of ${state.Id} went on without the engine and were ended`);
  }

  async function removeByName(name: string): Promise<void> {
    await endUnknown(await absentIs(null, () => docker.inspectContainer(name), 404));
    for (let attempt = 0; attempt < 100; attempt++) {
      // 409: another call is removing it. It is gone only when the engine has no such name any more.
      await absentIs("", () => docker.removeContainer(name), 404, 409);
      if ((await absentIs(null, () => docker.inspectContainer(name), 404)) === null) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new StepError("The agent's container could not be removed.", { retryable: true, log: `${name} stays` });
  }

  const containers: Containers = {
    ensureNetwork: inTurns(
      ({ network }) => network,
      async (layout: NetworkLayout) => {
        const spec = networkSpec(layout, hostId);
        const found = await absentIs(null, () => docker.inspectNetwork(layout.network), 404);
        if (found && networkMatches(spec, found)) return;
        if (found) await docker.removeNetwork(found.Id);
        try {
          // 409: another call made it in the meantime.
          await absentIs(null, () => docker.createNetwork(spec), 409);
        } catch (error) {
          if (error instanceof DockerError && isTaken(error)) throw new SlotBlockedError(error.message);
          throw error;
        }
      },
    ),

    async removeNetwork(layout) {
      await absentIs("", () => docker.removeNetwork(layout.network), 404);
      // An engine that was killed while it made the network forgets it, and its bridge stays in the kernel.
      if (await hasBridge(layout.network)) await run("ip", ["link", "delete", layout.network, "type", "bridge"]);
    },

    async hasNetwork({ network }) {
      if (await absentIs(null, () => docker.inspectNetwork(network), 404)) return true;
      return hasBridge(network);
    },

    async find(tenantId) {
      const state = await inspect(tenantId);
      return state && factsOf(state);
    },

    async list() {
      const found = await docker.listContainers(ours);
      const facts = await Promise.all(
        found.map(async (summary) => {
          const listed = factsOfListed(summary);
          if (listed) return listed;
          const state = await absentIs(null, () => docker.inspectContainer(summary.Id), 404);
          return state && factsOf(state);
        }),
      );
      return facts.filter((one) => one !== null);
    },

    async ensureCreated(tenant, restarts) {
      const { runtime, id } = tenant.spec;
      const image = imageRef(runtime, tenant.spec.image);
      const own = tenant.spec.image === undefined ? undefined : await ownWords(image);
      const specOptions = { hostId, image, own, resolvers, busyboxPath, kernel: await kernelFacts() };
      const plan = containerSpec(tenant, RUNTIME_TABLE[runtime], restarts, specOptions);
      const found = await inspect(id);
      if (found && factsOf(found).planHash === plan.planHash) return factsOf(found);
      // Removing kills; what runs by another plan (a changed limit, a newer agent) ends as gracefully as any stop.
      if (found?.State.Running) await containers.stop(id, RUNTIME_TABLE[runtime].stopTimeoutSeconds);
      if (found) await removeByName(plan.name);
      await docker.createContainer(plan);
      const created = await inspect(id);
      if (!created) throw new StepError("The agent's container vanished.", { retryable: true });
      return factsOf(created);
    },

    async start({ spec, layout }) {
      try {
        const ran = await absentIs(null, () => docker.startContainer(containerName(spec.id)), 304);
        return ran === null ? ((await inspect(spec.id))?.State.Pid ?? null) : null;
      } catch (error) {
        if (error instanceof DockerError && canNeverStart(error)) await removeByName(containerName(spec.id));
        // The engine does not look at the kernel: somebody has deleted the bridge, and only a new network brings one.
        if (error instanceof DockerError && hasLostBridge(error)) await containers.removeNetwork(layout);
        throw error;
      }
    },

    async stop(tenantId, timeoutSeconds) {
      const stopped = await absentIs(
        null,
        () => docker.stopContainer(containerName(tenantId), timeoutSeconds),
        304,
        404,
      );
      if (stopped === null) await endUnknown(await inspect(tenantId));
    },

    async pause(tenantId) {
      const state = await inspect(tenantId);
      if (!state?.State.Paused) await docker.pauseContainer(containerName(tenantId));
    },

    async unpause(tenantId) {
      const state = await inspect(tenantId);
      if (state?.State.Paused) await docker.unpauseContainer(containerName(tenantId));
    },

    async vitals(tenantId) {
      const state = await inspect(tenantId);
      if (!state?.State.Running) return null;
      const stats = await absentIs(null, () => docker.stats(containerName(tenantId)), 404, 409);
      return stats && vitalsOf(state, stats);
    },

    remove: (tenantId) => removeByName(containerName(tenantId)),

    ping: () => docker.ping(),

    async versions() {
      const { Version, KernelVersion, Components = [] } = await docker.version();
      const parts = Object.fromEntries(Components.map((part) => [part.Name.toLowerCase(), part.Version]));
      const { containerd, runc } = parts;
      return { docker: Version, kernel: KernelVersion, ...(containerd && { containerd }), ...(runc && { runc }) };
    },

    watch: watchEngine({ docker, label: ours, list: () => containers.list(), log }),
  };

  return Object.fromEntries(
    Object.entries(containers).map(([name, operation]) => [name, name === "watch" ? operation : guarded(operation)]),
  ) as unknown as Containers;
}

/**
 * An engine that was killed in the middle of making a network may keep its bridge driver's half of it: under no name that
 * the API knows, and back after every restart.
 */
const isTaken = ({ status, message }: DockerError): boolean =>
  status === 403 && /conflicts with network|[Pp]ool overlaps/.test(message);

/** One after another for each name: to the twin of a call that is on its way, the engine says "pool overlaps". */
function inTurns<A, T>(nameOf: (argument: A) => string, work: (argument: A) => Promise<T>) {
  const last = new Map<string, Promise<unknown>>();
  return (argument: A): Promise<T> => {
    const name = nameOf(argument);
    const turn = (last.get(name) ?? Promise.resolve()).then(() => work(argument));
    const settled = turn
      .catch(() => {})
      .then(() => {
        if (last.get(name) === settled) last.delete(name);
      });
    last.set(name, settled);
    return turn;
  };
}

/** Answers `absent` when Docker's status says that what was wanted already holds. */
async function absentIs<T, A>(absent: A, call: () => Promise<T>, ...statuses: number[]): Promise<T | A> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof DockerError && statuses.includes(error.status)) return absent;
    throw error;
  }
}

function guarded<Args extends unknown[], T>(operation: (...args: Args) => Promise<T>) {
  return async (...args: Args): Promise<T> => {
    try {
      return await operation(...args);
    } catch (error) {
      throw error instanceof DockerError ? stepErrorOf(error) : error;
    }
  };
}

/** Docker's own words go to the log only: they hold paths of the host. */
function stepErrorOf(error: DockerError): StepError {
  const options = { cause: error, log: error.message };
  // 400: the plan itself is refused, and would be again. Everything else may pass: an image comes, a name gets free.
  return new StepError("The container engine refused this step.", { retryable: error.status !== 400, ...options });
}
