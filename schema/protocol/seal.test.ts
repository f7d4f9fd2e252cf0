import { CompactEncrypt, type CryptoKey, decodeProtectedHeader } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import {
  fromBase64url,
  generateSealingKey,
  importSealingKey,
  openSecrets,
  publicPart,
  type SealedSecrets,
  sealSecrets,
  toBase64url,
} from "./index.ts";
import { OTHER_TENANT_ID, TENANT_ID } from "./vectors/index.ts";

interface Host {
  kid: string;
  publicKey: CryptoKey;
  privateKey: CryptoKey;
}
const makeHost = async (kid: string): Promise<Host> => {
  const jwk = await generateSealingKey();
  return { kid, publicKey: await importSealingKey(publicPart(jwk)), privateKey: await importSealingKey(jwk) };
};

let host: Host;
let otherHost: Host;
beforeAll(async () => {
  [host, otherHost] = [await makeHost("host"), await makeHost("other")];
});

const secrets: SealedSecrets = {
  tenantId: TENANT_ID,
  generation: 7,
  env: { OPENAI_API_KEY: "sk-'quoted\" $HOME\nünï", A: "1" },
};
const open = (jwe: string, by: Host = host) => openSecrets(jwe, by.privateKey, TENANT_ID);

/** Seals anything under any header, with the host's true public key: what an attacker who knows it can do. */
const seal = (plaintext: string, patch: object = {}) =>
  new CompactEncrypt(new TextEncoder().encode(plaintext))
    .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM", kid: host.kid, typ: "chelar-secrets+jwe", ...patch })
    .encrypt(host.publicKey);

describe("sealed secrets", () => {
  it("open to exactly what was sealed, on the host they were sealed for", async () => {
    expect(await open(await sealSecrets(secrets, host))).toEqual(secrets);
  });

  it("hold no plaintext, and differ each time", async () => {
    const [one, two] = await Promise.all([sealSecrets(secrets, host), sealSecrets(secrets, host)]);
    const visible = one.split(".").map((part) => new TextDecoder().decode(fromBase64url(part) ?? new Uint8Array()));
    expect(visible.join()).not.toMatch(/sk-|OPENAI|tnt_/);
    expect(one).not.toBe(two);
  });

  it("say only alg, enc, kid, typ and the ephemeral key", async () => {
    const header = decodeProtectedHeader(await sealSecrets(secrets, host));
    expect(Object.keys(header).sort()).toEqual(["alg", "enc", "epk", "kid", "typ"]);
  });

  it("stay closed to another host's key", async () => {
    expect(await open(await sealSecrets(secrets, host), otherHost)).toBeNull();
  });

  it("stay closed when moved to another tenant", async () => {
    expect(await openSecrets(await sealSecrets(secrets, host), host.privateKey, OTHER_TENANT_ID)).toBeNull();
  });

  it.each([
    ["header", 0],
    ["initialisation vector", 2],
    ["ciphertext", 3],
    ["tag", 4],
  ])("stay closed after one flipped bit, every 7th, in the %s", async (_name, index) => {
    const parts = (await sealSecrets(secrets, host)).split(".");
    const bytes = fromBase64url(parts[index] as string) as Uint8Array;
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(await open(parts.with(index, toBase64url(flipped)).join(".")), `bit ${bit}`).toBeNull();
    }
  });

  it("stay closed with a tag cut to 96 bits", async () => {
    const parts = (await sealSecrets(secrets, host)).split(".");
    const tag = fromBase64url(parts[4] as string) as Uint8Array;
    expect(await open(parts.with(4, toBase64url(tag.subarray(0, 12))).join("."))).toBeNull();
  });

  it.each([
    ["another content encryption", { enc: "A128GCM" }],
    ["AES-CBC", { enc: "A256CBC-HS512" }],
    ["key wrapping", { alg: "ECDH-ES+A256KW" }],
    ["another typ", { typ: "JWT" }],
    ["no typ", { typ: undefined }],
    ["compression, which could expand without end", { zip: "DEF" }],
    ["an unknown header member", { jku: "https://evil.example" }],
    ["another content type", { cty: "JWT" }],
  ])("stay closed under %s", async (_name, patch) => {
    expect(await open(await seal(JSON.stringify(secrets), patch))).toBeNull();
  });

  it.each([
    ["alg dir", { alg: "dir" }],
    ["alg none", { alg: "none" }],
    ["alg PBES2 with a costly count", { alg: "PBES2-HS256+A128KW", p2c: 2_000_000_000, p2s: "AAAAAAAAAAA" }],
    ["alg RSA-OAEP", { alg: "RSA-OAEP" }],
  ])("stay closed with the header exchanged for %s", async (_name, patch) => {
    const parts = (await sealSecrets(secrets, host)).split(".");
    const header = { ...decodeProtectedHeader(parts.join(".")), ...patch };
    expect(
      await open(parts.with(0, toBase64url(new TextEncoder().encode(JSON.stringify(header)))).join(".")),
    ).toBeNull();
  });

  it("stay closed with an ephemeral key of small order", async () => {
    const parts = (await sealSecrets(secrets, host)).split(".");
    const header = { ...decodeProtectedHeader(parts.join(".")), epk: { kty: "OKP", crv: "X25519", x: "A".repeat(43) } };
    expect(
      await open(parts.with(0, toBase64url(new TextEncoder().encode(JSON.stringify(header)))).join(".")),
    ).toBeNull();
  });

  it.each([
    ["an empty text", ""],
    ["a JWS", "a.b.c"],
    ["five empty parts", "...."],
  ])("are not %s", async (_name, jwe) => {
    expect(await open(jwe)).toBeNull();
  });

  it.each([
    ["no JSON", "sk"],
    ["an unknown field", JSON.stringify({ ...secrets, more: 1 })],
    ["a name that is no variable", JSON.stringify({ ...secrets, env: { "A=B": "x" } })],
    ["a name in lower case", JSON.stringify({ ...secrets, env: { path: "x" } })],
    ["an empty value", JSON.stringify({ ...secrets, env: { A: "" } })],
    ["a value that no environment can hold", JSON.stringify({ ...secrets, env: { A: "a\0b" } })],
    ["a value over 8 KiB", JSON.stringify({ ...secrets, env: { A: "x".repeat(8_193) } })],
    ["generation zero", JSON.stringify({ ...secrets, generation: 0 })],
    ["a number for a value", JSON.stringify({ ...secrets, env: { A: 1 } })],
  ])("stay closed when the plaintext holds %s", async (_name, plaintext) => {
    expect(await open(await seal(plaintext))).toBeNull();
  });
});
