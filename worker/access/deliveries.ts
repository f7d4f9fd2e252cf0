import { jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import {
  CHANNEL_HEADER,
  channelName,
  hostId,
  importSigningKey,
  keyId,
  type PrivateSigningJwk,
  publicPart,
  tenantId,
} from "../../schema/protocol/index.ts";
import { bearerOf } from "../accounts/rules.ts";
import type { World } from "../clock.ts";
import { problem, problemResponse } from "../problem.ts";
import type { Askers } from "./askers.ts";

/** Its own type: no cookie of a visitor and no API token is ever one of these, nor the other way round. */
const TYP = "chelar-message+jwt";
const LIFETIME_SECONDS = 60;
const MAX_TOKEN_CHARACTERS = 1_500;

/** One agent, one channel, one place in it, and the one host on which it lives now. */
const claims = z.object({
  sub: tenantId,
  aud: hostId,
  hostname: z.string().min(1).max(253),
  channel: channelName,
  path: z.string().regex(/^\/[a-z0-9/-]{1,100}$/),
});
export type Delivery = z.infer<typeof claims>;

/** What the inbox shows the door, and how the door answers it. Where: {@link MESSAGES_PATH} of the agent's host. */
export function createDeliveries(context: { world: World; key: PrivateSigningJwk; issuer: string; askers: Askers }) {
  const { world, key, issuer, askers } = context;
  const nowSeconds = () => Math.floor(world.now() / 1000);

  async function read(token: string): Promise<Delivery | null> {
    if (token.length > MAX_TOKEN_CHARACTERS) return null;
    try {
      const publicKey = await importSigningKey(publicPart(key));
      const options = { algorithms: ["EdDSA"], typ: TYP, issuer, currentDate: new Date(world.now()) };
      const { payload } = await jwtVerify(token, publicKey, { ...options, requiredClaims: ["exp"] });
      return claims.parse(payload);
    } catch {
      return null;
    }
  }

  return {
    async token({ sub, aud, ...rest }: Delivery): Promise<string> {
      return new SignJWT(rest)
        .setProtectedHeader({ alg: "EdDSA", typ: TYP, kid: await keyId(key) })
        .setIssuer(issuer)
        .setSubject(sub)
        .setAudience(aud)
        .setIssuedAt(nowSeconds())
        .setExpirationTime(nowSeconds() + LIFETIME_SECONDS)
        .sign(await importSigningKey(key));
    },

    /** `GET /forward-auth/message`, from the Caddy of a host: whether, and where to. */
    async answer({ headers }: Request): Promise<Response> {
      const asker = await askers.find(headers.get("x-chelar-host") ?? "");
      if (asker === null) return problemResponse(problem("host_refused"));
      const isThere = headers.get("x-forwarded-method") === "POST" && headers.get("x-forwarded-uri") === MESSAGES_PATH;
      const shown = bearerOf(headers.get("authorization") ?? "");
      const delivery = isThere && shown?.kind === "jwt" ? await read(shown.token) : null;
      // Whoever took one host with all that passes through it has nothing for another.
      if (delivery?.aud !== asker) return problemResponse(problem("unauthenticated"));
      const to = {
        // Nobody: no person's id has this form, and no runtime knows it.
        "x-chelar-user": "inbox",
        [CHANNEL_HEADER]: delivery.channel,
        "x-chelar-tenant": delivery.hostname,
        "x-chelar-path": delivery.path,
      };
      return new Response(null, { status: 200, headers: to });
    },
  };
}

/** On a host's own name, below which no agent answers. */
export const MESSAGES_PATH = "/.chelar/messages";
