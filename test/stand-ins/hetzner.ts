import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * Hetzner Cloud's API as far as firewalls go, with a memory: servers, firewalls, attachments, actions that take a while,
 * its error codes. Reference: docs.hetzner.cloud, "Firewalls" and "Firewall Actions".
 */
export interface CloudFirewall {
  id: number;
  name: string;
  rules: { direction: string; protocol: string; port?: string | null; source_ips: string[] }[];
}
export interface HetznerStandIn {
  endpoint: string;
  firewalls: Map<number, CloudFirewall>;
  /** Server → attached firewalls. */
  servers: Map<number, Set<number>>;
  /** Server → IPv4; 203.0.113.ID where it is not here. */
  addresses: Map<number, string>;
  /** Every change that was asked for, e.g. `POST /firewalls`. */
  writes: string[];
  /** Set: the next so many requests are answered 429. */
  rateLimited: number;
  /** How many looks an action needs until it is finished. */
  actionLooks: number;
  /** Actions end in an error. */
  actionsFail: boolean;
  close(): Promise<void>;
}

type Answer = [status: number, body: unknown];
const failure = (status: number, code: string, message: string): Answer => [status, { error: { code, message } }];

export async function startHetznerStandIn(token: string, serverIds: readonly number[]): Promise<HetznerStandIn> {
  const actions = new Map<number, { looks: number; done: () => void }>();
  let nextId = 100;
  const state = {
    firewalls: new Map<number, CloudFirewall>(),
    servers: new Map(serverIds.map((id) => [id, new Set<number>()])),
    addresses: new Map<number, string>(),
    writes: [] as string[],
    rateLimited: 0,
    actionLooks: 2,
    actionsFail: false,
  };

  const begin = (done: () => void): Answer => {
    const id = nextId++;
    actions.set(id, { looks: state.actionLooks, done });
    return [201, { actions: [{ id, status: "running" }] }];
  };

  function answer(method: string, url: URL, body: Record<string, unknown>): Answer {
    const [, collection, idText, , verb] = url.pathname.split("/");
    const id = Number(idText);
    if (method === "GET" && collection === "actions") {
      const action = actions.get(id);
      if (!action) return failure(404, "not_found", "action not found");
      if (--action.looks > 0) return [200, { action: { id, status: "running" } }];
      if (state.actionsFail) return [200, { action: { id, status: "error" } }];
      action.done();
      return [200, { action: { id, status: "success" } }];
    }
    if (method === "GET" && collection === "servers") {
      const attached = state.servers.get(id);
      if (!attached) return failure(404, "not_found", `server with ID '${id}' not found`);
      const firewalls = [...attached].map((firewall) => ({ id: firewall, status: "applied" }));
      const ipv4 = { ip: state.addresses.get(id) ?? `203.0.113.${id}` };
      return [200, { server: { id, name: `server-${id}`, public_net: { ipv4, ipv6: null, firewalls } } }];
    }
    if (collection !== "firewalls") return failure(404, "not_found", "no such path");
    if (method === "GET") {
      const all = [...state.firewalls.values()].filter(({ name }) => name === (url.searchParams.get("name") ?? name));
      return [200, { firewalls: all }];
    }
    state.writes.push(`${method} ${url.pathname}`);
    if (!verb) return create(body);
    const firewall = state.firewalls.get(id);
    if (!firewall) return failure(404, "not_found", `firewall with ID '${id}' not found`);
    return change(firewall, verb, body);
  }

  function create(body: Record<string, unknown>): Answer {
    const { name, rules } = body as unknown as CloudFirewall;
    if ([...state.firewalls.values()].some((other) => other.name === name)) {
      return failure(409, "uniqueness_error", "firewall name is already used");
    }
    const wrong = invalidRule(rules);
    if (wrong) return failure(422, "invalid_input", wrong);
    const firewall = { id: nextId++, name, rules };
    state.firewalls.set(firewall.id, firewall);
    return [201, { firewall, actions: [] }];
  }

  function change(firewall: CloudFirewall, verb: string, body: Record<string, unknown>): Answer {
    if (verb === "set_rules") {
      const { rules } = body as unknown as CloudFirewall;
      const wrong = invalidRule(rules);
      if (wrong) return failure(422, "invalid_input", wrong);
      return begin(() => Object.assign(firewall, { rules }));
    }
    const list = (body.apply_to ?? body.remove_from) as { type: string; server: { id: number } }[];
    const targets = list.map(({ server }) => state.servers.get(server.id));
    if (targets.some((target) => !target)) return failure(422, "firewall_resource_not_found", "resource not found");
    if (verb === "apply_to_resources") return begin(() => targets.map((target) => target?.add(firewall.id)));
    if (verb === "remove_from_resources") return begin(() => targets.map((target) => target?.delete(firewall.id)));
    return failure(404, "not_found", "no such action");
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", "http://stand-in");
    const send = ([status, body]: Answer) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (request.headers.authorization !== `Bearer ${token}`)
      return send(failure(401, "unauthorized", "unable to authenticate"));
    if (state.rateLimited > 0) {
      state.rateLimited--;
      return send(failure(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"));
    }
    send(answer(request.method ?? "GET", url, await readJson(request)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    endpoint: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

function invalidRule(rules: CloudFirewall["rules"]): string | null {
  for (const rule of rules) {
    const needsPort = rule.protocol === "tcp" || rule.protocol === "udp";
    if (needsPort !== (typeof rule.port === "string")) return "invalid input in field 'rules', 'port'";
    if (rule.direction === "in" && rule.source_ips.length === 0) return "invalid input in field 'rules', 'source_ips'";
    if (rule.source_ips.some((source) => !source.includes("/"))) return "invalid input in field 'rules', 'source_ips'";
  }
  return null;
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
}
