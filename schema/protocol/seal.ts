import { CompactEncrypt, type CryptoKey, compactDecrypt, decodeProtectedHeader } from "jose";
import { z } from "zod";
import { type SealedSecrets, sealedSecrets } from "./commands.ts";
import { sealingJwk } from "./keys.ts";

/**
 * Secrets for one host: a compact JWE (RFC 7516), ECDH-ES on X25519 with A256GCM. Only the host's own private key
 * opens it, so that no proxy, log or stored row on the way holds plaintext.
 */
export async function sealSecrets(
  secrets: SealedSecrets,
  host: { kid: string; publicKey: CryptoKey },
): Promise<string> {
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(secrets)))
    .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM", kid: host.kid, typ: "chelar-secrets+jwe" })
    .encrypt(host.publicKey);
}

/** Nothing else may stand in the header: `zip` alone would let 32 KiB expand to whatever memory there is. */
const sealedHeader = z.strictObject({
  alg: z.literal("ECDH-ES"),
  enc: z.literal("A256GCM"),
  kid: z.string(),
  typ: z.literal("chelar-secrets+jwe"),
  epk: sealingJwk,
});

/**
 * Opens what {@link sealSecrets} made and insists that it was made for this tenant. Returns null for anything else:
 * a wrong key, a moved envelope and a broken one look the same.
 */
export async function openSecrets(jwe: string, privateKey: CryptoKey, tenantId: string): Promise<SealedSecrets | null> {
  try {
    sealedHeader.parse(decodeProtectedHeader(jwe));
    const { plaintext } = await compactDecrypt(jwe, privateKey, {
      keyManagementAlgorithms: ["ECDH-ES"],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    const secrets = sealedSecrets.parse(JSON.parse(new TextDecoder().decode(plaintext)));
    return secrets.tenantId === tenantId ? secrets : null;
  } catch {
    return null;
  }
}
