import { z } from "zod";
import type { RuntimeStatus } from "../../schema/protocol/index.ts";
import { type Ask, PLATFORM_CLIENT, USER_HEADER } from "./runtime.ts";

/** The platform's own name towards the gateway. No person's id looks like it, and no person can send it. */
export const CONTROL_PLANE = "control-plane";
/** Of the `admin-http-rpc` plugin. Closed at the gate: it is for this host's agent alone. */
export const RPC_PATH = "/api/v1/admin/rpc";

/**
 * All that the platform ever asks of a gateway, and with which scope. `operator.read` alone would be too wide: chats,
 * files, logs and configuration can be read with it. The scope is always sent: without the header the gateway takes the
 * caller for an admin.
 */
const METHODS = {
  health: "operator.read",
  status: "operator.read",
  "cron.list": "operator.read",
  "cron.status": "operator.read",
  "channels.status": "operator.read",
  "gateway.suspend.prepare": "operator.admin",
  "gateway.suspend.resume": "operator.admin",
} as const;
export type OpenclawMethod = keyof typeof METHODS;
export const OPENCLAW_METHODS = Object.keys(METHODS) as OpenclawMethod[];

export class MethodRefused extends Error {}

const answer = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), payload: z.unknown() }),
  z.object({ ok: z.literal(false), error: z.object({ code: z.string(), message: z.string() }) }),
]);

/** Rejects with {@link MethodRefused} before anything is sent when the method is not one of the above. */
export async function openclawRpc(ask: Ask, method: OpenclawMethod, params: object = {}): Promise<unknown> {
  const scope = Object.hasOwn(METHODS, method) ? METHODS[method] : null;
  if (scope === null) throw new MethodRefused(`${method} is not for the platform`);
  const headers = {
    [USER_HEADER]: CONTROL_PLANE,
    "x-openclaw-scopes": scope,
    "x-forwarded-for": PLATFORM_CLIENT,
    "x-forwarded-proto": "https",
    "x-forwarded-host": "control-plane.invalid",
  };
  const said = answer.parse(await ask({ method: "POST", path: RPC_PATH, headers, body: { method, params } }));
  if (!said.ok) throw new Error(`${method}: ${said.error.code}`);
  return said.payload;
}

const suspension = z.discriminatedUnion("status", [
  z.object({ status: z.literal("ready"), suspensionId: z.string().max(200) }),
  z.object({ status: z.enum(["busy", "draining", "recovering"]) }),
]);
const time = z.int().min(0).max(8_640_000_000_000_000);
const jobList = z.object({
  jobs: z.array(
    z.object({ enabled: z.boolean().optional(), state: z.object({ nextRunAtMs: time.nullish() }).nullish() }),
  ),
});
const channelList = z.object({
  channelAccounts: z.record(
    z.string(),
    z.array(z.object({ connected: z.boolean().nullish(), running: z.boolean().nullish() })),
  ),
});
const CHANNEL = /^[a-z][a-z0-9-]{0,31}$/;
const MAX_JOBS = 50;

async function jobsOf(ask: Ask) {
  const { jobs } = jobList.parse(await openclawRpc(ask, "cron.list", { includeDisabled: true }));
  return jobs.map(({ enabled = true, state }) => ({ enabled, nextRunAt: state?.nextRunAtMs ?? null }));
}

export const OPENCLAW_HOOKS = {
  /**
   * The gateway's own look at its runs, replies, jobs and terminals: an idle one grants a suspension, which is given back
   * at once. Nothing of it has to outlive the frost, or a killed agent.
   */
  async busy(ask: Ask): Promise<string | null> {
    const said = suspension.parse(await openclawRpc(ask, "gateway.suspend.prepare", { requestId: "chelar" }));
    if (said.status !== "ready") return `the gateway is ${said.status}`;
    await openclawRpc(ask, "gateway.suspend.resume", { suspensionId: said.suspensionId });
    return null;
  },

  async nextRunMs(ask: Ask): Promise<number | null> {
    const due = (await jobsOf(ask)).flatMap(({ enabled, nextRunAt }) =>
      enabled && nextRunAt !== null ? [nextRunAt] : [],
    );
    return due.length > 0 ? Math.min(...due) : null;
  },

  /** `cron.list` carries prompts and `health` session keys: of all that is said, these fields are kept and no other. */
  async status(ask: Ask): Promise<RuntimeStatus> {
    const [health, jobs, channels] = await Promise.all([
      openclawRpc(ask, "health").then(z.object({ ok: z.boolean() }).parse),
      jobsOf(ask),
      openclawRpc(ask, "channels.status").then(channelList.parse),
    ]);
    return {
      healthy: health.ok,
      jobs: jobs.slice(0, MAX_JOBS),
      channels: Object.entries(channels.channelAccounts)
        .filter(([name]) => CHANNEL.test(name))
        .map(([name, accounts]) => ({
          name,
          connected: accounts.some(({ connected, running }) => connected ?? running ?? false),
        })),
    };
  },
};
