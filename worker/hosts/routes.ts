import { type Context, Hono } from "hono";
import { ENVELOPE_CONTENT_TYPE, MAX_ENVELOPE_BYTES } from "../../schema/protocol/index.ts";
import { publicKeysetOf } from "../command-keys.ts";
import type { Config } from "../env.ts";
import { backgroundOf, readLimited } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { News } from "../tenants/index.ts";
import { openAlerts } from "./alerts.ts";
import type { DeliveryContext } from "./deliver.ts";
import { enrolHost, isOperator, issueToken } from "./enrol.ts";
import { heldBy } from "./host-word.ts";
import { changeHost } from "./operator.ts";
import { deliverWaiting, tellHosts } from "./reconcile.ts";
import { takeReports } from "./reports.ts";
import type { HostAction } from "./rules.ts";
import * as store from "./store.ts";
import { purgeStranger } from "./strangers.ts";

/** What hosts call: no cookies, no sessions; a token once, then signatures. */
export function hostRoutes(context: DeliveryContext & { config: Config; news: Pick<News, "heard"> }) {
  const { db, world, config } = context;

  return new Hono()
    .post("/enrol", async (c) => {
      if (c.req.header("content-type") !== ENVELOPE_CONTENT_TYPE) {
        return problemResponse(problem("unsupported_media_type"));
      }
      const enrolled = await enrolHost(await readLimited(c.req.raw, MAX_ENVELOPE_BYTES.enrolment), {
        db,
        world,
        edge: config.dashboardOrigin,
        // As the host calls us, where that is another name than the browsers'.
        calledAs: new URL(c.req.url).origin,
        keyset: publicKeysetOf(config.commandKeys),
      });
      return enrolled.ok ? c.json(enrolled.value, 201) : problemResponse(enrolled.problem);
    })
    .post("/reports", async (c) => {
      if (c.req.header("content-type") !== ENVELOPE_CONTENT_TYPE) {
        return problemResponse(problem("unsupported_media_type"));
      }
      const taken = await takeReports(context, await readLimited(c.req.raw, MAX_ENVELOPE_BYTES.report));
      if (!taken.ok) {
        // The log knows why; outside, every refusal looks the same.
        console.warn(JSON.stringify({ event: "report_refused", why: taken.why }));
        return problemResponse(problem("host_refused"));
      }
      if (!taken.isRolledBack) backgroundOf(c)(deliverWaiting(context, taken));
      return c.body(taken.ack, 200, { "content-type": ENVELOPE_CONTENT_TYPE });
    });
}

/** `/api/v1/operator/…` and `/api/v1/hosts`: for whoever runs the platform. */
export function operatorRoutes(context: DeliveryContext & { config: Config }) {
  const { db, world, config } = context;
  const operatorOnly = async (c: Context, next: () => Promise<void>) => {
    if (!isOperator(c.req.header("authorization"), config.operatorToken)) {
      return problemResponse(problem("unauthenticated"));
    }
    await next();
  };
  return new Hono()
    .post("/operator/hosts/tokens", operatorOnly, async (c) => c.json(await issueToken(db, world), 201))
    .get("/operator/keys", operatorOnly, async (c) => {
      const { version, current, next } = config.commandKeys;
      return c.json({ version, current, next, hosts: (await store.listHosts(db)).map(keysView) });
    })
    .post("/operator/keys/distribute", operatorOnly, async (c) => {
      await tellHosts(context);
      return c.body(null, 204);
    })
    .get("/operator/alerts", operatorOnly, async (c) => c.json({ alerts: (await openAlerts(db)).map(alertView) }))
    .get("/hosts", operatorOnly, async (c) => {
      const hosts = await store.listHosts(db);
      return c.json({ hosts: hosts.map(hostView), tenantOrigin: config.tenants.template });
    })
    .delete("/operator/hosts/:id/strangers/:tenant", operatorOnly, async (c) => {
      const purged = await purgeStranger(context, c.req.param("id") ?? "", c.req.param("tenant") ?? "");
      return purged.ok ? c.json(purged.value, 202) : problemResponse(purged.problem);
    })
    .post("/operator/hosts/:id/:action{drain|reopen|remove}", operatorOnly, async (c) => {
      const done = await changeHost({ db, world }, c.req.param("id") ?? "", c.req.param("action") as HostAction);
      return done.ok ? c.json(done.value) : problemResponse(done.problem);
    });
}

const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString());

const keysView = ({ id, name, keyset, lastReportAt }: store.HostRow) => ({
  ...{ id, name, keyset: heldBy({ keyset }), lastReportAt: iso(lastReportAt) },
});

const alertView = ({
  kind,
  subject,
  detail,
  firstAt,
  lastAt,
  times,
}: Awaited<ReturnType<typeof openAlerts>>[number]) => ({
  ...{ kind, subject, detail, times, firstAt: iso(firstAt), lastAt: iso(lastAt) },
});

function hostView(host: store.HostRow) {
  const inventory = store.inventoryOf(host);
  const { id, name, region, endpoint, state, epoch, memoryMiB, diskMiB, maxTenants, lastReportAt } = host;
  return {
    ...{ id, name, region, endpoint, state, epoch },
    capacity: { memoryMiB, diskMiB, tenants: maxTenants },
    lastReportAt: iso(lastReportAt),
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
