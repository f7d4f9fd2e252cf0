import { getTableColumns, getTableName, is } from "drizzle-orm";
import { SQLiteTable } from "drizzle-orm/sqlite-core";
import { expect, it } from "vitest";
import * as schema from "../../schema/db/index.ts";
import { HOLDINGS } from "./holdings.ts";

const tables = Object.values(schema).filter((it) => is(it, SQLiteTable)) as SQLiteTable[];

it("every table of the database is on the list, once, with whose it is and when it goes", () => {
  expect(HOLDINGS.map(({ table }) => getTableName(table)).sort()).toEqual(tables.map(getTableName).sort());
});

it("no column that opens something is shown, in any table that somebody's export may read", () => {
  const opens = /secret|password|token|hash|salt|nonce|cipher|wrapped|codes|digest|body|lease$/i;
  // The ledger is made of hashes, and a time opens nothing.
  const isHarmless = (table: SQLiteTable, name: string) =>
    (table === schema.ledger && /^(commandHash|hash)$/.test(name)) || name.endsWith("ExpiresAt");
  for (const { table, whose, hides } of HOLDINGS) {
    if (whose.by === "nobody") continue;
    const shown = Object.keys(getTableColumns(table)).filter((name) => !hides.includes(name));
    expect(
      shown.filter((name) => opens.test(name) && !isHarmless(table, name)),
      getTableName(table),
    ).toEqual([]);
  }
});

it("no column stands under a name that the table does not have", () => {
  for (const { table, hides } of HOLDINGS)
    expect(Object.keys(getTableColumns(table))).toEqual(expect.arrayContaining([...hides]));
});
