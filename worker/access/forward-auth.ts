import { addressKey, bearerOf } from "../accounts/rules.ts";
import type { Holder } from "../accounts/types.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { type Config, tenantOriginOf } from "../env.ts";
import { describeError } from "../http.ts";
import { problem, problemResponse } from "../problem.ts";
import type { Askers } from "./askers.ts";
import type { DoorKeys } from "./door.ts";
import { cookieNames, parseDoorRequest } from "./parse.ts";
import { Patience } from "./patience.ts";
import { type Later, Remembered } from "./remembered.ts";
import { cookie, redirect, refusal } from "./render.ts";
import { type DoorClaims, type DoorRequest, decideAccess, type Knowledge, type Verdict } from "./rules.ts";
import { readKnowledge } from "./store.ts";
import type { WayIn } from "./way-in.ts";

export interface ForwardAuthOptions {
  db: Database;
  world: World;
  config: Pick<Config, "dashboardOrigin" | "tenants">;
  keys: DoorKeys;
  askers: Askers;
  wayIn: Pick<WayIn, "start" | "redeem">;
  /** Whom an Authorization header speaks for; one query. */
  bearer(authorization: string): Promise<Holder | null>;
}

/** Who the visitor says to be. `shown` is false for one who says nothing. */
interface Credential {
  claims: DoorClaims | null;
  authorization: string | null;
  shown: boolean;
}

/**
 * `GET /forward-auth`, as every request to every agent passes it. What is warm is answered without a promise and without
 * the database; everything else takes the longer way, on which those who guess run out of patience.
 */
export function createForwardAuth({ db, world, config, keys, askers, wayIn, bearer }: ForwardAuthOptions) {
  const { dashboardOrigin, tenants: origins } = config;
  const names = cookieNames(origins);
  const knowing = new Remembered<Knowledge>(world, 20_000);
  const patience = new Patience(world);

  function forwardAuth({ headers }: Request, later: Later): Response | Promise<Response> {
    const key = headers.get("x-chelar-host") ?? "";
    const hostId = askers.known(key, later);
    const answered = hostId === undefined ? undefined : answerWarm(headers, hostId, later);
    return answered ?? answerCold(headers, key, later).catch(unavailable);
  }

  function answerWarm(headers: Headers, hostId: string, later: Later): Response | Promise<Response> | undefined {
    const request = parseDoorRequest(headers, { origins, names, hostId });
    if (!request?.slug) return answer({ kind: "nobody" }, request, headers);
    const [token] = request.doorCookies;
    const claims = token !== undefined && request.doorCookies.length === 1 ? keys.known(token) : null;
    // Never seen: whatever it is, it has to be verified.
    if (claims === undefined) return undefined;
    const credential = credentialOf(headers, claims, token !== undefined);
    const knowledge = knowing.warm(memoryKey(request.slug, credential), () => look(request.slug, credential), later);
    return knowledge && answer(decide(request, claims, knowledge), request, headers);
  }

  async function answerCold(headers: Headers, key: string, later: Later): Promise<Response> {
    const hostId = await askers.find(key);
    if (hostId === null) return problemResponse(problem("host_refused"));
    const request = parseDoorRequest(headers, { origins, names, hostId });
    if (!request?.slug) return answer({ kind: "nobody" }, request, headers);
    const [token] = request.doorCookies;
    const isOne = token !== undefined && request.doorCookies.length === 1;
    const claims = isOne ? await keys.verify(token, request.hostname) : null;
    // Who shows a cookie that we signed is no stranger, and does not pay for a neighbour behind the same address.
    const retryAfterSeconds = claims ? 0 : patience.waitSeconds(addressOf(headers));
    if (retryAfterSeconds > 0) return answer({ kind: "too_many", retryAfterSeconds }, request, headers);
    const credential = credentialOf(headers, claims, token !== undefined);
    const memory = memoryKey(request.slug, credential);
    const ask = () => look(request.slug, credential);
    const knowledge = knowing.warm(memory, ask, later) ?? (await knowing.look(memory, ask));
    const { tenant, session, holder } = knowledge;
    const inVain = tenant === null || (credential.shown && session === null && holder === null);
    if (inVain) patience.charge(addressOf(headers), `${memory} ${claims ? "" : (token ?? "")}`);
    return answer(decide(request, claims, knowledge), request, headers);
  }

  async function look(slug: string | null, { claims, authorization }: Credential): Promise<Knowledge> {
    const [known, holder] = await Promise.all([
      readKnowledge(db, slug ?? "", claims?.sessionId ?? null),
      authorization === null ? null : bearer(authorization),
    ]);
    return {
      ...known,
      holder: holder && {
        userId: holder.userId,
        expiresAtMs: holder.expiresAtMs,
        mayOpenAgents: holder.scopes.includes("agents:open"),
      },
    };
  }

  const decide = (request: DoorRequest, claims: DoorClaims | null, knowledge: Knowledge) =>
    decideAccess(request, claims, knowledge, tenantOriginOf(origins, request.slug ?? ""), world.now());

  function answer(verdict: Verdict, request: DoorRequest | null, headers: Headers): Response | Promise<Response> {
    if (verdict.kind === "allow") {
      return new Response(null, { status: 200, headers: { "x-chelar-user": verdict.userId } });
    }
    const isPage = request?.acceptsHtml ?? false;
    const home = { href: dashboardOrigin, label: "To the dashboard" };
    switch (verdict.kind) {
      case "nobody": {
        const text = "This address belongs to no agent.";
        return refusal({ code: "not_found", title: "Nothing here.", text, link: home }, isPage);
      }
      case "unauthenticated": {
        const text = "Open this address in your browser, or send an API key that may open agents.";
        return refusal({ code: "unauthenticated", title: "Sign in first.", text }, isPage);
      }
      case "not_owner": {
        const text = "You are signed in, but only its owner can open it.";
        return refusal({ code: "not_owner", title: "This agent is not yours.", text, link: home }, isPage);
      }
      case "narrow_key": {
        const text = "Make one with the scope agents:open.";
        return refusal({ code: "insufficient_scope", title: "This key may not open agents.", text }, isPage);
      }
      case "foreign_site": {
        const text = "Open the agent itself, and try again from there.";
        return refusal({ code: "csrf_refused", title: "Another site caused this request.", text }, isPage);
      }
      case "too_many": {
        const { retryAfterSeconds } = verdict;
        const text = `Try again in ${retryAfterSeconds} seconds.`;
        return refusal({ code: "rate_limited", title: "Too many attempts.", text, retryAfterSeconds }, isPage);
      }
      case "sign_out":
        return redirect(dashboardOrigin, [cookie(names.door, "", 0), cookie(names.bind, "", 0)]);
      case "sign_in":
        return wayIn.start(request as DoorRequest, verdict.returnTo);
      case "redeem":
        return redeem(request as DoorRequest, verdict.ticket, addressOf(headers)).catch(unavailable);
    }
  }

  async function redeem(request: DoorRequest, ticket: string, address: string): Promise<Response> {
    const retryAfterSeconds = patience.waitSeconds(address);
    if (retryAfterSeconds === 0) {
      const landed = await wayIn.redeem(request, ticket);
      if (landed) return landed;
      patience.charge(address, ticket);
    }
    const link = { href: "/", label: "Open the agent" };
    const text = "Open the agent again.";
    const title = "This link has been used or has expired.";
    return refusal({ code: "unauthenticated", title, text, link }, true);
  }

  return forwardAuth;
}

/** A key or token counts only where no cookie of ours was proven: the agent's own pages may send theirs along. */
function credentialOf(headers: Headers, claims: DoorClaims | null, hasCookie: boolean): Credential {
  const sent = claims === null ? headers.get("authorization") : null;
  const authorization = sent !== null && bearerOf(sent) ? sent : null;
  return { claims, authorization, shown: hasCookie || authorization !== null };
}

const memoryKey = (slug: string, { claims, authorization }: Credential): string =>
  `${slug} ${claims ? `s ${claims.sessionId}` : (authorization ?? "")}`;

/** As Caddy saw it, overwriting what the client said; believed since an enrolled host says it. */
const addressOf = (headers: Headers): string => addressKey(headers.get("x-chelar-client") ?? "");

/** The database is away: nobody is let in, and nobody is told more than when to come back. */
function unavailable(error: unknown): Response {
  console.error(JSON.stringify({ event: "door_unavailable", error: describeError(error) }));
  return problemResponse(problem("door_unavailable", { retryAfterSeconds: 5 }));
}
