import { beforeAll, describe, expect, it } from "vitest";
import {
  type EnrolRequest,
  enrolRequest,
  generateSealingKey,
  generateSigningKey,
  type PrivateSigningJwk,
  publicPart,
} from "./index.ts";

let request: EnrolRequest;
let privateSigning: PrivateSigningJwk;
beforeAll(async () => {
  privateSigning = await generateSigningKey();
  request = {
    token: `chelar-enrol.${"t".repeat(43)}`,
    name: "first",
    region: "eu",
    endpoint: "http://198.51.100.2:8080",
    signing: publicPart(privateSigning),
    sealing: publicPart(await generateSealingKey()),
    capacity: { memoryMiB: 24_000, diskMiB: 100_000, tenants: 200 },
  };
});

describe("an enrolment request", () => {
  it("is taken when every field is in order", () => {
    expect(enrolRequest.parse(request)).toEqual(request);
  });

  it("is refused when it would send a private key", () => {
    expect(enrolRequest.safeParse({ ...request, signing: privateSigning }).success).toBe(false);
  });

  it.each<[string, object]>([
    ["a token of another length", { token: `chelar-enrol.${"t".repeat(42)}` }],
    ["a token with a newline after it", { token: `chelar-enrol.${"t".repeat(43)}\n` }],
    ["a name that is a path", { name: "../host" }],
    ["an endpoint that is a file", { endpoint: "file:///etc/passwd" }],
    ["an endpoint that is a script", { endpoint: "javascript:alert(1)" }],
    ["a capacity below zero", { capacity: { memoryMiB: -1, diskMiB: 0, tenants: 0 } }],
    ["a field nobody asked for", { hostId: `hst_${"a".repeat(26)}` }],
    ["the signing key in the place of the sealing key", { sealing: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) } }],
  ])("is refused with %s", (_name, patch) => {
    expect(enrolRequest.safeParse({ ...request, ...patch }).success).toBe(false);
  });
});
