import { createHash } from "node:crypto";
import { and, eq, gt, isNull } from "drizzle-orm";
import { type CryptoKey, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { apiKeys, session, user } from "../../schema/db/index.ts";
import {
  importSigningKey,
  keyId,
  type PrivateSigningJwk,
  publicPart,
  toBase64url,
} from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import type { Database } from "../db.ts";
import { bearerOf, KEY_PREFIX, scopesOf } from "./rules.ts";
import { type Holder, scope } from "./types.ts";

/** RFC 9068 section 2.1: never to be mistaken for the door's tokens, which the same key signs. */
const TYP = "at+jwt";
export const TOKEN_LIFETIME_SECONDS = 900;

const claims = z.object({
  sub: z.string().min(1).max(64),
  scope: z.string().transform((text, context) => {
    const parsed = z.array(scope).safeParse(scopesOf(text));
    if (parsed.success) return parsed.data;
    context.addIssue({ code: "custom" });
    return z.NEVER;
  }),
  grant: z.string().regex(/^(key|session):[A-Za-z0-9_-]{1,64}$/),
  exp: z.int(),
});

export const newApiKey = (random: Uint8Array): string => `${KEY_PREFIX}${toBase64url(random)}`;
export const apiKeyHash = (key: string): string => createHash("sha256").update(key).digest("base64url");

/** API keys and the short-lived tokens made from them, for programs. */
export class Bearers {
  readonly #db: Database;
  readonly #world: World;
  readonly #jwk: PrivateSigningJwk;
  readonly #origin: string;
  #keys: { kid: string; privateKey: CryptoKey; publicKey: CryptoKey } | undefined;

  constructor(options: { db: Database; world: World; ticketKey: PrivateSigningJwk; origin: string }) {
    this.#db = options.db;
    this.#world = options.world;
    this.#jwk = options.ticketKey;
    this.#origin = options.origin;
  }

  /**
   * Who sends this header, or null when it is good for nothing: malformed, unknown, expired, revoked, or its owner
   * suspended. One query; whoever asks often may keep the answer for as long as a revocation may take to be felt.
   */
  async holder(authorization: string): Promise<Holder | null> {
    const bearer = bearerOf(authorization);
    if (!bearer) return null;
    return bearer.kind === "key" ? this.#byKey(eq(apiKeys.hash, apiKeyHash(bearer.token))) : this.#byJwt(bearer.token);
  }

  /** A token for what `holder` may do, dead at once when the holder's key or session is. */
  async issue({ userId, scopes, grant, expiresAtMs }: Holder): Promise<{ token: string; expiresAtMs: number }> {
    const { kid, privateKey } = await this.#load();
    const issuedAt = Math.floor(this.#world.now() / 1000);
    const expiresAt = Math.min(issuedAt + TOKEN_LIFETIME_SECONDS, Math.floor(expiresAtMs / 1000));
    const token = await new SignJWT({ scope: scopes.join(" "), grant: `${grant.kind}:${grant.id}` })
      .setProtectedHeader({ alg: "EdDSA", typ: TYP, kid })
      .setIssuer(this.#origin)
      .setAudience(this.#audience)
      .setSubject(userId)
      .setIssuedAt(issuedAt)
      .setExpirationTime(expiresAt)
      .setJti(toBase64url(this.#world.random(16)))
      .sign(privateKey);
    return { token, expiresAtMs: expiresAt * 1000 };
  }

  get #audience(): string {
    return `${this.#origin}/api/v1`;
  }

  async #byKey(condition: ReturnType<typeof eq>): Promise<Holder | null> {
    const [row] = await this.#db
      .select({ id: apiKeys.id, userId: apiKeys.userId, scopes: apiKeys.scopes, expiresAt: apiKeys.expiresAt })
      .from(apiKeys)
      .innerJoin(user, and(eq(user.id, apiKeys.userId), isNull(user.suspendedAt)))
      .where(and(condition, gt(apiKeys.expiresAt, this.#world.now())));
    if (!row) return null;
    const { id, userId, scopes, expiresAt } = row;
    return { userId, scopes: scopesOf(scopes), expiresAtMs: expiresAt, grant: { kind: "key", id } };
  }

  async #byJwt(token: string): Promise<Holder | null> {
    const { publicKey } = await this.#load();
    const verified = await jwtVerify(token, publicKey, {
      algorithms: ["EdDSA"],
      typ: TYP,
      issuer: this.#origin,
      audience: this.#audience,
      currentDate: new Date(this.#world.now()),
    }).catch(() => null);
    const parsed = claims.safeParse(verified?.payload);
    if (!parsed.success) return null;
    const { sub, scope: scopes, exp, grant } = parsed.data;
    const [kind, id] = grant.split(":") as ["key" | "session", string];
    const alive = await (kind === "key" ? this.#byKey(eq(apiKeys.id, id)) : this.#bySession(id));
    if (alive?.userId !== sub) return null;
    return { userId: sub, scopes, expiresAtMs: exp * 1000, grant: { kind, id } };
  }

  async #bySession(id: string): Promise<{ userId: string } | null> {
    const [row] = await this.#db
      .select({ userId: session.userId })
      .from(session)
      .innerJoin(user, and(eq(user.id, session.userId), isNull(user.suspendedAt)))
      .where(and(eq(session.id, id), gt(session.expiresAt, new Date(this.#world.now()))));
    return row ?? null;
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
