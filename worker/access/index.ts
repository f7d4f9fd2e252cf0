import { createHash } from "node:crypto";
import { type Context, Hono } from "hono";
import { toBase64url } from "../../schema/protocol/index.ts";
import type { Accounts } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { type Config, tenantOriginOf } from "../env.ts";
import { backgroundOf } from "../http.ts";
import { DOOR_LIFETIME_SECONDS, DoorKeys } from "./door.ts";
import { cookieNames, parseDoorRequest, parseHost } from "./parse.ts";
import { cookie, doorPage, redirect } from "./render.ts";
import { CALLBACK_PATH, type DoorRequest, decideAccess, safeReturn, type Verdict } from "./rules.ts";
import { Knowing, readKnowledge, saveTicket, takeTicket } from "./store.ts";

const TICKET_LIFETIME_MS = 60_000;
const BIND_LIFETIME_SECONDS = 600;
const SECRET = /^[A-Za-z0-9_-]{43}$/;

export interface AccessOptions {
  db: Database;
  world: World;
  config: Config;
  accounts: Pick<Accounts, "person">;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("base64url");

/** The door of every tenant, and the dashboard's half of getting through it. */
export function createAccess({ db, world, config, accounts }: AccessOptions) {
  const { dashboardOrigin, tenants: origins } = config;
  const names = cookieNames(origins);
  const keys = new DoorKeys(config.ticketKey, dashboardOrigin);
  const knowing = new Knowing(db, world);

  async function forwardAuth(c: Context): Promise<Response> {
    const request = parseDoorRequest(c.req.raw.headers, origins);
    if (!request?.slug) return render({ kind: "nobody" }, request);
    const token = request.doorCookies.length === 1 ? request.doorCookies[0] : undefined;
    const claims = token ? await keys.verify(token, request.hostname, world.now()) : null;
    const knowledge = await knowing.about(request.slug, claims?.sessionId ?? null, backgroundOf(c));
    const origin = tenantOriginOf(origins, request.slug);
    return render(decideAccess(request, claims, knowledge, origin, world.now()), request);
  }

  async function render(verdict: Verdict, request: DoorRequest | null): Promise<Response> {
    const isPage = request?.acceptsHtml ?? false;
    const home = { href: dashboardOrigin, label: "To the dashboard" };
    switch (verdict.kind) {
      case "allow":
        return new Response(null, { status: 200, headers: { "x-chelar-user": verdict.userId } });
      case "nobody":
        return doorPage(404, { title: "Nothing here.", text: "This address belongs to no agent.", link: home, isPage });
      case "unauthenticated":
        return doorPage(401, { title: "Sign in first.", text: "Open this address in your browser.", isPage });
      case "not_owner":
        return doorPage(403, {
          title: "This agent is not yours.",
          text: "You are signed in, but only its owner can open it.",
          link: home,
          isPage,
        });
      case "foreign_site":
        return doorPage(403, { title: "Refused.", text: "Another site caused this request.", isPage });
      case "sign_out":
        return redirect(dashboardOrigin, [cookie(names.door, "", 0), cookie(names.bind, "", 0)]);
      case "sign_in":
        return startSignIn(request as DoorRequest, verdict.returnTo);
      case "redeem":
        return redeem(request as DoorRequest, verdict.ticket);
    }
  }

  /** The ticket will open the door only in the browser that holds this cookie: a stolen link is worth nothing. */
  function startSignIn(request: DoorRequest, returnTo: string): Response {
    const [held] = request.bindCookies;
    const keep = request.bindCookies.length === 1 && held !== undefined && SECRET.test(held);
    const secret = keep ? held : toBase64url(world.random(32));
    const to = new URL("/authorize", dashboardOrigin);
    to.search = new URLSearchParams({ host: request.hostname, bind: sha256(secret), return: returnTo }).toString();
    return redirect(to.href, [cookie(names.bind, secret, BIND_LIFETIME_SECONDS)]);
  }

  async function redeem(request: DoorRequest, ticket: string): Promise<Response> {
    const row = SECRET.test(ticket) ? await takeTicket(db, sha256(ticket)) : null;
    const [secret] = request.bindCookies;
    const isGood =
      row !== null &&
      row.hostname === request.hostname &&
      row.expiresAt > world.now() &&
      request.bindCookies.length === 1 &&
      secret !== undefined &&
      row.browserHash === sha256(secret);
    if (!isGood) {
      return doorPage(401, {
        title: "This link has been used or has expired.",
        text: "Open the agent again.",
        link: { href: "/", label: "Open the agent" },
        isPage: true,
      });
    }
    const { userId, sessionId, hostname } = row;
    const token = await keys.sign({ userId, sessionId, hostname }, world.now());
    return redirect(row.returnTo, [cookie(names.door, token, DOOR_LIFETIME_SECONDS)]);
  }

  /** `GET /authorize?host&bind&return` on the dashboard: a ticket for the owner, nothing for anybody else. */
  async function authorize(c: Context): Promise<Response> {
    const { host = "", bind = "", return: wanted = "/" } = c.req.query();
    const site = parseHost(host, origins);
    if (!site || !SECRET.test(bind)) {
      return doorPage(404, { title: "Nothing here.", text: "This address belongs to no agent.", isPage: true });
    }
    const person = await accounts.person(c);
    if (!person) {
      const { pathname, search } = new URL(c.req.url);
      return redirect(`/sign-in?${new URLSearchParams({ next: `${pathname}${search}` })}`);
    }
    const { tenant } = await readKnowledge(db, site.slug, null);
    if (!tenant || tenant.deleted) {
      return doorPage(404, { title: "Nothing here.", text: "This address belongs to no agent.", isPage: true });
    }
    if (tenant.ownerId !== person.id) {
      return doorPage(403, {
        title: "This agent is not yours.",
        text: `You are signed in as ${person.email}, but only its owner can open it.`,
        link: { href: "/agents", label: "To your agents" },
        isPage: true,
      });
    }
    const ticket = toBase64url(world.random(32));
    await saveTicket(db, {
      hash: sha256(ticket),
      tenantId: tenant.id,
      userId: person.id,
      sessionId: person.sessionId,
      hostname: site.hostname,
      browserHash: bind,
      returnTo: safeReturn(wanted),
      expiresAt: world.now() + TICKET_LIFETIME_MS,
    });
    return redirect(`${tenantOriginOf(origins, site.slug)}${CALLBACK_PATH}?${new URLSearchParams({ ticket })}`);
  }

  return {
    forwardAuth,
    routes: new Hono()
      .get("/authorize", authorize)
      .get("/.well-known/jwks.json", async (c) =>
        c.json(await keys.jwks(), 200, { "cache-control": "public, max-age=300" }),
      ),
  };
}
