import { createRoute, z } from "@hono/zod-openapi";
import { Hono } from "hono";
import { ENVELOPE_CONTENT_TYPE, MAX_ENVELOPE_BYTES } from "../../schema/protocol/index.ts";
import {
  apiApp,
  byId,
  inPath,
  nextView,
  okJson,
  pageOf,
  pageQuery,
  refusals,
  operatorOnly as security,
} from "../api/index.ts";
import { publicKeysetOf } from "../command-keys.ts";
import { type Config, tenantHostnameOf } from "../env.ts";
import { backgroundOf, readLimited } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { News } from "../tenants/index.ts";
import { openAlerts } from "./alerts.ts";
import type { DeliveryContext } from "./deliver.ts";
import { enrolHost, isOperator, issueToken } from "./enrol.ts";
import { changeHost } from "./operator.ts";
import { deliverWaiting, tellHosts } from "./reconcile.ts";
import { takeReports } from "./reports.ts";
import { HOST_ACTIONS, type HostAction } from "./rules.ts";
import * as store from "./store.ts";
import { purgeStranger } from "./strangers.ts";
import {
  alertView,
  alertViewOf,
  changedHostView,
  hostView,
  hostViewOf,
  keysView,
  keysViewOf,
  nameView,
  strangerView,
  tokenView,
} from "./views.ts";

export interface HostsContext extends DeliveryContext {
  config: Config;
  news: Pick<News, "heard">;
  /** An agent that was asked has an answer. */
  onAnswered?(tenantId: string): Promise<unknown>;
}

/** What hosts call: no cookies, no sessions; a token once, then signatures. */
export function hostRoutes(context: HostsContext) {
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
      const later = backgroundOf(c);
      if (taken.journal === "newest") later(deliverWaiting(context, taken));
      for (const tenantId of taken.answered) if (context.onAnswered) later(context.onAnswered(tenantId));
      return c.body(taken.ack, 200, { "content-type": ENVELOPE_CONTENT_TYPE });
    });
}

/** `/api/v1/operator/…` and `/api/v1/hosts`: for whoever runs the platform. */
export function operatorRoutes(context: DeliveryContext & { config: Config }) {
  const { db, world, config } = context;
  const app = apiApp();
  for (const path of ["/operator/hosts/*", "/operator/keys/*", "/operator/alerts", "/operator/names", "/hosts"]) {
    app.use(path, async (c, next) =>
      isOperator(c.req.header("authorization"), config.operatorToken)
        ? next()
        : problemResponse(problem("unauthenticated")),
    );
  }

  const token = createRoute({
    method: "post",
    path: "/operator/hosts/tokens",
    security,
    responses: { 201: okJson(tokenView, "A token that enrols one server, once, within minutes"), ...refusals },
  });
  app.openapi(token, async (c) => c.json(await issueToken(db, world), 201));

  const keys = createRoute({
    method: "get",
    path: "/operator/keys",
    security,
    responses: { 200: okJson(keysView, "The keys that commands are signed with, and who believes them"), ...refusals },
  });
  app.openapi(keys, async (c) => {
    const { version, current, next } = config.commandKeys;
    return c.json({ version, current, next: next ?? null, hosts: (await store.listHosts(db)).map(keysViewOf) }, 200);
  });

  const distribute = createRoute({
    method: "post",
    path: "/operator/keys/distribute",
    security,
    responses: { 204: { description: "Every host was told the newest word about itself" }, ...refusals },
  });
  app.openapi(distribute, async (c) => {
    await tellHosts(context);
    return c.body(null, 204);
  });

  const alerts = createRoute({
    method: "get",
    path: "/operator/alerts",
    security,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ alerts: z.array(alertView), ...nextView }), "What needs an operator"),
      ...refusals,
    },
  });
  app.openapi(alerts, async (c) => {
    const open = (await openAlerts(db)).map(alertViewOf);
    const { page, next } = pageOf(open, c.req.valid("query"), ({ kind, subject }) => `${kind} ${subject}`);
    return c.json({ alerts: page, next }, 200);
  });

  const hosts = createRoute({
    method: "get",
    path: "/hosts",
    security,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ hosts: z.array(hostView), tenantOrigin: z.string(), ...nextView }), "Hosts, by id"),
      ...refusals,
    },
  });
  app.openapi(hosts, async (c) => {
    const { page, next } = pageOf(await store.listHosts(db), c.req.valid("query"), ({ id }) => id);
    return c.json({ hosts: page.map(hostViewOf), tenantOrigin: config.tenants.template, next }, 200);
  });

  const names = createRoute({
    method: "get",
    path: "/operator/names",
    security,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ names: z.array(nameView), ...nextView }), "Where each agent's name must lead"),
      ...refusals,
    },
  });
  app.openapi(names, async (c) => {
    const { page, next } = pageOf(await store.listNames(db), c.req.valid("query"), ({ slug }) => slug);
    const named = page.map(({ slug, endpoint }) => ({ hostname: tenantHostnameOf(config.tenants, slug), endpoint }));
    return c.json({ names: named, next }, 200);
  });

  const stranger = createRoute({
    method: "delete",
    path: "/operator/hosts/{id}/strangers/{tenant}",
    security,
    request: { params: byId.extend({ tenant: inPath("tenant") }) },
    responses: {
      202: okJson(strangerView, "An agent that only this host knows is being destroyed there"),
      ...refusals,
    },
  });
  app.openapi(stranger, async (c) => {
    const { id, tenant } = c.req.valid("param");
    const purged = await purgeStranger(context, id, tenant);
    return purged.ok ? c.json(purged.value, 202) : (problemResponse(purged.problem) as never);
  });

  for (const action of Object.keys(HOST_ACTIONS) as HostAction[]) {
    const route = createRoute({
      method: "post",
      path: `/operator/hosts/{id}/${action}`,
      security,
      request: { params: byId },
      responses: { 200: okJson(changedHostView, ACTION_WORDS[action]), ...refusals },
    });
    app.openapi(route, async (c) => {
      const done = await changeHost({ db, world }, c.req.valid("param").id, action);
      return done.ok ? c.json(done.value, 200) : (problemResponse(done.problem) as never);
    });
  }
  return app;
}

const ACTION_WORDS: Record<HostAction, string> = {
  drain: "It receives no new agent; what is there stays",
  reopen: "It receives agents again",
  remove: "It is forgotten; refused while it holds anybody's data",
  abandon: "It is forgotten with all that it holds, since it will never come back; refused while it speaks",
};
