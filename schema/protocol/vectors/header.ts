import {
  b64,
  claimsOf,
  headerOf,
  honest,
  KINDS,
  NOW_SECONDS,
  partsOf,
  signParts,
  signText,
  TYP,
  type Vector,
  type World,
  withHeader,
  withHeaderText,
} from "./forge.ts";

const header =
  (patch: object): Vector["forge"] =>
  (world) =>
    withHeader(world, patch);

/** HMAC keyed with what everybody may read: the classic confusion of a public key with a secret. */
const hmac =
  (secret: (world: World) => string | Uint8Array<ArrayBuffer>): Vector["forge"] =>
  async (world) => {
    const raw = secret(world);
    const bytes = typeof raw === "string" ? new TextEncoder().encode(raw) : raw;
    const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const parts = [headerOf(world, { alg: "HS256" }), claimsOf(world)].map((part) => b64(JSON.stringify(part)));
    return signParts(parts[0] as string, parts[1] as string, key, "HMAC");
  };
const rawPublicKey = (world: World) =>
  Uint8Array.from(atob(world.publicJwk.x.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

const ecdsa =
  (alg: string): Vector["forge"] =>
  (world) =>
    signParts(b64(JSON.stringify(headerOf(world, { alg }))), b64(JSON.stringify(claimsOf(world))), world.ecdsaKey, {
      name: "ECDSA",
      hash: "SHA-256",
    });

const unsigned =
  (alg: string): Vector["forge"] =>
  (world) =>
    `${b64(JSON.stringify(headerOf(world, { alg })))}.${partsOf(`.${b64(JSON.stringify(claimsOf(world)))}.`)[1]}.`;

const algs = ["none", "None", "nOnE", "", "RS256", "PS256", "ES256K", "Ed448", "Ed25519", "eddsa", "EdDSA ", "dir"];

export const algorithmVectors: Vector[] = [
  { name: "alg none without a signature", reason: "header_refused", forge: unsigned("none") },
  { name: "alg None without a signature", reason: "header_refused", forge: unsigned("None") },
  { name: "EdDSA without a signature", reason: "malformed", forge: unsigned("EdDSA") },
  ...algs.map((alg) => ({
    name: `alg ${JSON.stringify(alg)} over a genuine Ed25519 signature`,
    reason: "header_refused" as const,
    forge: header({ alg }),
  })),
  { name: "HS256 keyed with the bytes of our public key", reason: "header_refused", forge: hmac(rawPublicKey) },
  { name: "HS256 keyed with our public key as PEM", reason: "header_refused", forge: hmac((w) => w.publicSpki) },
  {
    name: "HS256 keyed with our public key as JWK",
    reason: "header_refused",
    forge: hmac((w) => JSON.stringify(w.publicJwk)),
  },
  { name: "ES256 with a P-256 key", reason: "header_refused", forge: ecdsa("ES256") },
  { name: "a P-256 signature under the name EdDSA", reason: "signature_invalid", forge: ecdsa("EdDSA") },
  { name: "a missing alg", reason: "header_refused", forge: header({ alg: undefined }) },
  { name: "an alg that is a list", reason: "header_refused", forge: header({ alg: ["EdDSA"] }) },
  { name: "an alg that is null", reason: "header_refused", forge: header({ alg: null }) },
];

export const typVectors: Vector[] = [
  ...KINDS.flatMap((sent) =>
    KINDS.filter((kind) => kind !== sent).flatMap((kind): Vector[] => [
      { name: `a ${sent} sent as a ${kind}`, reason: "header_refused", kind, forge: (world) => honest(world, sent) },
      {
        name: `the body of a ${sent} under the typ of a ${kind}`,
        reason: "claims_invalid",
        kind,
        forge: (world) =>
          signText(world, JSON.stringify(headerOf(world, {}, kind)), JSON.stringify(claimsOf(world, {}, sent))),
      },
    ]),
  ),
  { name: "a missing typ", reason: "header_refused", forge: header({ typ: undefined }) },
  { name: "typ JWT", reason: "header_refused", forge: header({ typ: "JWT" }) },
  { name: "a typ in capitals", reason: "header_refused", forge: header({ typ: TYP.command.toUpperCase() }) },
  {
    name: "a typ with its media prefix",
    reason: "header_refused",
    forge: header({ typ: `application/${TYP.command}` }),
  },
  { name: "a typ that is a list", reason: "header_refused", forge: header({ typ: [TYP.command] }) },
  {
    name: "a user's JWT signed with the very same key",
    reason: "header_refused",
    forge: (world) =>
      signText(
        world,
        JSON.stringify({ alg: "EdDSA", typ: "JWT", kid: world.kid }),
        JSON.stringify({ iss: world.expected.issuer, sub: "usr_owner", aud: "tenant", exp: NOW_SECONDS + 60 }),
      ),
  },
];

const badKids: [string, unknown][] = [
  ["a path traversal", "../../x"],
  ["SQL", "' OR 1=1 --"],
  ["a URL", "https://evil.example/key"],
  ["empty", ""],
  ["65 characters long", "k".repeat(65)],
  ["a number", 1],
  ["null", null],
  ["a list", ["current"]],
  ["an object", { toString: "current" }],
  ["ours and a NUL", "current\0"],
  ["ours and a newline", "current\n"],
  ["ours and a space", "current "],
];

export const kidVectors: Vector[] = [
  ...badKids.map(([what, kid]) => ({
    name: `a kid that is ${what}`,
    reason: "header_refused" as const,
    forge: header({ kid }),
  })),
  ...["__proto__", "constructor", "toString", "unknown", "Current"].map((kid) => ({
    name: `the kid ${kid}, which is nobody's`,
    reason: "kid_unknown" as const,
    forge: header({ kid }),
  })),
  { name: "a missing kid", reason: "header_refused", forge: header({ kid: undefined }) },
  {
    name: "a retired key",
    reason: "kid_unknown",
    forge: (world) => withHeader(world, { kid: world.retired.kid }, world.retired.privateKey),
  },
  {
    name: "the attacker's key under its own kid",
    reason: "kid_unknown",
    forge: (world) => withHeader(world, { kid: world.attacker.kid }, world.attacker.privateKey),
  },
  {
    name: "the attacker's key under our kid",
    reason: "signature_invalid",
    forge: (world) => withHeader(world, {}, world.attacker.privateKey),
  },
  {
    name: "the next key's signature under the current kid",
    reason: "signature_invalid",
    forge: (world) => withHeader(world, {}, world.next.privateKey),
  },
  {
    name: "a duplicate kid, ours last",
    reason: "malformed",
    forge: (world) => withHeaderText(world, (text) => text.replace('"kid":', '"kid":"attacker","kid":')),
  },
  {
    name: "a duplicate kid, ours first",
    reason: "malformed",
    forge: (world) => withHeaderText(world, (text) => text.replace("}", ',"kid":"attacker"}')),
  },
  {
    name: "a duplicate kid, one spelled with an escape",
    reason: "malformed",
    forge: (world) => withHeaderText(world, (text) => text.replace('"kid":', '"\\u006bid":"attacker","kid":')),
  },
  {
    name: "any kid when the keyset is empty",
    reason: "kid_unknown",
    expected: { keys: new Map() },
    forge: header({}),
  },
];

const extraMembers: Record<string, unknown> = {
  jku: "https://evil.example/jwks.json",
  x5u: "https://evil.example/chain.pem",
  x5c: ["MIIB"],
  x5t: "dGh1bWI",
  "x5t#S256": "dGh1bWI",
  crit: ["exp"],
  b64: true,
  zip: "DEF",
  cty: "JWT",
  enc: "A256GCM",
  epk: { kty: "OKP" },
  url: "https://evil.example",
  nonce: "n",
  iat: NOW_SECONDS,
  "x-whatever-comes-next": 1,
};

export const headerVectors: Vector[] = [
  ...Object.entries(extraMembers).map(([name, value]) => ({
    name: `a header with ${name}`,
    reason: "header_refused" as const,
    forge: header({ [name]: value }),
  })),
  {
    name: "a header with the attacker's own jwk, signed by it",
    reason: "header_refused",
    forge: (world) => withHeader(world, { jwk: world.attacker.publicJwk }, world.attacker.privateKey),
  },
  { name: "an empty crit", reason: "header_refused", forge: header({ crit: [] }) },
  {
    name: "an unencoded payload (b64 false, marked critical)",
    reason: "header_refused",
    forge: header({ b64: false, crit: ["b64"] }),
  },
  {
    name: "a header member named __proto__",
    reason: "malformed",
    forge: (world) => withHeaderText(world, (text) => text.replace("}", ',"__proto__":{"crit":["exp"]}}')),
  },
  { name: "a header that is a list", reason: "header_refused", forge: (world) => withHeaderText(world, () => "[]") },
  { name: "a header that is null", reason: "malformed", forge: (world) => withHeaderText(world, () => "null") },
  { name: "a header that is a number", reason: "header_refused", forge: (world) => withHeaderText(world, () => "1") },
  { name: "an empty header object", reason: "header_refused", forge: (world) => withHeaderText(world, () => "{}") },
  { name: "a header that is no JSON", reason: "malformed", forge: (world) => withHeaderText(world, () => "EdDSA") },
  { name: "a header with spaces", reason: "malformed", forge: (w) => withHeaderText(w, (t) => t.replace(":", ": ")) },
  {
    name: "a header with escapes",
    reason: "malformed",
    forge: (w) => withHeaderText(w, (t) => t.replace("E", "\\u0045")),
  },
  {
    name: "a header with a byte order mark",
    reason: "malformed",
    forge: (w) => withHeaderText(w, (t) => `\ufeff${t}`),
  },
  {
    name: "a header over 512 characters, unread",
    reason: "header_refused",
    forge: (w) => withHeaderText(w, () => "x".repeat(600)),
  },
  { name: "a header padded over 512 characters", reason: "header_refused", forge: header({ pad: "p".repeat(512) }) },
  {
    name: "a header nested a hundred deep",
    reason: "header_refused",
    forge: (world) => withHeaderText(world, () => "[".repeat(100) + "]".repeat(100)),
  },
];
