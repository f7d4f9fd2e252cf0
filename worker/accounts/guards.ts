import { APIError, createAuthMiddleware } from "better-auth/api";
import { and, eq, ne } from "drizzle-orm";
import { session, user } from "../../schema/db/accounts.ts";
import type { Database } from "../db.ts";
import type { Post } from "../mail/index.ts";
import type { LetterDesk } from "./letters.ts";
import type { Limits } from "./limits.ts";

const MAX_NAME_CHARACTERS = 100;
const MAX_USER_AGENT_CHARACTERS = 300;
const MAX_PASSKEY_NAME_CHARACTERS = 60;

const refuse = (status: "BAD_REQUEST" | "UNAUTHORIZED" | "FORBIDDEN", code: string, message: string) =>
  APIError.from(status, { code, message });

interface Guarded {
  db: Database;
  limits: Limits;
  post: Pick<Post, "send">;
  letters: LetterDesk;
}

/** What must hold whenever better-auth writes a row, by whichever of its ways. */
export function rowGuards({ db, limits }: Guarded) {
  const isSuspended = async (userId: string) =>
    (await db.select({ at: user.suspendedAt }).from(user).where(eq(user.id, userId)))[0]?.at != null;

  return {
    user: {
      create: {
        async before(given: { name: string; emailVerified: boolean }, context: { path?: string } | null) {
          // Another site's word for an address that it has not checked: whoever holds that address would one day take
          // the account over by a reset, and the first one would still get in by that site.
          if (!given.emailVerified && context?.path !== "/sign-up/email") return false;
          return { data: { name: given.name.slice(0, MAX_NAME_CHARACTERS), image: null } };
        },
      },
      update: {
        before: async ({ name }: { name?: string }) => ({
          data: { ...(name === undefined ? {} : { name: name.slice(0, MAX_NAME_CHARACTERS) }), image: null },
        }),
      },
    },
    account: { create: { before: forgetTokens }, update: { before: forgetTokens } },
    session: {
      create: {
        async before(
          { userId, userAgent }: { userId: string; userAgent?: string | null },
          context: { path?: string; body?: unknown } | null,
        ) {
          if (await isSuspended(userId)) throw refuse("FORBIDDEN", "ACCOUNT_SUSPENDED", "This account is suspended.");
          // RFC 6238 section 5.2: a code that was good once is good for nobody who read it over the shoulder.
          if (context?.path === "/two-factor/verify-totp") {
            const { code } = context.body as { code: string };
            const once = { key: `totp ${userId} ${code}`, max: 1, windowSeconds: 120 };
            if ((await limits.take([[once]])) !== null) throw refuse("UNAUTHORIZED", "INVALID_CODE", "Invalid code");
          }
          return { data: { userAgent: userAgent?.slice(0, MAX_USER_AGENT_CHARACTERS) } };
        },
      },
    },
  };
}

/** Another site has said who it is, and is never asked again: what it gave to ask with is nothing to keep. */
const forgetTokens = async () => ({ data: { accessToken: null, refreshToken: null, idToken: null } });

/** What the owner is told by mail, since it may have been somebody else. */
const CHANGES: Readonly<Record<string, string>> = {
  "/change-password": "The password was changed, and all other sessions have ended",
  "/two-factor/disable": "Sign-in no longer asks for a code",
  "/passkey/verify-registration": "A passkey was added",
  "/passkey/delete-passkey": "A passkey was removed, and all other sessions have ended",
};

/** What is changed in what a caller asks for, and what follows from what was done. */
export function callGuards({ db, post, letters }: Guarded) {
  return {
    before: createAuthMiddleware(async (ctx) => {
      const body = ctx.body as Record<string, unknown> | undefined;
      switch (ctx.path) {
        case "/change-password":
          // Who changes a password mistrusts who may have known the old one.
          return { context: { body: { ...body, revokeOtherSessions: true } } };
        case "/two-factor/verify-totp":
        case "/two-factor/verify-backup-code":
          // A browser that is trusted for a month would stay so after the password and the code have changed.
          return { context: { body: { ...body, trustDevice: false } } };
        case "/sign-in/social":
          // By redirect only: there the state ties the answer to the browser that asked.
          if (body?.idToken) throw refuse("BAD_REQUEST", "ID_TOKEN_NOT_SUPPORTED", "Sign in by redirect.");
          return;
        case "/passkey/verify-registration":
          if (typeof body?.name !== "string") return;
          return { context: { body: { ...body, name: body.name.slice(0, MAX_PASSKEY_NAME_CHARACTERS) } } };
      }
    }),
    after: createAuthMiddleware(async (ctx) => {
      const said = CHANGES[ctx.path];
      const { session: current, returned } = ctx.context;
      if (!said || !current || returned instanceof Error) return;
      await post.send(letters.changed(current.user.email, said));
      // A lost passkey may have been used already: whatever it opened is shut with it.
      if (ctx.path === "/passkey/delete-passkey") {
        const { userId, id } = current.session;
        await db.delete(session).where(and(eq(session.userId, userId), ne(session.id, id)));
      }
    }),
  };
}

/** A passkey stands for both factors only when the device has asked for a finger, a face or its PIN. */
export function mustBeVerified(info: { userVerified: boolean } | undefined): void {
  if (!info?.userVerified) throw refuse("UNAUTHORIZED", "USER_NOT_VERIFIED", "The device did not check who you are.");
}
