import { createHmac, randomBytes } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HAND_OVER, runtimeStatus } from "../../schema/protocol/index.ts";
import { isMemoryBacked } from "../storage/index.ts";
import type { Tenant } from "../tenants/layout.ts";
import { type Runtimes, StepError } from "../tenants/ports.ts";
import { askAt } from "./ask.ts";
import { rootDirectory, writeAtomically } from "./files.ts";
import { pollUntilReady } from "./ready.ts";
import { configHash, environmentFile, refuseEnvironment } from "./rules.ts";
import { ENV_FILE, type RuntimeDefinition } from "./runtime.ts";
import { RUNTIME_TABLE } from "./table.ts";

export { startConfigGuard } from "./drift.ts";
export { libraries } from "./images/echo.ts";
export { imageRef } from "./images.ts";
export { startPruning } from "./pruning.ts";
export { RUNTIME_TABLE } from "./table.ts";

export interface RuntimesOptions {
  /** Whether the tenant's container is running now. */
  isRunning: (tenantId: string) => Promise<boolean>;
  /** From it comes each tenant's own token for this host; 256 random bits that stay on it. */
  tokenKey?: Buffer;
}

export function runtimes({ isRunning, tokenKey = randomBytes(32) }: RuntimesOptions): Runtimes {
  const tokenOf = (tenantId: string) => createHmac("sha256", tokenKey).update(tenantId).digest("base64url");
  const asking = ({ spec, layout }: Tenant) => {
    const { port, authorization } = RUNTIME_TABLE[spec.runtime];
    return askAt(layout.address, port, authorization?.(tokenOf(spec.id)));
  };
  return {
    async writeConfig(tenant) {
      const { configDir } = tenant.layout;
      await written("configuration", async () => {
        await rootDirectory(dirname(configDir), 0o711);
        await rootDirectory(configDir, 0o755);
        const files = RUNTIME_TABLE[tenant.spec.runtime].configFiles(tenant);
        for (const name of await readdir(configDir)) {
          if (!Object.hasOwn(files, name)) await rm(join(configDir, name), { recursive: true });
        }
        for (const [name, content] of Object.entries(files)) {
          await writeAtomically(configDir, name, content, { uid: 0, mode: 0o644 });
        }
      });
    },

    async hasConfig(tenant) {
      const { configDir } = tenant.layout;
      const wanted = RUNTIME_TABLE[tenant.spec.runtime].configFiles(tenant);
      const names = await readdir(configDir).catch(() => []);
      // Read no further than what could be right: whoever was here may have left anything.
      const found = names.flatMap((name) => (Object.hasOwn(wanted, name) ? [name] : []));
      if (found.length !== names.length) return false;
      const contents = found.map(async (name) => [name, await readFile(join(configDir, name), "utf8")]);
      return configHash(Object.fromEntries(await Promise.all(contents))) === configHash(wanted);
    },

    async writeEnv(tenant, env) {
      const { envDir, uid } = tenant.layout;
      const { env: fixed, environment } = RUNTIME_TABLE[tenant.spec.runtime];
      const refusal = refuseEnvironment(env, fixed);
      if (refusal)
        throw new StepError("One of the agent's secrets has a name that is not allowed.", {
          retryable: false,
          log: refusal,
        });
      await written("environment", async () => {
        await rootDirectory(dirname(envDir), 0o711);
        await rootDirectory(envDir, 0o711);
        // Looked at after the directory is there and before a secret is: never on a disk.
        if (!(await isMemoryBacked(envDir))) throw new Error(`${envDir} is not on a memory-backed file system`);
        await writeAtomically(envDir, ENV_FILE, environmentFile(environment?.(env, tokenOf(tenant.spec.id)) ?? env), {
          uid,
          mode: 0o400,
        });
      });
    },

    // The directory stays: it is the source of a mount, and a new one under the same name would not be seen inside.
    async clearEnv({ envDir }) {
      await written("environment", () => rm(join(envDir, ENV_FILE), { force: true }));
    },

    async removeConfig({ configDir, envDir }) {
      await written("configuration", async () => {
        for (const path of [configDir, envDir]) await rm(path, { recursive: true, force: true });
      });
    },

    async untilReady(tenant, signal) {
      const { spec, layout } = tenant;
      const { readiness, port, startTimeoutSeconds } = RUNTIME_TABLE[spec.runtime];
      const deadline = performance.now() + startTimeoutSeconds * 1000;
      const question = { host: layout.address, port, ...readiness };
      const outcome = await pollUntilReady(question, { deadline, alive: () => isRunning(spec.id), signal });
      if (!outcome.ready) throw notReady[outcome.reason](startTimeoutSeconds, outcome.last);
      const missing = await readiness.proven?.(asking(tenant));
      if (missing) throw new StepError(missing, { retryable: false });
    },

    upstream: ({ spec, layout }) => `${layout.address}:${RUNTIME_TABLE[spec.runtime].port}`,
    closed: (runtime) => closedPaths(RUNTIME_TABLE[runtime]),
    channels: ({ spec, layout }) =>
      Object.fromEntries(
        Object.entries(HAND_OVER[spec.runtime]).map(([channel, way]) => [
          channel,
          { upstream: way.form === "own" ? `${layout.address}:${way.port}` : null, path: way.path },
        ]),
      ),
    async answer(tenant, question, key) {
      const { hooks } = RUNTIME_TABLE[tenant.spec.runtime];
      if (!hooks?.answer) throw new Error("this runtime cannot be asked");
      return hooks.answer(asking(tenant), question, key);
    },
    port: (runtime) => RUNTIME_TABLE[runtime].port,
    // A runtime that does not answer cannot be asked to hold still: it is left alone.
    busy: async (tenant) => {
      const { hooks } = RUNTIME_TABLE[tenant.spec.runtime];
      return hooks?.busy ? hooks.busy(asking(tenant)).catch(() => "it does not answer") : undefined;
    },
    status: async (tenant) => {
      const { hooks } = RUNTIME_TABLE[tenant.spec.runtime];
      return hooks?.status ? runtimeStatus.parse(await hooks.status(asking(tenant))) : null;
    },
    nextRunMs: async (tenant) => {
      const { hooks } = RUNTIME_TABLE[tenant.spec.runtime];
      return hooks?.nextRunMs ? hooks.nextRunMs(asking(tenant)) : null;
    },
    stopTimeoutSeconds: (runtime) => RUNTIME_TABLE[runtime].stopTimeoutSeconds,
  };
}

/** A hand-over at the port of visitors would be open to them, too. */
const closedPaths = ({ name, port, closed = [] }: RuntimeDefinition): readonly string[] => [
  ...closed,
  ...Object.values(HAND_OVER[name]).flatMap((way) => (way.form === "own" && way.port === port ? [way.path] : [])),
];

const notReady = {
  died: (_: number, last: string) =>
    new StepError("The agent ended before it was ready.", { retryable: true, log: `died before ready (${last})` }),
  late: (seconds: number, last: string) =>
    new StepError(`The agent was not ready within ${seconds} seconds.`, { retryable: true, log: `late (${last})` }),
  aborted: (_: number, last: string) =>
    new StepError("The start was called off.", { retryable: true, log: `called off (${last})` }),
} as const;

async function written(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new StepError(`The agent's ${what} could not be written.`, {
      retryable: true,
      cause: error,
      log: String(error),
    });
  }
}
