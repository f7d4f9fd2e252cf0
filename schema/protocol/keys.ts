import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { z } from "zod";
import type { PublicKeyset } from "./commands.ts";

/** 32 bytes, in the one spelling without spare bits: a second spelling would be a second kid for the same key. */
export type { CryptoKey } from "jose";

const point = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);

/** Ed25519, for signatures (RFC 8037). `d` is there in private keys only. */
export const signingJwk = z.strictObject({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: point });
export const privateSigningJwk = signingJwk.extend({ d: point });
/** X25519, for sealing (RFC 8037, ECDH-ES). */
export const sealingJwk = z.strictObject({ kty: z.literal("OKP"), crv: z.literal("X25519"), x: point });
export const privateSealingJwk = sealingJwk.extend({ d: point });

export type SigningJwk = z.infer<typeof signingJwk>;
export type PrivateSigningJwk = z.infer<typeof privateSigningJwk>;
export type SealingJwk = z.infer<typeof sealingJwk>;
export type PrivateSealingJwk = z.infer<typeof privateSealingJwk>;

export async function generateSigningKey(): Promise<PrivateSigningJwk> {
  const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  return privateSigningJwk.parse(pick(await exportJWK(pair.privateKey)));
}

export async function generateSealingKey(): Promise<PrivateSealingJwk> {
  const pair = await generateKeyPair("ECDH-ES", { crv: "X25519", extractable: true });
  return privateSealingJwk.parse(pick(await exportJWK(pair.privateKey)));
}

/** RFC 7638 thumbprint of the public part: the kid of every key that we make. */
export async function keyId(jwk: SigningJwk | SealingJwk): Promise<string> {
  return calculateJwkThumbprint({ kty: jwk.kty, crv: jwk.crv, x: jwk.x });
}

export const publicPart = <T extends SigningJwk | SealingJwk>({ kty, crv, x }: T) =>
  ({ kty, crv, x }) as Pick<T, "kty" | "crv" | "x">;

export async function importSigningKey(jwk: SigningJwk | PrivateSigningJwk): Promise<CryptoKey> {
  return (await importJWK({ ...jwk }, "EdDSA")) as CryptoKey;
}

export async function importSealingKey(jwk: SealingJwk | PrivateSealingJwk): Promise<CryptoKey> {
  return (await importJWK({ ...jwk }, "ECDH-ES")) as CryptoKey;
}

/** The keyset of the wire as keys that verify, by kid. */
export async function importKeyset(keyset: PublicKeyset): Promise<ReadonlyMap<string, CryptoKey>> {
  const entries = await Promise.all(
    keyset.keys.map(async ({ kid, x }) => [kid, await importSigningKey({ kty: "OKP", crv: "Ed25519", x })] as const),
  );
  return new Map(entries);
}

function pick({ kty, crv, x, d }: JWK) {
  return { kty, crv, x, d };
}
