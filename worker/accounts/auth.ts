import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { betterAuth } from "better-auth/minimal";
import * as schema from "../../schema/db/accounts.ts";
import type { Database } from "../db.ts";
import { describeError, withoutParameters } from "../http.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";

export const MIN_PASSWORD_CHARACTERS = 10;
const WEEK_SECONDS = 7 * 24 * 3600;

export interface AuthOptions {
  origin: string;
  secret: string;
  secureCookies: boolean;
  rateLimit: boolean;
}

/** better-auth on our tables. Sessions are rows: deleting one ends it everywhere at once. */
export function createAuth(db: Database, options: AuthOptions) {
  return betterAuth({
    appName: "Chelar",
    baseURL: options.origin,
    basePath: "/api/auth",
    secret: options.secret,
    trustedOrigins: [options.origin],
    database: drizzleAdapter(db, { provider: "sqlite", schema }),
    emailAndPassword: {
      enabled: true,
      minPasswordLength: MIN_PASSWORD_CHARACTERS,
      maxPasswordLength: 128,
      revokeSessionsOnPasswordReset: true,
      password: { hash: hashPassword, verify: verifyPassword },
    },
    session: { expiresIn: WEEK_SECONDS, updateAge: 24 * 3600, cookieCache: { enabled: false } },
    rateLimit: {
      enabled: options.rateLimit,
      storage: "database",
      window: 60,
      max: 120,
      customRules: {
        "/sign-in/email": { window: 60, max: 10 },
        "/sign-up/email": { window: 60, max: 10 },
        "/change-password": { window: 60, max: 5 },
        "/get-session": false,
      },
    },
    advanced: {
      cookiePrefix: "chelar",
      useSecureCookies: options.secureCookies,
      defaultCookieAttributes: { httpOnly: true, sameSite: "lax", path: "/" },
      // Cloudflare overwrites this header; a header that the client could choose would defeat the limits.
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

export type Auth = ReturnType<typeof createAuth>;
