import { CompactEncrypt, type CryptoKey, compactDecrypt } from "jose";
import { type SealedSecrets, sealedSecrets } from "./commands.ts";

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

/**
 * Opens what {@link sealSecrets} made and insists that it was made for this tenant. Returns null for anything else:
 * a wrong key, a moved envelope and a broken one look the same.
 */
export async function openSecrets(jwe: string, privateKey: CryptoKey, tenantId: string): Promise<SealedSecrets | null> {
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(jwe, privateKey, {
      keyManagementAlgorithms: ["ECDH-ES"],
      contentEncryptionAlgorithms: ["A256GCM"],
    });
    if (protectedHeader.typ !== "chelar-secrets+jwe") return null;
    const secrets = sealedSecrets.parse(JSON.parse(new TextDecoder().decode(plaintext)));
    return secrets.tenantId === tenantId ? secrets : null;
  } catch {
    return null;
  }
}
