import { expect, test } from "vitest";
import { createLog, describeError } from "./log.ts";

const at = new Date("2026-11-22T12:00:00Z");

test("keeps one event on one line, whatever a name holds", () => {
  const lines: string[] = [];
  createLog(
    (line) => lines.push(line),
    () => at,
  ).warn("tenant.named", { tenant: "tnt_a", name: 'x\n2026 info  forged "event"', times: 2, nothing: undefined });
  expect(lines).toEqual([
    '2026-11-22T12:00:00.000Z warn  tenant.named tenant=tnt_a name="x\\n2026 info  forged \\"event\\"" times=2\n',
  ]);
});

test("tells an error with its cause, and says nothing twice", () => {
  expect(describeError(new Error("outer", { cause: new Error("inner") }))).toBe("outer (inner)");
  expect(describeError(new Error("outer: inner", { cause: new Error("inner") }))).toBe("outer: inner");
  expect(describeError("text")).toBe("text");
});
