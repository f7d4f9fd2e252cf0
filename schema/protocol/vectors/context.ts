import { NOW_SECONDS as now, type Vector, withClaims } from "./forge.ts";

const claims =
  (patch: object): Vector["forge"] =>
  (world) =>
    withClaims(world, patch);
const times = (iat: number, nbf: number, exp: number) => claims({ iat: now + iat, nbf: now + nbf, exp: now + exp });

export const timeVectors: Vector[] = [
  { name: "a command at the very second its skew ends", reason: "expired", forge: times(-60, -60, -30) },
  { name: "a command one second past its skew", reason: "expired", forge: times(-61, -61, -31) },
  { name: "a command of last year", reason: "expired", forge: times(-31_536_000, -31_536_000, -31_535_940) },
  { name: "an iat one second beyond the skew", reason: "not_yet_valid", forge: times(31, 31, 91) },
  { name: "an nbf later than the skew allows", reason: "not_yet_valid", forge: times(0, 31, 60) },
  { name: "a lifetime of 61 seconds", reason: "lifetime_invalid", forge: times(0, 0, 61) },
  { name: "a lifetime of a year", reason: "lifetime_invalid", forge: times(0, 0, 31_536_000) },
  { name: "an exp in milliseconds", reason: "lifetime_invalid", forge: claims({ exp: (now + 60) * 1000 }) },
  { name: "an exp equal to iat", reason: "lifetime_invalid", forge: times(0, 0, 0) },
  { name: "an exp before iat", reason: "lifetime_invalid", forge: times(10, 10, 5) },
  { name: "an nbf before iat", reason: "lifetime_invalid", forge: times(0, -1, 60) },
  { name: "an nbf equal to exp", reason: "lifetime_invalid", forge: times(-50, 10, 10) },
  { name: "an nbf after exp, inside the skew", reason: "lifetime_invalid", forge: times(-60, 5, -5) },
  { name: "a missing exp", reason: "claims_invalid", forge: claims({ exp: undefined }) },
  { name: "a missing iat", reason: "claims_invalid", forge: claims({ iat: undefined }) },
  { name: "a missing nbf", reason: "claims_invalid", forge: claims({ nbf: undefined }) },
  { name: "an exp that is a string", reason: "claims_invalid", forge: claims({ exp: String(now + 60) }) },
  { name: "an iat that is a string", reason: "claims_invalid", forge: claims({ iat: String(now) }) },
  { name: "an exp that is null", reason: "claims_invalid", forge: claims({ exp: null }) },
  { name: "an exp with a fraction", reason: "claims_invalid", forge: claims({ exp: now + 59.5 }) },
  { name: "an exp beyond the safe integers", reason: "claims_invalid", forge: claims({ exp: 2 ** 53 }) },
  { name: "a nbf that is an array", reason: "claims_invalid", forge: claims({ nbf: [now] }) },
  {
    name: "everything while its own clock says NaN",
    reason: "expired",
    expected: { nowSeconds: Number.NaN },
    forge: claims({}),
  },
  {
    name: "a fresh command while its own clock is ten minutes fast",
    reason: "expired",
    expected: { nowSeconds: now + 600 },
    forge: claims({}),
  },
  {
    name: "a fresh command while its own clock is ten minutes slow",
    reason: "not_yet_valid",
    expected: { nowSeconds: now - 600 },
    forge: claims({}),
  },
];

const host = "hst_abcdefghijklmnopqrstuvwxyz";

export const audienceVectors: Vector[] = [
  { name: "another host's command", reason: "audience_wrong", forge: claims({ aud: `hst_${"z".repeat(26)}` }) },
  { name: "an audience in capitals", reason: "audience_wrong", forge: claims({ aud: host.toUpperCase() }) },
  { name: "an audience with a trailing space", reason: "audience_wrong", forge: claims({ aud: `${host} ` }) },
  { name: "an audience that only begins like ours", reason: "audience_wrong", forge: claims({ aud: `${host}.evil` }) },
  { name: "an audience that is a wildcard", reason: "audience_wrong", forge: claims({ aud: "*" }) },
  { name: "an audience array that names us", reason: "claims_invalid", forge: claims({ aud: [host] }) },
  { name: "an audience array of two hosts", reason: "claims_invalid", forge: claims({ aud: [host, "hst_b"] }) },
  { name: "a missing audience", reason: "claims_invalid", forge: claims({ aud: undefined }) },
  { name: "an empty audience", reason: "claims_invalid", forge: claims({ aud: "" }) },
  { name: "an audience that is null", reason: "claims_invalid", forge: claims({ aud: null }) },
  { name: "another edge's command", reason: "issuer_wrong", forge: claims({ iss: "https://edge.evil" }) },
  { name: "an issuer with a trailing slash", reason: "issuer_wrong", forge: claims({ iss: "https://edge.example/" }) },
  {
    name: "our own message reflected to us",
    reason: "issuer_wrong",
    forge: (world) => withClaims(world, { iss: world.expected.audience, aud: world.expected.issuer }),
  },
  { name: "an issuer that is a list", reason: "claims_invalid", forge: claims({ iss: ["https://edge.example"] }) },
  { name: "a missing issuer", reason: "claims_invalid", forge: claims({ iss: undefined }) },
  { name: "an older epoch", reason: "epoch_wrong", forge: claims({ epoch: 2 }) },
  { name: "a newer epoch", reason: "epoch_wrong", forge: claims({ epoch: 4 }) },
  { name: "a missing epoch", reason: "claims_invalid", forge: claims({ epoch: undefined }) },
  { name: "an epoch that is a string", reason: "claims_invalid", forge: claims({ epoch: "3" }) },
  { name: "epoch zero", reason: "claims_invalid", forge: claims({ epoch: 0 }) },
  { name: "a fractional epoch", reason: "claims_invalid", forge: claims({ epoch: 3.5 }) },
];
