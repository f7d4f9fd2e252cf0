import { passkey } from "@better-auth/passkey";
import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { betterAuth } from "better-auth/minimal";
import { twoFactor } from "better-auth/plugins/two-factor";
import { eq } from "drizzle-orm";
import * as schema from "../../schema/db/accounts.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import type { Config } from "../env.ts";
import { describeError, withoutParameters } from "../http.ts";
import type { Post } from "../mail/index.ts";
import { confirmEmail } from "./confirm.ts";
import { callGuards, mustBeVerified, rowGuards } from "./guards.ts";
import { letterDesk } from "./letters.ts";
import type { Limits } from "./limits.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";
import { forgivenByReset, MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS } from "./rules.ts";
import { SESSION } from "./sessions.ts";

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
  /** Tests take a cheaper one: what is tried there is not how long a password withstands. */
  hash?: (password: string) => Promise<string>;
}

/** better-auth on our tables. Sessions are rows: deleting one ends it everywhere at once. */
export function createAuth({ db, limits, post, config, hash = hashPassword }: AuthOptions) {
  const origin = config.dashboardOrigin;
  const letters = letterDesk(origin);
  const guarded = { db, limits, post, letters };

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
      password: { hash: (password) => hash(password), verify: verifyPassword },
      sendResetPassword: async ({ user, token }) => post.send(letters.reset(user.email, token)),
      // The link in the mail has shown whose address it is.
      onPasswordReset: async ({ user }, request) => {
        await limits.forgive(forgivenByReset(user.email, request?.headers.get("cf-connecting-ip") ?? "unknown"));
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
      // Asked for at the page that says so, within the limits of mail: else a sign-in would be a way to send any number.
      sendOnSignIn: false,
      expiresIn: DAY_SECONDS,
      sendVerificationEmail: async ({ user, token }) => post.send(letters.confirm(user.email, token)),
    },
    // Whoever reads the database finds no link that still opens something.
    verification: { storeIdentifier: "hashed" },
    socialProviders: config.social,
    // Somebody else's word for an address opens no account that has a password, and perhaps asks for a code after it.
    account: { accountLinking: { disableImplicitLinking: true } },
    session: {
      ...SESSION,
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
    databaseHooks: rowGuards(guarded),
    hooks: callGuards(guarded),
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
