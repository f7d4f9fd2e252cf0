import { type Context, Hono } from "hono";
import { z } from "zod";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Config } from "../env.ts";
import { backgroundOf, jsonOnly } from "../http.ts";
import type { Post } from "../mail/index.ts";
import { good, problem, problemResponse, type Result } from "../problem.ts";
import { createAuth } from "./auth.ts";
import { Bearers } from "./bearer.ts";
import { confirmAgain } from "./confirm-again.ts";
import { createKeys, type Keys } from "./keys.ts";
import { Limits } from "./limits.ts";
import { type Refusal, refusalOf, tooOften } from "./refusals.ts";
import { accountKey, authDoor, bucketsOf, forgivenOf } from "./rules.ts";
import { hasSessionCookie, readSession } from "./sessions.ts";
import * as store from "./store.ts";
import type { Caller, Holder, Person } from "./types.ts";

export { Limits } from "./limits.ts";
export { accountApi, peopleRoutes } from "./routes.ts";
export { allows, socialOrigins } from "./rules.ts";
export type { ApiKeyView, Security } from "./store.ts";
export { type Caller, type Holder, type Person, SCOPES, type Scope } from "./types.ts";

const BASE = "/api/auth";

/** What came of a form. `headers` carries cookies to append to the answer, also of some refusals. */
export type Acted = { headers: Headers } & ({ ok: true; body: unknown } | { ok: false; refusal: Refusal });

export interface Accounts extends Keys {
  /** Everything below /api/auth. */
  routes: Hono;
  /** The person of this request's session, or null. Looked up at most once per request. */
  person(c: Context): Promise<Person | null>;
  /** The same for the cookies in `headers`, looked up anew. */
  look(headers: Headers): Promise<Person | null>;
  /** Whoever calls the API, by session or by `Authorization: Bearer`; looked up anew. A header that is wrong is no one. */
  caller(headers: Headers, keep?: (cookie: string) => void): Promise<Caller | null>;
  /** Who an Authorization header speaks for, or null; one query, see {@link Bearers.holder}. */
  bearer(authorization: string): Promise<Holder | null>;
  /** One of better-auth's POST endpoints, on behalf of a form of ours, through the same limits. */
  act(c: Context, path: string, body: object): Promise<Acted>;
  security(person: Person): Promise<store.Security>;
  /** Whether it is still the owner, before what cannot be taken back; see {@link confirmAgain}. */
  confirmAgain(person: Person, password: string | undefined): Promise<Result<null>>;
  /** Ends one session of this person, or with null all but their own. */
  endSessions(person: Person, which: string | null): Promise<void>;
  operator: {
    find(by: { id: string } | { email: string }): Promise<store.PersonRow | null>;
    change(id: string, change: store.PersonChange): Promise<Result<store.PersonRow>>;
  };
  /** Mail that is due, and what has run out. */
  tick(): Promise<void>;
}

export interface AccountsOptions {
  db: Database;
  world: World;
  post: Post;
  hash?: (password: string) => Promise<string>;
  config: Pick<Config, "dashboardOrigin" | "authSecret" | "secureCookies" | "authRateLimit" | "social" | "ticketKey">;
}

export function createAccounts({ db, world, post, config, hash }: AccountsOptions): Accounts {
  const origin = config.dashboardOrigin;
  const limits = new Limits(db, world);
  const bearers = new Bearers({ db, world, ticketKey: config.ticketKey, origin });
  let made: ReturnType<typeof createAuth> | undefined;
  const auth = () => {
    made ??= createAuth({ db, world, limits, post, config, hash });
    return made;
  };
  const people = new WeakMap<Request, Promise<Person | null>>();

  /** The one way to better-auth, for the API and for our forms: what is open, how often, and then what it says. */
  async function enter(c: Context, request: Request, text: string): Promise<Response> {
    const path = new URL(request.url).pathname.slice(BASE.length);
    const door = authDoor(request.method, path);
    if (!door) return problemResponse(problem("not_found"));
    const email = emailIn(text);
    if (door.account && email === null) {
      return problemResponse(problem("invalid_body", { field: "email", detail: "This is not an e-mail address." }));
    }
    const account = email && accountKey(email);
    const buckets = bucketsOf(door, path, c.req.header("cf-connecting-ip") ?? "unknown", account);
    const waitSeconds = config.authRateLimit ? await limits.take(buckets) : null;
    if (waitSeconds !== null) {
      return problemResponse(
        problem("rate_limited", { retryAfterSeconds: waitSeconds, detail: tooOften(waitSeconds).message }),
      );
    }
    const later = backgroundOf(c);
    const work = async () => {
      const response = await auth().handler(request);
      if (door.forgives && response.ok && config.authRateLimit) await limits.forgive(forgivenOf(buckets));
      post.deliverSoon(later);
      return response;
    };
    if (!door.answersFirst) return work();
    later(work());
    return Response.json({ status: true });
  }

  async function act(c: Context, path: string, body: object): Promise<Acted> {
    const headers = new Headers({ "content-type": "application/json", origin });
    for (const name of ["cookie", "user-agent", "cf-connecting-ip"]) {
      const value = c.req.header(name);
      if (value !== undefined) headers.set(name, value);
    }
    const text = JSON.stringify(body);
    const request = new Request(`${origin}${BASE}${path}`, { method: "POST", headers, body: text });
    const response = await enter(c, request, text);
    const answer = (await response.json().catch(() => ({}))) as { code?: unknown };
    if (response.ok) return { ok: true, headers: cookiesOf(response), body: answer };
    if (response.status >= 500) throw new Error(`better-auth answered ${response.status} on ${path}`);
    const refusal =
      response.status === 429 && response.headers.has("retry-after")
        ? tooOften(Number(response.headers.get("retry-after")))
        : refusalOf(String(answer.code ?? ""));
    return { ok: false, headers: cookiesOf(response), refusal };
  }

  async function look(headers: Headers, keep: (cookie: string) => void = () => {}): Promise<Person | null> {
    if (!hasSessionCookie(headers)) return null;
    const known = await readSession({ db, now: world.now(), config }, headers);
    if (known) return known;
    const found = await auth().api.getSession({ headers, returnHeaders: true });
    if (!found.response || found.response.user.suspendedAt) return null;
    // A session that is used lives on: row and cookie are renewed together, once a day.
    found.headers.getSetCookie().forEach(keep);
    const { user, session } = found.response;
    const role = user.role === "operator" ? "operator" : "person";
    return { id: user.id, email: user.email, name: user.name, role, sessionId: session.id };
  }

  async function caller(headers: Headers, keep?: (cookie: string) => void): Promise<Caller | null> {
    const authorization = headers.get("authorization");
    if (authorization === null) {
      const person = await look(headers, keep);
      return person && { person, scopes: null };
    }
    const holder = await bearers.holder(authorization);
    const found = holder && (await store.findPerson(db, { id: holder.userId }));
    if (!found) return null;
    const { id, email, name, role } = found;
    return { person: { id, email, name, role, sessionId: holder.grant.id }, scopes: holder.scopes };
  }

  return {
    routes: new Hono().all("/*", jsonOnly, async (c) => {
      const text = c.req.method === "GET" || c.req.method === "HEAD" ? "" : await c.req.text();
      const { url, method, headers } = c.req.raw;
      return asProblem(await enter(c, new Request(url, { method, headers, ...(text ? { body: text } : {}) }), text));
    }),
    person(c) {
      const keep = (cookie: string) => c.header("set-cookie", cookie, { append: true });
      const known = people.get(c.req.raw) ?? look(c.req.raw.headers, keep);
      people.set(c.req.raw, known);
      return known;
    },
    look: (headers) => look(headers),
    caller,
    bearer: (authorization) => bearers.holder(authorization),
    act,
    ...createKeys({ db, world, post, bearers, origin }),
    confirmAgain: (person, password) =>
      confirmAgain({ db, world, limits: config.authRateLimit ? limits : null }, person, password),
    security: (person) => store.readSecurity(db, person, world.now()),
    endSessions: (person, which) => store.endSessions(db, person, which),
    operator: {
      find: (by) => store.findPerson(db, by),
      async change(id, change) {
        if (!(await store.findPerson(db, { id }))) return { ok: false, problem: problem("not_found") };
        await store.changePerson(db, id, change, world.now());
        return good((await store.findPerson(db, { id })) as store.PersonRow);
      },
    },
    async tick() {
      await post.deliver();
      await db.batch(store.sweeping(db, world.now()) as [never, ...never[]]);
    },
  };
}

const withEmail = z.object({ email: z.string().trim().toLowerCase().pipe(z.email().max(254)) });

/** The address that a body is about. */
function emailIn(text: string): string | null {
  try {
    return withEmail.safeParse(JSON.parse(text)).data?.email ?? null;
  } catch {
    return null;
  }
}

function cookiesOf(response: Response): Headers {
  const headers = new Headers();
  for (const cookie of response.headers.getSetCookie()) headers.append("set-cookie", cookie);
  return headers;
}

/**
 * better-auth's own refusals keep their code and message, in the shape of a problem. What it did not foresee says
 * nothing about itself.
 */
async function asProblem(response: Response): Promise<Response> {
  const isProblem = response.headers.get("content-type") === "application/problem+json";
  if (isProblem || response.ok || (response.status >= 300 && response.status < 400)) return response;
  if (response.status === 404) return problemResponse(problem("not_found"));
  if (response.status >= 500) return problemResponse(problem("internal"));
  const { code = "refused", message = "Refused." } = (await response.json().catch(() => ({}))) as Record<
    string,
    string
  >;
  const body = {
    type: "urn:chelar:problem:account",
    title: message,
    status: response.status,
    code: code.toLowerCase(),
  };
  const headers = cookiesOf(response);
  headers.set("content-type", "application/problem+json");
  return Response.json(body, { status: response.status, headers });
}
