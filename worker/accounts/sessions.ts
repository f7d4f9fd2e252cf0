import { and, eq, gt, isNull } from "drizzle-orm";
import { parseSigned } from "hono/utils/cookie";
import { session, user } from "../../schema/db/index.ts";
import type { Database } from "../db.ts";
import type { Config } from "../env.ts";
import type { Person } from "./types.ts";

const DAY_SECONDS = 24 * 3_600;
/** How long a session lasts after it was last used, and how often that is written down. */
export const SESSION = { expiresIn: 7 * DAY_SECONDS, updateAge: DAY_SECONDS };

const COOKIE = "chelar.session_token";

/**
 * Whose session the cookies in `headers` are, in one query of session and person: better-auth asks for one after the
 * other, on every page. Null says only that this is for better-auth to answer: no session, one that has run out, one that
 * is due to be renewed, somebody suspended. So whatever is written stays its own, and a session that has ended is over at
 * once, since its row is read every time.
 */
export async function readSession(
  { db, now, config }: { db: Database; now: number; config: Pick<Config, "authSecret" | "secureCookies"> },
  headers: Headers,
): Promise<Person | null> {
  const name = config.secureCookies ? `__Secure-${COOKIE}` : COOKIE;
  const { [name]: token } = await parseSigned(headers.get("cookie") ?? "", config.authSecret, name);
  if (!token) return null;
  const freshUntil = new Date(now + (SESSION.expiresIn - SESSION.updateAge) * 1_000);
  const [found] = await db
    .select({ id: user.id, email: user.email, name: user.name, role: user.role, sessionId: session.id })
    .from(session)
    .innerJoin(user, and(eq(user.id, session.userId), isNull(user.suspendedAt)))
    .where(and(eq(session.token, token), gt(session.expiresAt, freshUntil)));
  return found ? { ...found, role: found.role === "operator" ? "operator" : "person" } : null;
}

/** Whether there is anything to look for: a request without the cookie costs nothing. */
export const hasSessionCookie = (headers: Headers): boolean => headers.get("cookie")?.includes(`${COOKIE}=`) === true;
