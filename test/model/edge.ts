import { setTimeout as sleep } from "node:timers/promises";
import { createTestEdge, random } from "../../host-agent/testing.ts";
import {
  freshClaims,
  generateSigningKey,
  importSigningKey,
  keyId,
  newId,
  publicPart,
  signEnvelope,
  toBase64url,
} from "../../schema/protocol/index.ts";
import type { RunningSqld } from "../../stack/sqld.ts";
import { openDatabase } from "../../worker/db.ts";
import { parseEnv } from "../../worker/env.ts";
import { createHosts } from "../../worker/hosts/index.ts";
import { createNews } from "../../worker/tenants/index.ts";
import { createTenantService } from "../../worker/tenants/service.ts";

const OPERATOR = "operator-token-of-the-model-0123456789";
export const capacity = { memoryMiB: 1_000_000, diskMiB: 1_000_000, tenants: 100 };

export interface ModelEdgeOptions {
  sqld: Pick<RunningSqld, "url" | "authToken">;
  now: () => number;
  /** The wire to the host. */
  deliver: typeof fetch;
  /** What goes on after an answer. */
  later: (work: Promise<unknown>) => void;
}

/** The real edge on the real database, with one host enrolled, reached without a socket. */
export async function startModelEdge({ sqld, now, deliver, later }: ModelEdgeOptions) {
  const config = parseEnv(await bindings(sqld));
  const db = openDatabase(config.database);

  /** The edge keeps nothing that it could lose: another one is the same. */
  function make() {
    const world = { now, random: (n: number) => new Uint8Array(random(n)), sleep: () => sleep(1) };
    const hosts = createHosts({ db, world, fetch: deliver, config, news: createNews() });
    const { tenants: origins, vaultKeys: ring, maxTenantsPerOwner } = config;
    const billing = { allowanceOf: async () => ({ plan: "trial", tenants: maxTenantsPerOwner, still: [] }) };
    const options = { db, world, hosts, ring, origins, maxTenantsPerOwner, limits: null, undoMs: 0, billing };
    return { hosts, tenants: createTenantService(options) };
  }
  let parts = make();

  const context = { waitUntil: later, passThroughOnException() {}, props: {} };
  const post = (
    app: { fetch(request: Request, env: object, context: never): Response | Promise<Response> },
    path: string,
    init: RequestInit,
  ) => app.fetch(new Request(`http://edge${path}`, { method: "POST", ...init }), {}, context as never);

  const keys = await createTestEdge();
  const { signing, sealing } = keys.identity;
  const authorization = `Bearer ${OPERATOR}`;
  const issued = await post(parts.hosts.operatorRoutes, "/operator/hosts/tokens", { headers: { authorization } });
  const { token } = (await issued.json()) as { token: string };
  const kid = await keyId(signing);
  const enrolment = {
    ...{ token, name: `m${newId("hst").slice(4, 20)}`, region: "model", endpoint: "http://host.model", capacity },
    ...{ signing: publicPart(signing), sealing: publicPart(sealing) },
  };
  const times = freshClaims(Math.floor(now() / 1_000), random(16));
  const claims = { ...times, iss: kid, aud: config.dashboardOrigin, epoch: 0 as const, enrolment };
  const enrolled = await post(parts.hosts.routes, "/enrol", {
    headers: { "content-type": "application/jose" },
    body: await signEnvelope("enrolment", claims, { kid, privateKey: await importSigningKey(signing) }),
  });
  const answer = (await enrolled.json()) as Omit<typeof keys.identity, "signing" | "sealing" | "ingress">;

  return {
    /** The host's own, as it was enrolled. */
    keys,
    identity: { ...keys.identity, ...answer },
    tenants: () => parts.tenants,
    tick: () => parts.hosts.tick(),
    report: (init: RequestInit) => post(parts.hosts.routes, "/reports", init),
    restart() {
      parts = make();
    },
  };
}

async function bindings({ url, authToken }: Pick<RunningSqld, "url" | "authToken">): Promise<Record<string, string>> {
  const commandKey = await generateSigningKey();
  const kid = await keyId(commandKey);
  return {
    DASHBOARD_ORIGIN: "https://chelar.example",
    TENANT_ORIGIN: "https://*.agents.example",
    DATABASE_URL: url,
    DATABASE_AUTH_TOKEN: authToken,
    AUTH_SECRET: "a-secret-of-the-model-that-is-long-enough",
    OPERATOR_TOKEN: OPERATOR,
    COMMAND_KEYS: JSON.stringify({ version: 1, current: kid, keys: [{ kid, ...commandKey }] }),
    VAULT_KEYS: JSON.stringify({ current: 1, keys: { 1: toBase64url(crypto.getRandomValues(new Uint8Array(32))) } }),
    TICKET_KEY: JSON.stringify(await generateSigningKey()),
    MAIL: JSON.stringify({ driver: "resend", key: "key-of-the-model", from: "chelar@chelar.example" }),
  };
}
