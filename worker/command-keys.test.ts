import { beforeAll, describe, expect, it } from "vitest";
import { generateSigningKey, keyId } from "../schema/protocol/index.ts";
import { type CommandKeys, commandKeys, heldOf, publicKeysetOf, signingKeyFor, withNext } from "./command-keys.ts";

const makeKey = async () => {
  const key = await generateSigningKey();
  return { kid: await keyId(key), ...key };
};
type Key = Awaited<ReturnType<typeof makeKey>>;
let [a, b, c]: Key[] = [];
beforeAll(async () => {
  [a, b, c] = await Promise.all([makeKey(), makeKey(), makeKey()]);
});

const only = (key: Key | undefined, version: number) => commandKeys.parse({ version, current: key?.kid, keys: [key] });
const kids = (keys: CommandKeys | null) => keys?.keys.map(({ kid }) => kid);

describe("the current and the next binding", () => {
  it("are one keyset of the higher version, still signed by the current key", () => {
    const both = withNext(only(a, 4), only(b, 5));
    expect(both).toMatchObject({ version: 5, current: a?.kid, next: b?.kid });
    expect(kids(both)).toEqual([a?.kid, b?.kid]);
  });

  it.each([4, 5])("ignores a next one of version %i that a finished rotation has left", (version) => {
    expect(withNext(only(b, 5), only(b, version))).toMatchObject({ version: 5, current: b?.kid, next: null });
  });

  it("goes to hosts without any private part", () => {
    const text = JSON.stringify(publicKeysetOf({ ...only(a, 1), next: null }));
    expect(text).toContain(a?.x);
    expect(text).not.toContain(a?.d);
  });

  it.each([
    ["a version of zero", { version: 0 }],
    ["a current key that is not there", { current: "nobody" }],
    ["three keys at once", { keys: [1, 2, 3] }],
    ["no key", { keys: [] }],
  ])("refuses %s", (_, change) => {
    expect(commandKeys.safeParse({ ...only(a, 1), ...change }).success).toBe(false);
  });
});

describe("the key that signs for a host", () => {
  const both = () => withNext(only(a, 1), only(b, 2)) as CommandKeys;
  const signs = (keys: CommandKeys, held: string[] | null) =>
    signingKeyFor(keys, held && { version: 1, kids: held }).kid;

  it("is the old one until the host has said that it knows the new one", () => {
    expect(signs(both(), [a?.kid as string])).toBe(a?.kid);
    expect(signs(both(), heldOf(publicKeysetOf(both())).kids)).toBe(b?.kid);
  });

  it("is the next one for a host that has forgotten the current one already", () => {
    expect(signs(both(), [b?.kid as string])).toBe(b?.kid);
  });

  it("is the current one for a host of which nothing is known, or only keys that we no longer have", () => {
    expect(signs(both(), null)).toBe(a?.kid);
    expect(signs(both(), [c?.kid as string])).toBe(a?.kid);
    expect(signs({ ...only(b, 3), next: null }, [a?.kid as string])).toBe(b?.kid);
  });
});
