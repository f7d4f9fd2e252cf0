import { describe, expect, it } from "vitest";
import { pageOf, pageQuery } from "./paging.ts";
import { Turns, turnHeaders } from "./rules.ts";

describe("the turns of a credential", () => {
  it("are refused beyond the policy, for what is left of the window and not longer", () => {
    const turns = new Turns();
    const all = Array.from({ length: 121 }, (_, at) => turns.take("Bearer a", "writes", 1_000 + at));
    expect(all.filter(({ isOver }) => isOver)).toHaveLength(1);
    expect(all.at(-1)).toMatchObject({ policy: "writes", left: 0, resetSeconds: 60, isOver: true });
    expect(turns.take("Bearer a", "writes", 61_001).isOver).toBe(false);
  });

  it("are each credential's own, and a read does not use up a write", () => {
    const turns = new Turns();
    for (let i = 0; i < 200; i += 1) turns.take("Bearer a", "writes", 0);
    expect(turns.take("Bearer b", "writes", 0).left).toBe(119);
    expect(turns.take("Bearer a", "reads", 0).left).toBe(599);
  });

  it("are told as structured fields", () => {
    expect(turnHeaders(new Turns().take("Bearer a", "reads", 0))).toEqual({
      "ratelimit-policy": '"reads";q=600;w=60',
      ratelimit: '"reads";r=599;t=60',
    });
  });
});

describe("a page of a list", () => {
  const items = ["b", "d", "f", "h"];
  const at = (cursor: string | null, limit = 2) => pageQuery.parse({ limit, ...(cursor ? { cursor } : {}) });
  const same = (item: string) => item;

  it("shows every item once, in order, either way", () => {
    for (const order of ["rising", "falling"] as const) {
      const first = pageOf(items, at(null), same, order);
      const second = pageOf(items, at(first.next), same, order);
      expect([...first.page, ...second.page]).toEqual(order === "rising" ? items : items.toReversed());
      expect(second.next).toBeNull();
    }
  });

  it("loses and repeats nothing when items come and go between two pages", () => {
    const first = pageOf(items, at(null), same);
    const second = pageOf(["a", "b", "c", "e", "f", "h"], at(first.next), same);
    expect([first.page, second.page]).toEqual([
      ["b", "d"],
      ["e", "f"],
    ]);
  });

  it("takes a limit of 1 to 100 and a cursor of ours, and nothing else", () => {
    for (const query of [
      { limit: "0" },
      { limit: "101" },
      { limit: "1.5" },
      { limit: "x" },
      { cursor: "not base64url!" },
    ]) {
      expect(pageQuery.safeParse(query).success, JSON.stringify(query)).toBe(false);
    }
    expect(pageQuery.parse({})).toEqual({ limit: 100 });
  });
});
