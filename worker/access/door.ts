import { type CryptoKey, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { importSigningKey, keyId, type PrivateSigningJwk, publicPart } from "../../schema/protocol/index.ts";
import { BoundedMap } from "../bounded-map.ts";
import type { DoorClaims } from "./rules.ts";

const TYP = "chelar-door+jwt";
export const DOOR_LIFETIME_SECONDS = 12 * 3600;
const MAX_TOKEN_CHARACTERS = 1_000;

const claimsShape = z.object({
  sub: z.string().min(1).max(64),
  sid: z.string().min(1).max(64),
  aud: z.string().min(1).max(253),
  exp: z.int(),
});

/** Signs and checks the cookie that opens one tenant's door. Its audience is that host name, exactly. */
export class DoorKeys {
  readonly #jwk: PrivateSigningJwk;
  readonly #issuer: string;
  readonly #verified = new BoundedMap<string, DoorClaims>(10_000);
  #keys: { kid: string; privateKey: CryptoKey; publicKey: CryptoKey } | undefined;

  constructor(jwk: PrivateSigningJwk, issuer: string) {
    this.#jwk = jwk;
    this.#issuer = issuer;
  }

  async sign(claims: Omit<DoorClaims, "expiresAtMs">, nowMs: number): Promise<string> {
    const { kid, privateKey } = await this.#load();
    const issuedAt = Math.floor(nowMs / 1000);
    return new SignJWT({ sid: claims.sessionId })
      .setProtectedHeader({ alg: "EdDSA", typ: TYP, kid })
      .setIssuer(this.#issuer)
      .setSubject(claims.userId)
      .setAudience(claims.hostname)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + DOOR_LIFETIME_SECONDS)
      .sign(privateKey);
  }

  /** What a token proves that was verified before: undefined for any other. */
  known(token: string): DoorClaims | undefined {
    return this.#verified.get(token);
  }

  /**
   * What the token proves for this host name, or null. A token that was good is remembered. Time is judged later, by
   * the decision: so one that has run out is remembered as well, and costs no signature each time it is shown.
   */
  async verify(token: string, hostname: string): Promise<DoorClaims | null> {
    if (token.length > MAX_TOKEN_CHARACTERS) return null;
    const known = this.#verified.get(token);
    if (known) return known.hostname === hostname ? known : null;
    try {
      const { publicKey } = await this.#load();
      const { payload } = await jwtVerify(token, publicKey, {
        algorithms: ["EdDSA"],
        typ: TYP,
        issuer: this.#issuer,
        audience: hostname,
        currentDate: new Date(0),
      });
      const { sub, sid, aud, exp } = claimsShape.parse(payload);
      const claims = { userId: sub, sessionId: sid, hostname: aud, expiresAtMs: exp * 1000 };
      this.#verified.set(token, claims);
      return claims;
    } catch {
      return null;
    }
  }

  /** RFC 7517, public parts only. */
  async jwks() {
    const { kid } = await this.#load();
    return { keys: [{ ...publicPart(this.#jwk), kid, alg: "EdDSA", use: "sig" }] };
  }

  async #load() {
    this.#keys ??= {
      kid: await keyId(this.#jwk),
      privateKey: await importSigningKey(this.#jwk),
      publicKey: await importSigningKey(publicPart(this.#jwk)),
    };
    return this.#keys;
  }
}
