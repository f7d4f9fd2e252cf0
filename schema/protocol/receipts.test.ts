import { CompactSign } from "jose";
import { describe, expect, it } from "vitest";
import {
  generateSigningKey,
  importSigningKey,
  keyId,
  MAX_RECEIPT_BYTES,
  publicPart,
  signStatement,
  verifyStatement,
} from "./index.ts";

const jwk = await generateSigningKey();
const kid = await keyId(jwk);
const privateKey = await importSigningKey(jwk);
const keys = new Map([[kid, await importSigningKey(publicPart(jwk))]]);
const statement = {
  iss: `hst_${"a".repeat(26)}`,
  sub: `tnt_${"b".repeat(26)}`,
  iat: 1_750_000_000,
  generation: 2,
  steps: [{ step: "remove_volume", at: 1_750_000_000_000, checked: "no subvolume of it" }],
  remains: [{ what: "nothing", until: null }],
};

/** Signed by the right key, with any header and content. */
const forge = (header: object, content: unknown = statement) =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(content)))
    .setProtectedHeader({ alg: "EdDSA", typ: "chelar-deletion+jwt", kid, ...header })
    .sign(privateKey);

describe("a signed word about a deletion", () => {
  it("says what was signed, and by whom", async () => {
    const compact = await signStatement("host", statement, { kid, privateKey });
    expect(await verifyStatement("host", compact, keys)).toEqual({ statement, kid });
  });

  it.each([
    ["another type, such as a command's", () => forge({ typ: "chelar-command+jwt" })],
    ["the type of an edge's receipt", () => forge({ typ: "chelar-receipt+jwt" })],
    ["a key that nobody published", () => forge({ kid: "nobody" })],
    ["a key by the name of what every object has", () => forge({ kid: "__proto__" })],
    ["another issuer's form", () => forge({}, { ...statement, iss: "https://chelar.example" })],
    ["more than it may say", () => forge({}, { ...statement, note: "x" })],
    ["no step at all", () => forge({}, { ...statement, steps: [] })],
    ["more bytes than anybody should read", () => forge({ pad: "x".repeat(2 * MAX_RECEIPT_BYTES) })],
    ["a changed content", async () => (await forge({})).replace(/\.[^.]+\./, `.${btoa("{}").replace(/=+$/, "")}.`)],
    ["nothing", async () => ""],
  ])("is refused with %s", async (_, make) => {
    expect(await verifyStatement("host", await make(), keys)).toBeNull();
  });
});
