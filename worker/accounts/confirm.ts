import { APIError, createAuthEndpoint } from "better-auth/api";
import { setSessionCookie } from "better-auth/cookies";
import { jwtVerify } from "jose";
import { z } from "zod";
import { MAX_PASSWORD_CHARACTERS } from "./rules.ts";

const claims = z.object({ email: z.email(), userId: z.string() });
const invalid = () => APIError.from("BAD_REQUEST", { code: "INVALID_TOKEN", message: "This link is not valid." });

/**
 * `POST /confirm-email` {token, password} → a session. A plugin of better-auth, in the place of its own
 * `GET /verify-email`: there a click is enough, so whoever opens an account with somebody else's address and a password
 * of their own waits until that person, or their mail scanner, follows the link. Here both are asked of the same
 * person: the link, which shows who reads that mail, and the password, which shows who signed up.
 */
export const confirmEmail = () => ({
  id: "confirm-email" as const,
  endpoints: {
    confirmEmail: createAuthEndpoint(
      "/confirm-email",
      {
        method: "POST",
        body: z.object({ token: z.string().max(2_000), password: z.string().max(MAX_PASSWORD_CHARACTERS) }),
      },
      async (ctx) => {
        const { internalAdapter, password, secret } = ctx.context;
        const key = new TextEncoder().encode(secret);
        const signed = await jwtVerify(ctx.body.token, key, { algorithms: ["HS256"] }).catch(() => null);
        const claimed = claims.safeParse(signed?.payload);
        if (!claimed.success) throw invalid();
        const found = await internalAdapter.findUserByEmail(claimed.data.email, { includeAccounts: true });
        if (!found || found.user.id !== claimed.data.userId) throw invalid();
        // Whoever is confirmed signs in by the front door, where the second factor is asked.
        if (found.user.emailVerified) {
          throw APIError.from("BAD_REQUEST", { code: "EMAIL_ALREADY_VERIFIED", message: "This is confirmed already." });
        }
        const hash = found.accounts.find(({ providerId }) => providerId === "credential")?.password;
        if (!hash || !(await password.verify({ hash, password: ctx.body.password }))) {
          throw APIError.from("UNAUTHORIZED", { code: "INVALID_PASSWORD", message: "The password is wrong." });
        }
        const user = await internalAdapter.updateUser(found.user.id, { emailVerified: true });
        const session = await internalAdapter.createSession(user.id);
        await setSessionCookie(ctx, { session, user });
        return ctx.json({ token: session.token, user: { id: user.id, email: user.email, name: user.name } });
      },
    ),
  },
});
