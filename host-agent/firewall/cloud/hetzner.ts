import { z } from "zod";
import type { Wall } from "../guard.ts";
import type { Opening } from "../perimeter.ts";
import { type HetznerRule, hetzner } from "./render.ts";

/**
 * The first wall at Hetzner Cloud: one firewall of ours, attached to each server, and no other one beside it, since the
 * rules of all attached firewalls add up. The token may change every server of its project: it belongs to the operator's
 * machine or the control plane and never onto a host that runs tenants.
 */
export interface HetznerOptions {
  openings: readonly Opening[];
  serverIds: readonly number[];
  /** Of the firewall at the provider. Servers with different operators must not share one. */
  name?: string;
  /** Where the servers are: an id that is somebody else's must change nothing. Not asked where it is absent. */
  addresses?: readonly string[];
  /** From the environment, `HCLOUD_TOKEN`. */
  token: string;
  endpoint?: string;
  fetch?: typeof fetch;
  /** Between looks at an unfinished action. */
  pollMs?: number;
  deadlineMs?: number;
}

/** `code` is Hetzner's own, or `unreachable`, `answer_malformed`, `action_failed`, `timeout`, `wrong_server`. */
export class HetznerError extends Error {
  readonly code: string;
  constructor(code: string, message: string, cause?: unknown) {
    super(`Hetzner Cloud: ${code}: ${message}`, { cause });
    this.name = "HetznerError";
    this.code = code;
  }
}

const ruleShape = z.object({
  direction: z.string(),
  protocol: z.string(),
  port: z.string().nullish(),
  source_ips: z.array(z.string()).default([]),
});
const firewallShape = z.object({ id: z.int(), name: z.string(), rules: z.array(ruleShape) });
const serverShape = z.object({
  id: z.int(),
  public_net: z.object({
    ipv4: z.object({ ip: z.string() }).nullish(),
    ipv6: z.object({ ip: z.string() }).nullish(),
    firewalls: z.array(z.object({ id: z.int(), status: z.string() })),
  }),
});
const actionShape = z.object({ id: z.int(), status: z.enum(["running", "success", "error"]) });
const errorShape = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

const REQUEST_TIMEOUT_MS = 15_000;

export function createHetznerWall(options: HetznerOptions): Wall {
  const plan = { ...hetzner(options.openings), ...(options.name ? { name: options.name } : {}) };
  const api = client(options);
  const resource = (id: number) => ({ type: "server", server: { id } });

  async function look() {
    const { firewalls } = await api(
      "GET",
      `/firewalls?name=${plan.name}`,
      z.object({ firewalls: z.array(firewallShape) }),
    );
    const servers = await Promise.all(
      options.serverIds.map((id) =>
        api("GET", `/servers/${id}`, z.object({ server: serverShape })).then((body) => body.server),
      ),
    );
    for (const { id, public_net } of servers) requireAddress(id, public_net, options.addresses);
    return { firewall: firewalls[0] ?? null, servers };
  }

  async function verify(): Promise<string[]> {
    const { firewall, servers } = await look();
    return [
      ...(firewall ? ruleDifferences(plan.rules, firewall.rules) : [`cloud: firewall ${plan.name} is missing`]),
      ...servers.flatMap((server) => attachmentDifferences(server, firewall?.id)),
    ];
  }

  async function act(path: string, body: unknown): Promise<void> {
    const { actions } = await api("POST", path, z.object({ actions: z.array(actionShape) }), body);
    for (const action of actions) await api.finished(action);
  }

  return {
    name: "cloud",
    verify,
    repair: async () => {
      const found = await verify();
      if (found.length === 0) return found;
      const { firewall, servers } = await look();
      const shape = z.object({ firewall: firewallShape });
      const ours = firewall ?? (await api("POST", "/firewalls", shape, plan)).firewall;
      if (ruleDifferences(plan.rules, ours.rules).length > 0) {
        await act(`/firewalls/${ours.id}/actions/set_rules`, { rules: plan.rules });
      }
      for (const server of servers) {
        const attached = server.public_net.firewalls.map(({ id }) => id);
        // Ours first: a server without any firewall is open.
        if (!attached.includes(ours.id)) {
          await act(`/firewalls/${ours.id}/actions/apply_to_resources`, { apply_to: [resource(server.id)] });
        }
        for (const id of attached.filter((other) => other !== ours.id)) {
          await act(`/firewalls/${id}/actions/remove_from_resources`, { remove_from: [resource(server.id)] });
        }
      }
      return found;
    },
  };
}

function requireAddress(
  id: number,
  { ipv4, ipv6 }: z.infer<typeof serverShape>["public_net"],
  addresses: HetznerOptions["addresses"],
): void {
  // IPv6 is told as the server's whole network, `2001:db8:1:2::/64`.
  const isMeant = (address: string) =>
    address === ipv4?.ip || (ipv6 && address.startsWith(ipv6.ip.replace(/::?\/\d+$/, ":")));
  if (addresses && !addresses.some(isMeant)) {
    throw new HetznerError(
      "wrong_server",
      `server ${id} is at ${ipv4?.ip ?? ipv6?.ip}, not at ${addresses.join(", ")}`,
    );
  }
}

type SeenRule = z.infer<typeof ruleShape>;
const ruleKey = ({ direction, protocol, port, source_ips }: SeenRule | HetznerRule): string =>
  [direction, protocol, port ?? "-", ...[...source_ips].sort()].join(" ");

function ruleDifferences(want: readonly HetznerRule[], have: readonly SeenRule[]): string[] {
  const [wanted, seen] = [want.map(ruleKey), have.map(ruleKey)];
  return [
    ...wanted.filter((key) => !seen.includes(key)).map((key) => `cloud: missing: ${key}`),
    ...seen.filter((key) => !wanted.includes(key)).map((key) => `cloud: not ours: ${key}`),
  ];
}

function attachmentDifferences(server: z.infer<typeof serverShape>, ours: number | undefined): string[] {
  const attached = server.public_net.firewalls;
  const own = attached.find(({ id }) => id === ours);
  return [
    ...(own ? [] : [`cloud: server ${server.id} is not behind our firewall`]),
    ...(own && own.status !== "applied" ? [`cloud: server ${server.id}: our firewall is ${own.status}`] : []),
    ...attached
      .filter(({ id }) => id !== ours)
      .map(({ id }) => `cloud: server ${server.id} has another firewall: ${id}`),
  ];
}

function client(options: HetznerOptions) {
  const {
    token,
    endpoint = "https://api.hetzner.cloud/v1",
    fetch: send = fetch,
    pollMs = 500,
    deadlineMs = 60_000,
  } = options;

  async function api<T>(method: "GET" | "POST", path: string, shape: z.ZodType<T>, body?: unknown): Promise<T> {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const request = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
    const answer = await send(`${endpoint}${path}`, request).then(
      async (response) => ({ ok: response.ok, status: response.status, json: await response.json().catch(() => null) }),
      (error: unknown) => {
        throw new HetznerError("unreachable", `${method} ${path}`, error);
      },
    );
    if (!answer.ok) {
      const failure = errorShape.safeParse(answer.json);
      const { code, message } = failure.data?.error ?? { code: `http_${answer.status}`, message: `${method} ${path}` };
      throw new HetznerError(code, message);
    }
    const parsed = shape.safeParse(answer.json);
    if (!parsed.success) throw new HetznerError("answer_malformed", `${method} ${path}`, parsed.error);
    return parsed.data;
  }

  api.finished = async (action: z.infer<typeof actionShape>): Promise<void> => {
    const until = performance.now() + deadlineMs;
    let { status } = action;
    while (status === "running") {
      if (performance.now() > until) throw new HetznerError("timeout", `action ${action.id} did not finish`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
      status = (await api("GET", `/actions/${action.id}`, z.object({ action: actionShape }))).action.status;
    }
    if (status === "error") throw new HetznerError("action_failed", `action ${action.id}`);
  };
  return api;
}
