import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  CLOCK_SKEW_SECONDS,
  type EnvelopeKind,
  envelopeHash,
  fromBase64url,
  MAX_ENVELOPE_BYTES,
  signEnvelope,
  type Verdict,
  verifyEnvelope,
} from "./index.ts";
import {
  ackSample,
  b64,
  claimsOf,
  commandSamples,
  enrolmentSample,
  headerOf,
  honest,
  honestClaims,
  KINDS,
  makeWorld,
  NEGATIVE_VECTORS,
  NOW_SECONDS,
  partsOf,
  reportSamples,
  resultSamples,
  signText,
  type World,
  withClaims,
} from "./vectors/index.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld();
});

const runtime = navigator.userAgent === "Cloudflare-Workers" ? "workerd" : "node";
let refusedVectors = 0;
let refusedBits = 0;
afterAll(() => {
  console.log(`${runtime}: ${refusedVectors} negative vectors refused, and ${refusedBits} flipped bits`);
});

const verify = <K extends EnvelopeKind>(kind: K, compact: string, patch: object = {}): Promise<Verdict<K>> => {
  const epoch = kind === "enrolment" ? 0 : world.expected.epoch;
  return verifyEnvelope(kind, compact, { ...world.expected, epoch, ...patch });
};

describe.each(Object.entries(NEGATIVE_VECTORS))("%s: refuses", (_group, vectors) => {
  it.each(vectors)("$name", async ({ kind = "command", reason, expected, forge }) => {
    const verdict = await verify(kind, await forge(world), expected);
    expect(verdict).toMatchObject({ ok: false, refusal: { reason: expect.anything() } });
    if (!verdict.ok) expect([reason].flat()).toContain(verdict.refusal.reason);
    refusedVectors++;
  });
});

describe("one flipped bit, at every 7th bit", () => {
  it.each([
    ["header", 0],
    ["payload", 1],
    ["signature", 2],
  ])("of the %s is refused", async (_name, index) => {
    const parts = partsOf(await honest(world));
    const bytes = fromBase64url(parts[index] as string) as Uint8Array;
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const verdict = await verify("command", parts.with(index, b64(flipped)).join("."));
      expect(verdict.ok, `bit ${bit}`).toBe(false);
      refusedBits++;
    }
  });
});

const samples = [
  ...Object.entries(commandSamples).map(([name, command]) => ["command", name, { command }] as const),
  ...Object.entries(reportSamples).map(([name, report]) => ["report", name, { reports: [report] }] as const),
  ...Object.entries(resultSamples).map(([name, result]) => ["result", name, { result }] as const),
  ["ack", "ack", { ack: ackSample }] as const,
  ["enrolment", "enrolment", { enrolment: enrolmentSample }] as const,
];

describe("an unknown member, at any depth", () => {
  it.each(samples)("of a %s is refused: %s", async (kind, _name, body) => {
    const variants = withUnknownMember(body);
    expect(variants.length).toBeGreaterThan(1);
    for (const variant of variants) {
      const verdict = await verify(kind, await withClaims(world, variant as object, kind));
      expect(verdict, JSON.stringify(variant)).toMatchObject({ refusal: { reason: "claims_invalid" } });
    }
  });
});

/** Copies of a JSON value, each with one object in it widened. `versions` is a record: there every name is known. */
function withUnknownMember(value: unknown): unknown[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => withUnknownMember(item).map((variant) => value.with(index, variant)));
  }
  if (typeof value !== "object" || value === null) return [];
  const inside = Object.entries(value).flatMap(([key, item]) =>
    key === "versions" ? [] : withUnknownMember(item).map((variant) => ({ ...value, [key]: variant })),
  );
  return [{ ...value, unheardOf: true }, ...inside];
}

describe("accepts", () => {
  it.each(samples)("a %s: %s, byte for byte what was signed", async (kind, _name, body) => {
    const claims = honestClaims(world, kind, body);
    const compact = await signEnvelope(kind, claims, world);
    const verdict = await verify(kind, compact);
    expect(verdict).toEqual({ ok: true, claims, kid: world.kid, hash: await envelopeHash(compact) });
  });

  it.each(KINDS)("the honest %s from which the forgeries start", async (kind) => {
    expect(await verify(kind, await honest(world, kind))).toMatchObject({ ok: true });
  });

  it("either key of the keyset, while it rotates", async () => {
    const compact = await signEnvelope("command", honestClaims(world, "command"), world.next);
    expect(await verify("command", compact)).toMatchObject({ ok: true, kid: "next" });
  });

  it.each([
    ["the last second of the skew after exp", -60, -60, -CLOCK_SKEW_SECONDS + 1],
    ["the last second of the skew before iat", CLOCK_SKEW_SECONDS, CLOCK_SKEW_SECONDS, 90],
    ["a lifetime of exactly 60 seconds", 0, 0, 60],
    ["a lifetime of one second", 0, 0, 1],
    ["an nbf one second before exp", 0, 29, 30],
  ])("%s", async (_name, iat, nbf, exp) => {
    const patch = { iat: NOW_SECONDS + iat, nbf: NOW_SECONDS + nbf, exp: NOW_SECONDS + exp };
    expect(await verify("command", await withClaims(world, patch))).toMatchObject({ ok: true });
  });

  it("a report of exactly 256 KiB, with the inventory of 2,000 tenants, and refuses the same with one byte more", async () => {
    const [largest, oneMore] = await Promise.all([
      reportOfBytes(MAX_ENVELOPE_BYTES.report),
      reportOfBytes(MAX_ENVELOPE_BYTES.report + 1),
    ]);
    const keys = new Map([[boundaryHeader().kid, world.expected.keys.get(world.kid)]]);
    expect(await verify("report", largest, { keys })).toMatchObject({ ok: true });
    expect(await verify("report", oneMore, { keys })).toMatchObject({
      ok: false,
      refusal: { reason: "too_large", bytes: MAX_ENVELOPE_BYTES.report + 1, limit: MAX_ENVELOPE_BYTES.report },
    });
  });
});

/** base64url is never 1 modulo 4 long; under one kid of these both 65,536 and 65,537 can be reached. */
const boundaryHeader = () => {
  const headers = ["k", "kk", "kkk"].map((kid) => headerOf(world, { kid }, "report"));
  return headers.find((header) => b64(JSON.stringify(header)).length % 4 === 2) as (typeof headers)[number];
};

async function reportOfBytes(bytes: number): Promise<string> {
  const header = JSON.stringify(boundaryHeader());
  const reports = Array.from({ length: 95 }, () => ({ ...reportSamples["tenant.state"], detail: "" }));
  const inventory = reportSamples["host.inventory"];
  if (inventory?.type !== "host.inventory") throw new Error("there is no sample of an inventory");
  const tenants = Array.from({ length: 2_000 }, () => inventory.tenants[0]);
  const claims = claimsOf(world, { reports: [{ ...inventory, tenants }, ...reports] }, "report");
  let missing = Math.floor(((bytes - b64(header).length - 88) * 3) / 4) - JSON.stringify(claims).length;
  for (const report of reports) {
    report.detail = "d".repeat(Math.min(missing, 500));
    missing -= report.detail.length;
  }
  const compact = await signText(world, header, JSON.stringify(claims));
  expect(compact.length).toBe(bytes);
  return compact;
}

describe("what a refusal says", () => {
  it("never repeats a value of the message in its detail", async () => {
    const verdict = await verify(
      "command",
      await withClaims(world, { command: { type: "sk-secret" }, pad: "sk-secret" }),
    );
    expect(JSON.stringify(verdict)).not.toContain("sk-secret");
  });
});
