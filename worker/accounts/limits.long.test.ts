import { describe, expect, it } from "vitest";
import { Client, movableWorld, randomText, startTestEdge } from "../testing/edge.ts";
import { Limits } from "./limits.ts";
import { type AuthDoor, authDoor, bucketsOf } from "./rules.ts";

describe("limits", () => {
  it("count tries in parallel to the last one, say when to come back, and begin anew then", async () => {
    const edge = await startTestEdge();
    const world = movableWorld();
    const limits = new Limits(edge.db, world);
    const bucket = { key: `t ${randomText()}`, max: 5, windowSeconds: 60 };
    const waits = await Promise.all(Array.from({ length: 12 }, () => limits.take([[bucket]])));
    expect(waits.filter((wait) => wait === null)).toHaveLength(5);
    for (const wait of waits) if (wait !== null) expect(wait).toBeGreaterThan(0);
    world.forward(60_000);
    expect(await limits.take([[bucket]])).toBeNull();
  });

  it("do not count a try in the second group that the first has refused", async () => {
    const edge = await startTestEdge();
    const limits = new Limits(edge.db, movableWorld());
    const mine = { key: `mine ${randomText()}`, max: 2, windowSeconds: 60 };
    const everybodys = { key: `all ${randomText()}`, max: 4, windowSeconds: 60 };
    for (let i = 0; i < 20; i++) await limits.take([[mine], [everybodys]]);
    expect(await limits.take([[{ ...mine, key: `${mine.key} of another` }], [everybodys]])).toBeNull();
  });
});

describe("guessing one account", () => {
  const path = "/sign-in/email";
  const door = authDoor("POST", path) as AuthDoor;
  const start = async () => {
    const { db } = await startTestEdge();
    const world = movableWorld();
    const limits = new Limits(db, world);
    const account = randomText();
    const isLet = async (address: string) => (await limits.take(bucketsOf(door, path, address, account))) === null;
    return { world, isLet };
  };

  it("from one address, as fast as it is let, never shuts the owner out elsewhere", async () => {
    const { world, isLet } = await start();
    let guesses = 0;
    for (let minute = 0; minute < 60; minute++) {
      if (minute % 15 < 3) for (let i = 0; i < 11; i++) guesses += (await isLet("203.0.113.1")) ? 1 : 0;
      world.forward(60_000);
    }
    expect(guesses).toBeGreaterThan(50);
    expect(guesses).toBeLessThan(100);
    expect(await isLet("198.51.100.1")).toBe(true);
  });

  it("from many addresses ends after a hundred in an hour, and begins anew after it", async () => {
    const { world, isLet } = await start();
    let guesses = 0;
    for (let address = 0; address < 40; address++) {
      for (let i = 0; i < 4; i++) guesses += (await isLet(`203.0.113.${address}`)) ? 1 : 0;
    }
    expect(guesses).toBe(100);
    expect(await isLet("198.51.100.1")).toBe(false);
    world.forward(3_600_000);
    expect(await isLet("198.51.100.1")).toBe(true);
  });
});

it("whether an account exists is not told by its limit", async () => {
  const edge = await startTestEdge({ bindings: { AUTH_RATE_LIMIT: "on" } });
  const owner = await new Client(edge).signUp();
  const statuses = async (email: string, block: number) => {
    const all: number[] = [];
    for (let i = 0; i < 12; i++) {
      const headers = { "cf-connecting-ip": `198.51.${block}.${i >> 1}` };
      all.push((await new Client(edge).request("POST", "/api/auth/request-password-reset", { email }, headers)).status);
    }
    return all;
  };
  const known = await statuses(owner.email, 1);
  expect(known).toEqual(await statuses("nobody@example.com", 2));
  expect(known.filter((status) => status === 429)).toHaveLength(6);
});

it("the owner's mistakes are forgiven at their next success, the guesses of others at none of their own", async () => {
  const edge = await startTestEdge({ bindings: { AUTH_RATE_LIMIT: "on" } });
  const [owner, eve] = [await new Client(edge).signUp(), await new Client(edge).signUp()];
  const headers = { "cf-connecting-ip": "192.0.2.9" };
  const signIn = async (email: string, password: string) =>
    (await new Client(edge).request("POST", "/api/auth/sign-in/email", { email, password }, headers)).status;
  const seen: number[] = [];
  for (let i = 0; i < 6; i++)
    seen.push(await signIn(owner.email, "wrong password!"), await signIn(eve.email, eve.password));
  expect(seen).toEqual([401, 200, 401, 200, 401, 200, 401, 200, 401, 200, 429, 429]);
});

it("a new password lets its owner in at once, however many have guessed the old one", async () => {
  const edge = await startTestEdge({ bindings: { AUTH_RATE_LIMIT: "on" } });
  const owner = await new Client(edge).signUp();
  const signIn = async (password: string, address: string) => {
    const headers = { "cf-connecting-ip": address };
    return (
      await new Client(edge).request("POST", "/api/auth/sign-in/email", { email: owner.email, password }, headers)
    ).status;
  };
  for (let i = 0; i < 100; i++) await signIn("wrong password!", `198.18.0.${i >> 2}`);
  expect(await signIn(owner.password, "198.18.1.1")).toBe(429);
  await owner.request("POST", "/api/auth/request-password-reset", { email: owner.email });
  const newPassword = "a better password";
  const reset = { token: owner.tokenInMail("/reset"), newPassword };
  expect((await owner.request("POST", "/api/auth/reset-password", reset)).status).toBe(200);
  expect(await signIn(newPassword, "198.18.1.1")).toBe(200);
});

it("mail that somebody else can cause is little, whoever asks for it", async () => {
  const edge = await startTestEdge({ bindings: { AUTH_RATE_LIMIT: "on" } });
  const owner = await new Client(edge).signUp();
  const before = edge.letters.length;
  for (let i = 0; i < 20; i++) {
    const headers = { "cf-connecting-ip": `203.0.113.${i}` };
    await new Client(edge).request("POST", "/api/auth/request-password-reset", { email: owner.email }, headers);
  }
  expect(edge.letters.length - before).toBe(6);
});
