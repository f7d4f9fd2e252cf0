import { createHash } from "node:crypto";
import type { Context } from "hono";
import { toBase64url } from "../../schema/protocol/index.ts";
import type { Accounts } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { type Config, tenantOriginOf } from "../env.ts";
import { DOOR_LIFETIME_SECONDS, type DoorKeys } from "./door.ts";
import { cookieNames, parseHost } from "./parse.ts";
import { cookie, redirect, refusal } from "./render.ts";
import { CALLBACK_PATH, type DoorRequest, safeReturn } from "./rules.ts";
import { readKnowledge, saveTicket, takeTicket } from "./store.ts";

const TICKET_LIFETIME_MS = 60_000;
const BIND_LIFETIME_SECONDS = 600;
const SECRET = /^[A-Za-z0-9_-]{43}$/;

const sha256 = (text: string) => createHash("sha256").update(text).digest("base64url");

export interface WayInOptions {
  db: Database;
  world: World;
  config: Pick<Config, "dashboardOrigin" | "tenants">;
  keys: DoorKeys;
  accounts: Pick<Accounts, "person">;
}

/** How a browser gets its door cookie: from the agent's host name over the dashboard and back, with a ticket for once. */
export function createWayIn({ db, world, config, keys, accounts }: WayInOptions) {
  const { dashboardOrigin, tenants: origins } = config;
  const names = cookieNames(origins);
  const nobody = () => {
    const text = "This address belongs to no agent.";
    return refusal({ code: "not_found", title: "Nothing here.", text }, true);
  };

  return {
    /** The ticket will open the door only in the browser that holds this cookie: a stolen link is worth nothing. */
    start(request: DoorRequest, returnTo: string): Response {
      const [held] = request.bindCookies;
      const keep = request.bindCookies.length === 1 && held !== undefined && SECRET.test(held);
      const secret = keep ? held : toBase64url(world.random(32));
      const to = new URL("/authorize", dashboardOrigin);
      to.search = new URLSearchParams({ host: request.hostname, bind: sha256(secret), return: returnTo }).toString();
      return redirect(to.href, [cookie(names.bind, secret, BIND_LIFETIME_SECONDS)]);
    },

    /** Null when the ticket is not good for this host name in this browser at this moment. It is spent all the same. */
    async redeem(request: DoorRequest, ticket: string): Promise<Response | null> {
      const row = SECRET.test(ticket) ? await takeTicket(db, sha256(ticket)) : null;
      const [secret] = request.bindCookies;
      const isGood =
        row !== null &&
        row.hostname === request.hostname &&
        row.expiresAt > world.now() &&
        request.bindCookies.length === 1 &&
        secret !== undefined &&
        row.browserHash === sha256(secret);
      if (!isGood) return null;
      const { userId, sessionId, hostname } = row;
      const token = await keys.sign({ userId, sessionId, hostname }, world.now());
      return redirect(row.returnTo, [cookie(names.door, token, DOOR_LIFETIME_SECONDS)]);
    },

    /** `GET /authorize?host&bind&return` on the dashboard: a ticket for the owner, nothing for anybody else. */
    async authorize(c: Context): Promise<Response> {
      const { host = "", bind = "", return: wanted = "/" } = c.req.query();
      const site = parseHost(host, origins);
      if (!site || !SECRET.test(bind)) return nobody();
      const person = await accounts.person(c);
      if (!person) {
        const { pathname, search } = new URL(c.req.url);
        return redirect(`/sign-in?${new URLSearchParams({ next: `${pathname}${search}` })}`);
      }
      const { tenant } = await readKnowledge(db, site.slug, null);
      if (!tenant || tenant.deleted) return nobody();
      if (tenant.ownerId !== person.id) {
        const text = `You are signed in as ${person.email}, but only its owner can open it.`;
        const link = { href: "/agents", label: "To your agents" };
        return refusal({ code: "not_owner", title: "This agent is not yours.", text, link }, true);
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
    },
  };
}

export type WayIn = ReturnType<typeof createWayIn>;
