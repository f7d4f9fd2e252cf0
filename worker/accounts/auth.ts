import { passkey } from "@better-auth/passkey";
import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { APIError, createAuthMiddleware } from "better-auth/api";
import { betterAuth } from "better-auth/minimal";
import { twoFactor } from "better-auth/plugins/two-factor";
import { and, eq, ne } from "drizzle-orm";
import * as schema from "../../schema/db/accounts.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Config } from "../env.ts";
import { describeError, withoutParameters } from "../http.ts";
import type { Post } from "../mail/index.ts";
import { confirmEmail } from "./confirm.ts";
import { letterDesk } from "./letters.ts";
import type { Limits } from "./limits.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";
import { MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS } from "./rules.ts";

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;
/** Longer ago than this, and what gives lasting access (a passkey, an API key) needs a new sign-in first. */
export const FRESH_SECONDS = HOUR_SECONDS / 2;

export interface AuthOptions {
  db: Database;
  world: World;
  limits: Limits;
  post: Pick<Post, "send">;
  config: Pick<Config, "dashboardOrigin" | "authSecret" | "secureCookies" | "social">;
}

/** better-auth on our tables. Sessions are rows: deleting one ends it everywhere at once. */
export function createAuth({ db, limits, post, config }: AuthOptions) {
  const origin = config.dashboardOrigin;
  const letters = letterDesk(origin);

  const isSuspended = async (userId: string) =>
    (await db.select({ at: schema.user.suspendedAt }).from(schema.user).where(eq(schema.user.id, userId)))[0]?.at !=
    null;

  return betterAuth({
    appName: "Chelar",
    baseURL: origin,
    basePath: "/api/auth",
    secret: config.authSecret,
    trustedOrigins: [origin],
    database: drizzleAdapter(db, { provider: "sqlite", schema }),
    user: {
      additionalFields: {
        role: { type: "string", input: false, required: true, defaultValue: "person" },
        suspendedAt: { type: "date", input: false, required: false },
      },
    },
    emailAndPassword: {
      enabled: true,
      requireEmailVerification: true,
      minPasswordLength: MIN_PASSWORD_CHARACTERS,
      maxPasswordLength: MAX_PASSWORD_CHARACTERS,
      revokeSessionsOnPasswordReset: true,
      resetPasswordTokenExpiresIn: HOUR_SECONDS,
      password: { hash: hashPassword, verify: verifyPassword },
      sendResetPassword: async ({ user, token }) => post.send(letters.reset(user.email, token)),
      // The link in the mail has shown whose address it is.
      onPasswordReset: async ({ user }) => {
        await db.update(schema.user).set({ emailVerified: true }).where(eq(schema.user.id, user.id));
        await post.send(letters.changed(user.email, "A new password was chosen, and all sessions have ended"));
      },
      // As many writes as a new account takes, so that the time of the answer tells nobody who has an account here.
      onExistingUserSignUp: async ({ user }) => {
        await db.update(schema.user).set({ id: user.id }).where(eq(schema.user.id, user.id));
        await db.update(schema.account).set({ userId: user.id }).where(eq(schema.account.userId, user.id));
        await post.send(letters.alreadyHere(user.email));
      },
    },
    emailVerification: {
      sendOnSignUp: true,
      sendOnSignIn: true,
      expiresIn: DAY_SECONDS,
      sendVerificationEmail: async ({ user, token }) => post.send(letters.confirm(user.email, token)),
    },
    socialProviders: config.social,
    session: {
      expiresIn: 7 * DAY_SECONDS,
      updateAge: DAY_SECONDS,
      freshAge: FRESH_SECONDS,
      cookieCache: { enabled: false },
    },
    plugins: [
      confirmEmail(),
      twoFactor({ issuer: "Chelar", allowPasswordless: true }),
      passkey({
        rpID: new URL(origin).hostname,
        rpName: "Chelar",
        origin,
        advanced: { webAuthnChallengeCookie: "passkey" },
        authenticatorSelection: { residentKey: "required", userVerification: "required" },
        registration: { afterVerification: async ({ verification }) => mustBeVerified(verification.registrationInfo) },
        authentication: {
          afterVerification: async ({ verification }) => mustBeVerified(verification.authenticationInfo),
        },
      }),
    ],
    databaseHooks: {
      user: {
        create: {
          // Another site's word for an address that it has not checked: whoever holds that address would one day take
          // the account over by a reset, and the first one would still get in by that site.
          before: async ({ emailVerified }, context) => emailVerified || context?.path === "/sign-up/email",
        },
      },
      account: { create: { before: forgetTokens }, update: { before: forgetTokens } },
      session: {
        create: {
          async before({ userId }, context) {
            if (await isSuspended(userId)) {
              throw APIError.from("FORBIDDEN", { code: "ACCOUNT_SUSPENDED", message: "This account is suspended." });
            }
            // RFC 6238 section 5.2: a code that was good once is good for nobody who read it over the shoulder.
            if (context?.path !== "/two-factor/verify-totp") return;
            const once = {
              key: `totp ${userId} ${(context.body as { code: string }).code}`,
              max: 1,
              windowSeconds: 120,
            };
            if ((await limits.take([[once]])) !== null) {
              throw APIError.from("UNAUTHORIZED", { code: "INVALID_CODE", message: "Invalid code" });
            }
          },
        },
      },
    },
    hooks: {
      before: createAuthMiddleware(async (ctx) => {
        // Who changes a password mistrusts who may have known the old one.
        if (ctx.path === "/change-password") return { context: { body: { ...ctx.body, revokeOtherSessions: true } } };
      }),
      after: createAuthMiddleware(async (ctx) => {
        const said = CHANGES[ctx.path];
        const { session } = ctx.context;
        if (!said || !session || ctx.context.returned instanceof APIError) return;
        await post.send(letters.changed(session.user.email, said));
        // A lost passkey may have been used already: whatever it opened is shut with it.
        if (ctx.path === "/passkey/delete-passkey") {
          const { userId, id } = session.session;
          await db.delete(schema.session).where(and(eq(schema.session.userId, userId), ne(schema.session.id, id)));
        }
      }),
    },
    // Ours count by address and by account, see rules.ts.
    rateLimit: { enabled: false },
    advanced: {
      cookiePrefix: "chelar",
      useSecureCookies: config.secureCookies,
      defaultCookieAttributes: { httpOnly: true, sameSite: "lax", path: "/" },
      disableOriginCheck: false,
      // Cloudflare overwrites this header; a header that the client could choose would lie in the list of sessions.
      ipAddress: { ipAddressHeaders: ["cf-connecting-ip"] },
    },
    // Thrown on to the edge's own last resort: here they would be printed whole, see below.
    onAPIError: { throw: true },
    logger: {
      level: "error",
      // Its own way prints whole errors, and a failed query's parameters are password hashes and session tokens.
      log: (level, message, ...more) => {
        const errors = more.filter((it) => it instanceof Error).map(describeError);
        console.error(JSON.stringify({ event: "accounts", level, message: withoutParameters(message), errors }));
      },
    },
    telemetry: { enabled: false },
  });
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

/** A passkey stands for both factors only when the device has asked for a finger, a face or its PIN. */
function mustBeVerified(info: { userVerified: boolean } | undefined): void {
  if (info?.userVerified) return;
  throw APIError.from("UNAUTHORIZED", { code: "USER_NOT_VERIFIED", message: "The device did not check who you are." });
}

export type Auth = ReturnType<typeof createAuth>;
