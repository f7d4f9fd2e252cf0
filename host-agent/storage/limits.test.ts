import { describe, expect, it } from "vitest";
import type { Backing, Usage } from "./backing.ts";
import { limitsOn } from "./limits.ts";

/** What a look at all volumes found, and how often somebody went through it. */
class Glanced extends Map<string, Usage> {
  times = 0;
  override [Symbol.iterator]() {
    this.times += 1;
    return super[Symbol.iterator]();
  }
}
const MIB = 2 ** 20;
const roomy: Usage = { usedBytes: MIB, limitBytes: 64 * MIB };
const full: Usage = { usedBytes: 64 * MIB, limitBytes: 64 * MIB };
/** Without control groups: nobody of these has a process. */
const glancedOn = (glance: () => Glanced) => limitsOn({ glance: async () => glance() } as unknown as Backing);

describe("volumes that are held at their limit", () => {
  it("are not gone through again while nothing was committed and nobody has to be held", async () => {
    let now = new Glanced([["tnt_limits_a", roomy]]);
    const limits = glancedOn(() => now);
    for (let look = 0; look < 3; look++) await limits.restrain();
    expect(now.times).toBe(1);
    limits.reopened("tnt_limits_a");
    await limits.restrain();
    expect(now.times).toBe(2);
    now = new Glanced([["tnt_limits_a", roomy]]);
    await limits.restrain();
    expect(now.times).toBe(1);
  });

  it("are looked at each time while one is held, whose time must run down", async () => {
    const one = new Glanced([
      ["tnt_limits_a", roomy],
      ["tnt_limits_b", full],
    ]);
    const limits = glancedOn(() => one);
    for (let look = 0; look < 3; look++) await limits.restrain();
    expect(one.times).toBe(3);
  });
});
