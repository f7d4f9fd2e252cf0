import { LibsqlBatchError, type ResultSet } from "@libsql/client/web";
import { describe, expect, it } from "vitest";
import { type Ask, readingTogether } from "./reads.ts";

/** A database that answers each statement with its own text, and refuses what is called `wrong`. */
function database() {
  const trips: string[][] = [];
  const answer = (sql: string) => ({ rows: [sql] }) as unknown as ResultSet;
  const textOf = (statement: unknown) => (statement as { sql: string }).sql;
  const ask: Ask = {
    execute: async (statement: unknown) => {
      trips.push([textOf(statement)]);
      if (textOf(statement) === "wrong") throw new Error("no such column");
      return answer(textOf(statement));
    },
    batch: async (statements) => {
      const texts = statements.map(textOf);
      trips.push(texts);
      const wrong = texts.indexOf("wrong");
      if (wrong >= 0) throw new LibsqlBatchError("no such column", wrong, "SQLITE_ERROR");
      return texts.map(answer);
    },
  };
  const read = readingTogether(ask);
  const rows = async (...texts: string[]) =>
    (await read(texts.map((sql) => ({ sql, args: [] })))).map((result) => String(result.rows[0]));
  return { trips, rows };
}

describe("reads that are asked for side by side", () => {
  it("go in one round trip, and each gets its own rows", async () => {
    const { trips, rows } = database();
    const deeper = async () => {
      await Promise.resolve();
      return rows("c", "d");
    };
    expect(await Promise.all([rows("a"), rows("b"), deeper()])).toEqual([["a"], ["b"], ["c", "d"]]);
    expect(trips).toEqual([["a", "b", "c", "d"]]);
  });

  it("are sent once where they are the same, and answered to each", async () => {
    const { trips, rows } = database();
    expect(await Promise.all([rows("a"), rows("b", "a"), rows("a")])).toEqual([["a"], ["b", "a"], ["a"]]);
    expect(trips).toEqual([["a", "b"]]);
  });

  it("wait for nobody who asks later", async () => {
    const { trips, rows } = database();
    await rows("a");
    await rows("b");
    expect(trips).toEqual([["a"], ["b"]]);
  });

  it("do not fail by what a neighbour asked", async () => {
    const { rows } = database();
    const [good, wrong, other] = await Promise.allSettled([rows("a"), rows("wrong"), rows("b", "c")]);
    expect(good).toEqual({ status: "fulfilled", value: ["a"] });
    expect(wrong.status).toBe("rejected");
    expect(other).toEqual({ status: "fulfilled", value: ["b", "c"] });
  });
});
