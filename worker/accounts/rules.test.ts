import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressKey, allows, authDoor, bearerOf, bucketsOf } from "./rules.ts";
import type { Caller } from "./types.ts";

describe("what is open below /api/auth", () => {
  it.each([
    ["POST", "/sign-in/email"],
    ["POST", "/confirm-email"],
    ["GET", "/get-session"],
  ])("%s %s is", (method, path) => {
    expect(authDoor(method, path)).not.toBeNull();
  });

  it.each([
    ["GET", "/sign-in/email"],
    ["GET", "/verify-email"],
    ["POST", "/delete-user"],
    ["POST", "/link-social"],
    ["POST", "/two-factor/send-otp"],
    ["GET", "/error"],
    ["POST", "/sign-in/email/"],
    ["POST", "//sign-in/email"],
    ["POST", "/sign-in/Email"],
    ["POST", "/constructor"],
  ])("%s %s is not", (method, path) => {
    expect(authDoor(method, path)).toBeNull();
  });

  it("no single address can use up what an account may be tried by all together", () => {
    for (const path of ["/sign-in/email", "/sign-up/email", "/request-password-reset", "/send-verification-email"]) {
      const account = authDoor("POST", path)?.account;
      if (!account) throw new Error(`${path} does not count by account`);
      const { perAddress, inAll } = account;
      const perAddressInAllsWindow = perAddress.max * Math.ceil(inAll.windowSeconds / perAddress.windowSeconds);
      expect(perAddressInAllsWindow).toBeLessThan(inAll.max);
    }
  });

  it("a try that the address is refused does not count against the account", () => {
    const door = authDoor("POST", "/sign-in/email");
    const [first, second] = bucketsOf(door as never, "/sign-in/email", "203.0.113.7", "somebody");
    expect(first.every(({ key }) => key.includes("203.0.113.7"))).toBe(true);
    expect(second.map(({ key }) => key)).toEqual(["account /sign-in/email somebody"]);
  });
});

describe("a try that is about nobody", () => {
  it("counts by its address alone: strangers who name nobody share no count", () => {
    const door = authDoor("POST", "/sign-in/email");
    const [first, second] = bucketsOf(door as never, "/sign-in/email", "203.0.113.7", null);
    expect([first.map(({ key }) => key), second]).toEqual([["address /sign-in/email 203.0.113.7"], []]);
    const open = authDoor("GET", "/get-session");
    expect(bucketsOf(open as never, "/get-session", "203.0.113.7", "somebody")[1]).toEqual([]);
  });
});

describe("a client's address", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::9", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
  ])("%s counts as %s", (address, key) => expect(addressKey(address)).toBe(key));

  it("is one for all that one IPv6 customer can choose", () => {
    const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
    fc.assert(
      fc.property(fc.array(group, { minLength: 4, maxLength: 4 }), (host) => {
        expect(addressKey(`2001:db8:a:b:${host.join(":")}`)).toBe("2001:db8:a:b::/64");
      }),
    );
  });
});

describe("an Authorization header", () => {
  const key = `chk_${"a".repeat(43)}`;
  it("is a key or a token by its shape", () => {
    expect(bearerOf(`Bearer ${key}`)).toEqual({ kind: "key", token: key });
    expect(bearerOf("bearer a.b.c")).toEqual({ kind: "jwt", token: "a.b.c" });
  });
  it.each([
    "",
    "Bearer",
    "Basic YTpi",
    `Bearer ${key}x`,
    `Bearer ${key} x`,
    `Bearer a.b.${"c".repeat(1_000)}`,
    "Bearer a.b",
  ])("is nothing as %j", (header) => expect(bearerOf(header)).toBeNull());
});

it("a key does what its scopes say and no more, a person everything", () => {
  const caller = (scopes: Caller["scopes"]): Caller => ({ person: {} as never, scopes });
  expect(["GET", "HEAD", "POST", "PUT", "DELETE"].map((method) => allows(caller(["tenants:read"]), method))).toEqual([
    ...[true, true, false, false, false],
  ]);
  expect(["GET", "POST"].map((method) => allows(caller(["tenants:write"]), method))).toEqual([false, true]);
  expect(["GET", "POST"].map((method) => allows(caller(["agents:open"]), method))).toEqual([false, false]);
  expect(["GET", "POST"].map((method) => allows(caller(null), method))).toEqual([true, true]);
});
