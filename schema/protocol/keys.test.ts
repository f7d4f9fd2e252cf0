import { describe, expect, it } from "vitest";
import {
  generateSealingKey,
  generateSigningKey,
  importKeyset,
  importSigningKey,
  keyId,
  publicKeyset,
  publicPart,
  sealingJwk,
  signingJwk,
} from "./index.ts";

describe("keys", () => {
  it("lose their private half in publicPart", async () => {
    const [signing, sealing] = [await generateSigningKey(), await generateSealingKey()];
    expect(Object.keys(publicPart(signing)).sort()).toEqual(["crv", "kty", "x"]);
    expect(signingJwk.parse(publicPart(signing))).toEqual(publicPart(signing));
    expect(sealingJwk.parse(publicPart(sealing))).toEqual(publicPart(sealing));
  });

  it("are refused where a public key belongs, when they are private", async () => {
    expect(signingJwk.safeParse(await generateSigningKey()).success).toBe(false);
    expect(sealingJwk.safeParse(await generateSealingKey()).success).toBe(false);
  });

  it("of one curve are refused for the work of the other", async () => {
    expect(signingJwk.safeParse(publicPart(await generateSealingKey())).success).toBe(false);
    expect(sealingJwk.safeParse(publicPart(await generateSigningKey())).success).toBe(false);
  });

  it("have one spelling: spare bits, padding and other lengths are refused", async () => {
    const jwk = publicPart(await generateSigningKey());
    for (const x of [`${"A".repeat(42)}B`, `${jwk.x}=`, jwk.x.slice(1), `${jwk.x}A`, ` ${jwk.x}`]) {
      expect(signingJwk.safeParse({ ...jwk, x }).success, x).toBe(false);
    }
  });

  it("are named by the thumbprint of their public half (RFC 8037 appendix A.3)", async () => {
    const x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    expect(await keyId({ kty: "OKP", crv: "Ed25519", x })).toBe("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  });

  it("of a keyset come back by kid, and only verify", async () => {
    const { x } = await generateSigningKey();
    const keys = await importKeyset(publicKeyset.parse({ version: 1, keys: [{ kid: "a", x }] }));
    expect([...keys.keys()]).toEqual(["a"]);
    expect(keys.get("a")).toMatchObject({ type: "public", usages: ["verify"] });
  });

  it("that are private only sign", async () => {
    expect(await importSigningKey(await generateSigningKey())).toMatchObject({ type: "private", usages: ["sign"] });
  });
});
