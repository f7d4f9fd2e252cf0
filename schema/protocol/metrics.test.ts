import { describe, expect, it } from "vitest";
import { byLabel, exposition } from "./metrics.ts";

const TABLE = { a_total: ["counter", "Of a."], b: ["gauge", "Of b."] } as const;

describe("what a Prometheus reads", () => {
  it("has every metric of the table, with what it is", () => {
    expect(exposition(TABLE, { a_total: 3, b: byLabel("state", { running: 1, failed: 0 }) })).toBe(
      [
        "# HELP a_total Of a.\n# TYPE a_total counter\na_total 3",
        '# HELP b Of b.\n# TYPE b gauge\nb{state="running"} 1\nb{state="failed"} 0\n',
      ].join("\n"),
    );
  });

  it("lets no name end its own line", () => {
    const text = exposition(TABLE, { a_total: 0, b: byLabel("host", { 'x"} 1\nup 1\\': 2 }) });
    expect(text).toContain(String.raw`b{host="x\"} 1\nup 1\\"} 2`);
    expect(text.split("\n").filter((line) => line.startsWith("up"))).toEqual([]);
  });
});
