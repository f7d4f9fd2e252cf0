import { describe, expect, test } from "vitest";
import { type KeyStatus, nextStep, nextVersion } from "./rotation.ts";

const host = (name: string, version: number, ...kids: string[]) => ({
  ...{ id: `hst_${name}`, name, lastReportAt: null },
  keyset: { version, kids },
});
const status = (change: Partial<KeyStatus> = {}): KeyStatus => ({
  ...{ version: 1, current: "old", next: null, hosts: [host("a", 1, "old"), host("b", 1, "old")] },
  ...change,
});
const rotation = { version: 2, kid: "new" };
const both = { version: 2, next: "new" };

describe("a rotation of the edge's key", () => {
  test("goes through its four steps, each decided by what the edge says and nothing else", () => {
    const knows = [host("a", 2, "old", "new"), host("b", 2, "old", "new")];
    const forgot = [host("a", 3, "new"), host("b", 3, "new")];
    const story = [
      [status(), "add"],
      [status(both), "distribute"],
      [status({ ...both, hosts: knows }), "retire"],
      [status({ version: 3, current: "new", hosts: knows }), "forget"],
      [status({ version: 3, current: "new", hosts: forgot }), "done"],
    ] as const;
    for (const [seen, step] of story) expect(nextStep(rotation, seen, false).step).toBe(step);
  });

  test("keeps the old key while a single host does not know the new one, and names it", () => {
    const hosts = [host("a", 2, "old", "new"), host("b", 1, "old")];
    expect(nextStep(rotation, status({ ...both, hosts }), false)).toEqual({ step: "distribute", missing: ["b"] });
    const silent = { ...host("c", 1, "old"), keyset: null };
    expect(nextStep(rotation, status({ ...both, hosts: [silent] }), false)).toMatchObject({ missing: ["c"] });
  });

  test("leaves hosts behind only when it is forced to", () => {
    expect(nextStep(rotation, status(both), true)).toEqual({ step: "retire" });
    const behind = status({ version: 3, current: "new" });
    expect(nextStep(rotation, behind, false)).toEqual({ step: "forget", missing: ["a", "b"] });
    expect(nextStep(rotation, behind, true)).toEqual({ step: "done" });
  });

  test("begins above every version that a host has seen, also when the edge is the older copy", () => {
    expect(nextVersion(status())).toBe(2);
    expect(nextVersion(status({ hosts: [host("a", 7, "lost"), host("b", 1, "old")] }))).toBe(8);
  });
});
