import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { except } from "hono/combine";
import { REPORT_PATH } from "../schema/protocol/index.ts";
import { createAccess } from "./access/index.ts";
import { accountApi, createAccounts, Limits, peopleRoutes, socialOrigins } from "./accounts/index.ts";
import { DOCUMENT_PATH, documentOf } from "./api/document.ts";
import { createIdempotency } from "./api/idempotency.ts";
import { byCredential, turns } from "./api/turns.ts";
import { createBilling, WEBHOOK_PATH } from "./billing/index.ts";
import { billingApi } from "./billing/routes.ts";
import { createChannels, HOOKS_PATH } from "./channels/index.ts";
import { realWorld, type World } from "./clock.ts";
import { createData, receiptsOf } from "./data/index.ts";
import { type Database, openDatabase } from "./db.ts";
import type { Config } from "./env.ts";
import { isOperator } from "./hosts/enrol.ts";
import { createHosts, hostCalls } from "./hosts/index.ts";
import {
  backgroundOf,
  browserSafety,
  compressed,
  describeError,
  lastResort,
  limitedBody,
  logFailure,
  sameOriginOnly,
} from "./http.ts";
import { createPost } from "./mail/index.ts";
import { createMetrics, partOf } from "./metrics/index.ts";
import { createOperator } from "./operator/index.ts";
import { operatorApi } from "./operator/routes.ts";
import type { PageDeps } from "./pages/deps.ts";
import { operatorPages } from "./pages/operator-routes.tsx";
import { referenceRoutes } from "./pages/reference.tsx";
import { pageRoutes, problemPage } from "./pages/routes.tsx";
import { statusPages } from "./pages/status.tsx";
import { problem, problemResponse } from "./problem.ts";
import { createStatus } from "./status/index.ts";
import { createNews } from "./tenants/index.ts";
import { tenantRoutes } from "./tenants/routes.ts";
import { createTenantService } from "./tenants/service.ts";
import { upgradeRoutes } from "./tenants/upgrade-routes.ts";
import { createKeyChecks } from "./vault/checks.ts";
import { providerRoutes, vaultRoutes } from "./vault/routes.ts";
import { warnOfWraps } from "./vault/sweep.ts";

/** What a test may put in the place of the world outside. */
export interface Outside {
  db?: Database;
  world?: World;
  /** Reaches the hosts. */
  fetch?: typeof fetch;
  /** Hashes passwords at another cost. */
  hash?: (password: string) => Promise<string>;
  /** Reaches the mail provider. */
  mail?: typeof fetch;
  /** Reaches the payment provider. */
  payments?: typeof fetch;
}

/** Wires the rooms together; decides nothing. */
export function createEdge(config: Config, outside: Outside = {}) {
  const { world = realWorld } = outside;
  const db = outside.db ?? openDatabase(config.database);
  // workerd's fetch must be called as a free function.
  const reach: typeof fetch = outside.fetch ?? ((input, init) => fetch(input, init));

  const post = createPost({ db, world, config: config.mail, fetch: outside.mail ?? reach });
  const accounts = createAccounts({ db, world, post, config, hash: outside.hash });
  const news = createNews();
  const hosts = createHosts({
    ...{ db, world, fetch: reach, config, news },
    onAnswered: (tenantId) => channels.answered(tenantId),
  });
  const billing = createBilling({
    ...{ db, world, hosts, post },
    config: config.billing,
    dashboardOrigin: config.dashboardOrigin,
    fetch: outside.payments ?? reach,
  });
  const tenants = createTenantService({
    db,
    world,
    hosts,
    ring: config.vaultKeys,
    origins: config.tenants,
    maxTenantsPerOwner: config.maxTenantsPerOwner,
    limits: config.authRateLimit ? new Limits(db, world) : null,
    undoMs: config.undoDeletionMs,
    billing,
    channels: { goodbye: (tenantId) => channels.goodbye(tenantId) },
  });
  const holdsToken = (authorization: string | undefined) => isOperator(authorization, config.operatorToken);
  const data = createData({ db, world, config, hosts, accounts, billing, post, isOperator: holdsToken });
  const access = createAccess({ db, world, config, accounts });
  const channels = createChannels({
    db,
    world,
    config,
    hosts,
    accounts,
    post,
    fetch: reach,
    deliveryToken: access.deliveryToken,
  });
  const keyChecks = createKeyChecks({ db, world, fetch: reach, at: config.providersAt });
  const pageDeps: PageDeps = {
    keys: { service: tenants, checks: keyChecks },
    channels: channels.service,
    data: data.service,
    leave: data.leave,
    receipts: (person) => receiptsOf(db, person.id),
    person: accounts.person,
    accounts,
    social: (["google", "github"] as const).filter((site) => config.social[site]),
    mailbox: post.mailbox,
    ownHost: new URL(config.dashboardOrigin).host,
    tenants,
    billing: billing.service,
    background: backgroundOf,
    tenantDomain: config.tenants.domain,
    tenantOrigin: config.tenants.template,
  };

  const app = new OpenAPIHono();
  app.get("/healthz", (c) => c.text("ok", 200, { "cache-control": "no-store" }));

  const payment = config.billing.mode === "stripe" ? config.billing.pages : [];
  app.use(
    browserSafety({
      formTargets: [config.tenants.template, ...payment, ...socialOrigins(config.social)],
      https: config.secureCookies,
    }),
  );
  // A report may be larger: it has a limit of its own, kept while it is read.
  app.use(except([REPORT_PATH, WEBHOOK_PATH, HOOKS_PATH], limitedBody));
  for (const path of ["/assets/*", "/api/docs", "/status"]) app.use(path, compressed);
  app.use(sameOriginOnly(config.dashboardOrigin));

  app.use(async (c, next) => {
    await next();
    post.deliverSoon(backgroundOf(c));
  });

  const idempotency = createIdempotency({
    ...{ db, world, secret: config.authSecret },
    async callerOf(headers) {
      if (isOperator(headers.get("authorization") ?? undefined, config.operatorToken)) return "operator";
      const caller = await accounts.caller(headers);
      return caller && `${caller.person.id} ${caller.scopes?.join(" ") ?? "session"}`;
    },
    look: async (path, headers) => app.request(path, { headers }),
  });
  if (config.authRateLimit)
    app.use(
      "/api/v1/*",
      turns(
        world,
        byCredential((authorization) => isOperator(authorization, config.operatorToken)),
      ),
    );
  // Before a body is read or a signature checked, which anybody may ask for.
  if (config.authRateLimit) app.use("/api/hosts/*", turns(world, hostCalls));
  app.use("/api/v1/*", idempotency.middleware);

  app.route("/api/auth", accounts.routes);
  app.route("/api/v1/tenants", tenantRoutes({ service: tenants, accounts, news }));
  app.route("/api/v1", channels.api);
  app.route("/", channels.hooks);
  app.route("/api/v1/billing", billingApi(billing.service, accounts));
  app.route("/api/v1", accountApi(accounts));
  app.route("/api/v1", providerRoutes({ checks: keyChecks, accounts }));
  const status = createStatus({ db, world });
  const operator = createOperator({ db, world, hosts, payments: config.billing.mode });
  app.route("/api/v1", operatorApi(operator, { accounts, world, isOperator: holdsToken }));
  app.route("/api/v1", upgradeRoutes(tenants.upgrades, holdsToken));
  app.route("/api/v1", hosts.operatorRoutes);
  app.route(
    "/api/v1",
    peopleRoutes(accounts, (authorization) => isOperator(authorization, config.operatorToken)),
  );
  const vault = { db, world, ring: config.vaultKeys };
  app.route(
    "/api/v1",
    vaultRoutes(vault, (authorization) => isOperator(authorization, config.operatorToken)),
  );
  app.route("/api/hosts", hosts.routes);
  app.route("/", billing.routes);
  app.route("/", data.routes);
  let document: ReturnType<typeof documentOf> | undefined;
  const describe = () => {
    document ??= documentOf(app);
    return document;
  };
  app.get(DOCUMENT_PATH, (c) => c.json(describe()));
  app.route("/", referenceRoutes(pageDeps, describe));
  const { metricsToken } = config;
  const metrics = createMetrics({
    ...{ world, overview: operator.overview },
    mayRead: metricsToken === null ? null : (authorization) => isOperator(authorization, metricsToken),
  });
  app.route("/", metrics.routes);
  app.route("/", access.routes);
  app.route("/", pageRoutes(pageDeps));
  app.route("/", statusPages(status));
  app.route("/", operatorPages({ accounts, world, operator, background: backgroundOf }));

  const wantsPage = (c: Context) => !c.req.path.startsWith("/api/") && c.req.header("accept")?.includes("text/html");
  app.notFound(async (c) => {
    const it = problem("not_found");
    return wantsPage(c) ? problemPage(c, it, await accounts.person(c)) : problemResponse(it);
  });
  app.onError(async (error, c) => {
    const answer = await lastResort(error, c);
    return wantsPage(c) && answer.status === 500 ? problemPage(c, problem("internal"), null) : answer;
  });

  const tick = async () => {
    const rooms = [status, billing, accounts, tenants, hosts, data, idempotency, channels].map(
      (room) => () => room.tick(),
    );
    const failures: unknown[] = [];
    // What breaks in one room must not stop the clock of all others; the log has it either way.
    for (const turn of [...rooms, () => warnOfWraps(vault)]) await turn().catch((error) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, failures.map(describeError).join("; "));
  };
  /** Every request to every agent is a question here: it goes past the router, which costs more than most answers. */
  const serve = (request: Request, bindings: object, context: ExecutionContext) => {
    const isQuestion = access.isQuestion(request);
    const answer = isQuestion
      ? access.forwardAuth(request, (work) => context.waitUntil(logFailure(work)))
      : app.fetch(request, bindings, context);
    return metrics.counted(answer, isQuestion ? "door" : partOf(request.url));
  };
  return { app: { fetch: serve, routes: app.routes }, tick, describe };
}

export type Edge = ReturnType<typeof createEdge>;
