import { type Context, Hono } from "hono";
import {
  ENVELOPE_CONTENT_TYPE,
  enrolRequest,
  MAX_ENVELOPE_BYTES,
  type PublicKeyset,
  publicCommandKey,
} from "../../schema/protocol/index.ts";
import type { Config } from "../env.ts";
import { backgroundOf, jsonOnly, readLimited } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { News } from "../tenants/index.ts";
import type { DeliveryContext } from "./deliver.ts";
import { enrolHost, isOperator, issueToken } from "./enrol.ts";
import { changeHost } from "./operator.ts";
import { deliverWaiting } from "./reconcile.ts";
import { takeReports } from "./reports.ts";
import type { HostAction } from "./rules.ts";
import * as store from "./store.ts";

export const publicKeysetOf = ({ version, keys }: Config["commandKeys"]): PublicKeyset => ({
  version,
  keys: keys.map(({ kid, x }) => publicCommandKey.parse({ kid, x })),
});

/** What hosts call: no cookies, no sessions; a token once, then signatures. */
export function hostRoutes(context: DeliveryContext & { config: Config; news: Pick<News, "heard"> }) {
  const { db, world, config } = context;

  return new Hono()
    .post("/enrol", jsonOnly, async (c) => {
      const parsed = enrolRequest.safeParse(await c.req.json().catch(() => null));
      // Which part is wrong may be said: it is the operator's own typing, and no secret is repeated.
      if (!parsed.success) {
        return problemResponse(problem("invalid_body", { field: parsed.error.issues[0]?.path.join(".") }));
      }
      const keyset = publicKeysetOf(config.commandKeys);
      const enrolled = await enrolHost(parsed.data, { db, world, edge: config.dashboardOrigin, keyset });
      return enrolled.ok ? c.json(enrolled.value, 201) : problemResponse(enrolled.problem);
    })
    .post("/reports", async (c) => {
      if (c.req.header("content-type") !== ENVELOPE_CONTENT_TYPE) {
        return problemResponse(problem("unsupported_media_type"));
      }
      const taken = await takeReports(
        { db, world, news: context.news, edge: config.dashboardOrigin },
        await readLimited(c.req.raw, MAX_ENVELOPE_BYTES.report),
      );
      if (!taken.ok) {
        // The log knows why; outside, every refusal looks the same.
        console.warn(JSON.stringify({ event: "report_refused", why: taken.why }));
        return problemResponse(problem("host_refused"));
      }
      backgroundOf(c)(deliverWaiting(context, taken.hostId));
      return c.json({ ackedSeq: taken.ackedSeq });
    });
}

/** `/api/v1/operator/…` and `/api/v1/hosts`: for whoever runs the platform. */
export function operatorRoutes({ db, world, config }: DeliveryContext & { config: Config }) {
  const operatorOnly = async (c: Context, next: () => Promise<void>) => {
    if (!isOperator(c.req.header("authorization"), config.operatorToken)) {
      return problemResponse(problem("unauthenticated"));
    }
    await next();
  };
  return new Hono()
    .post("/operator/hosts/tokens", operatorOnly, async (c) => c.json(await issueToken(db, world), 201))
    .get("/hosts", operatorOnly, async (c) => {
      const hosts = await store.listHosts(db);
      return c.json({ hosts: hosts.map(hostView), tenantOrigin: config.tenants.template });
    })
    .post("/operator/hosts/:id/:action{drain|reopen|remove}", operatorOnly, async (c) => {
      const done = await changeHost({ db, world }, c.req.param("id") ?? "", c.req.param("action") as HostAction);
      return done.ok ? c.json(done.value) : problemResponse(done.problem);
    });
}

function hostView(host: store.HostRow) {
  const inventory = store.inventoryOf(host);
  const { id, name, region, endpoint, state, epoch, memoryMiB, diskMiB, maxTenants, lastReportAt } = host;
  return {
    ...{ id, name, region, endpoint, state, epoch },
    capacity: { memoryMiB, diskMiB, tenants: maxTenants },
    lastReportAt: lastReportAt === null ? null : new Date(lastReportAt).toISOString(),
    images: inventory?.images ?? [],
    inventory: inventory && {
      at: new Date(inventory.at).toISOString(),
      tenants: inventory.tenants,
      versions: inventory.versions,
      capacity: inventory.capacity,
      drift: inventory.drift ?? {},
    },
  };
}
