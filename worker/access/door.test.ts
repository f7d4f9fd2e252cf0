import { describe, expect, it } from "vitest";
import { generateSigningKey } from "../../schema/protocol/index.ts";
import { BoundedMap } from "../bounded-map.ts";
import { DOOR_LIFETIME_SECONDS, DoorKeys } from "./door.ts";

const NOW = 1_800_000_000_000;
const claims = { userId: "u", sessionId: "s", hostname: "alpha.agents.example" };

describe("the door's keys", () => {
  it("prove a cookie for its own host name only, on the first look and from memory", async () => {
    const jwk = await generateSigningKey();
    const token = await new DoorKeys(jwk, "https://chelar.example").sign(claims, NOW);
    const keys = new DoorKeys(jwk, "https://chelar.example");
    expect(await keys.verify(token, "beta.agents.example")).toBeNull();
    expect(await keys.verify(token, claims.hostname)).toEqual({
      ...claims,
      expiresAtMs: NOW + DOOR_LIFETIME_SECONDS * 1000,
    });
    expect(await keys.verify(token, "beta.agents.example")).toBeNull();
  });

  it("remember an expired cookie with its end, so that each showing does not cost a signature", async () => {
    const keys = new DoorKeys(await generateSigningKey(), "https://chelar.example");
    const token = await keys.sign(claims, NOW - DOOR_LIFETIME_SECONDS * 1000);
    expect(keys.known(token)).toBeUndefined();
    expect(await keys.verify(token, claims.hostname)).toEqual({ ...claims, expiresAtMs: NOW });
    expect(keys.known(token)?.expiresAtMs).toBe(NOW);
  });
});

describe("a bounded memory", () => {
  it("forgets the oldest and never grows beyond its size", () => {
    const map = new BoundedMap<number, number>(3);
    for (let i = 0; i < 10; i += 1) map.set(i, i);
    map.set(7, 70);
    map.set(10, 10);
    expect([6, 7, 8, 9, 10].map((key) => map.get(key))).toEqual([undefined, 70, undefined, 9, 10]);
  });
});
