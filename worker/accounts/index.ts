import type { Context } from "hono";
import { Hono } from "hono";
import type { Database } from "../db.ts";
import { problem, problemResponse } from "../problem.ts";
import { type AuthOptions, createAuth, MIN_PASSWORD_CHARACTERS } from "./auth.ts";
import type { Person } from "./types.ts";

export type { Person } from "./types.ts";

type Field = "email" | "password" | "name";
export type CredentialAnswer = { ok: true; headers: Headers } | { ok: false; field?: Field; message: string };

export interface Accounts {
  /** Everything below /api/auth. */
  routes: Hono;
  /** The person of this request's session, or null. Looked up at most once per request. */
  person(c: Context): Promise<Person | null>;
  /** The same for the cookies in `headers`, looked up anew. */
  look(headers: Headers): Promise<Person | null>;
  signUp(c: Context, input: { name: string; email: string; password: string }): Promise<CredentialAnswer>;
  signIn(c: Context, input: { email: string; password: string }): Promise<CredentialAnswer>;
  signOut(c: Context): Promise<Headers>;
}

/** What better-auth's refusals say to a person. Sign-in never says which of the two was wrong. */
const REFUSALS: Readonly<Record<string, { field?: Field; message: string }>> = {
  INVALID_EMAIL: { field: "email", message: "This is not an e-mail address." },
  PASSWORD_TOO_SHORT: { field: "password", message: `Use at least ${MIN_PASSWORD_CHARACTERS} characters.` },
  PASSWORD_TOO_LONG: { field: "password", message: "Use at most 128 characters." },
  INVALID_EMAIL_OR_PASSWORD: { message: "E-mail address or password is wrong." },
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: {
    field: "email",
    message: "No account could be made with this address. If it is yours, sign in instead.",
  },
};

export function createAccounts(db: Database, options: AuthOptions): Accounts {
  let made: ReturnType<typeof createAuth> | undefined;
  const auth = () => {
    made ??= createAuth(db, options);
    return made;
  };
  const people = new WeakMap<Request, Promise<Person | null>>();

  /** Through better-auth's own front door, so that its rate limits and origin checks hold for our forms as well. */
  async function call(c: Context, path: string, body: unknown): Promise<Response> {
    const headers = new Headers({ "content-type": "application/json", origin: options.origin });
    for (const name of ["cookie", "user-agent", "cf-connecting-ip"]) {
      const value = c.req.header(name);
      if (value !== undefined) headers.set(name, value);
    }
    const request = new Request(`${options.origin}/api/auth${path}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    return auth().handler(request);
  }

  async function credential(c: Context, path: string, body: unknown): Promise<CredentialAnswer> {
    const response = await call(c, path, body);
    if (response.ok) return { ok: true, headers: cookiesOf(response) };
    if (response.status === 429) return { ok: false, message: "Too many attempts. Wait a minute and try again." };
    if (response.status >= 500) throw new Error(`better-auth answered ${response.status} on ${path}`);
    const { code } = (await response.json().catch(() => ({}))) as { code?: string };
    return { ok: false, ...(REFUSALS[code ?? ""] ?? { message: "This could not be accepted. Check what you typed." }) };
  }

  async function look(headers: Headers, keep: (cookie: string) => void = () => {}): Promise<Person | null> {
    if (!headers.get("cookie")?.includes("chelar.session_token=")) return null;
    const found = await auth().api.getSession({ headers, returnHeaders: true });
    if (!found.response) return null;
    // A session that is used lives on: row and cookie are renewed together, once a day.
    found.headers.getSetCookie().forEach(keep);
    const { user, session } = found.response;
    return { id: user.id, email: user.email, name: user.name, sessionId: session.id };
  }

  return {
    routes: new Hono().all("/*", async (c) => asProblem(await auth().handler(c.req.raw))),
    person(c) {
      const keep = (cookie: string) => c.header("set-cookie", cookie, { append: true });
      const known = people.get(c.req.raw) ?? look(c.req.raw.headers, keep);
      people.set(c.req.raw, known);
      return known;
    },
    look: (headers) => look(headers),
    signUp: (c, { name, email, password }) => credential(c, "/sign-up/email", { name, email, password }),
    signIn: (c, { email, password }) => credential(c, "/sign-in/email", { email, password }),
    signOut: async (c) => cookiesOf(await call(c, "/sign-out", {})),
  };
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
  if (response.ok || (response.status >= 300 && response.status < 400)) return response;
  if (response.status === 429) {
    const seconds = Number(response.headers.get("x-retry-after")) || 60;
    return problemResponse(problem("rate_limited", { retryAfterSeconds: seconds }));
  }
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
  return Response.json(body, { status: response.status, headers: { "content-type": "application/problem+json" } });
}
