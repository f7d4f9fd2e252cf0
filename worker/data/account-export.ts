import { getTableColumns, getTableName, sql } from "drizzle-orm";
import type { Person } from "../accounts/types.ts";
import type { Database } from "../db.ts";
import { HOLDINGS, type Holding, rowsOf } from "./holdings.ts";

const ROWS_AT_ONCE = 500;

/**
 * All that the database holds about a person, as JSON text in pieces: one list of rows for each table that has any.
 * Read in pages, since an account may have more than fits into memory. What opens something is not in it, sealed or not.
 */
export async function* accountExport(db: Database, person: Person, now: number): AsyncGenerator<string> {
  const head = { exportedAt: new Date(now).toISOString(), account: { id: person.id, email: person.email } };
  yield `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "tables": {`;
  let isFirst = true;
  for (const holding of HOLDINGS) {
    let begun = false;
    for await (const rows of pagesOf(db, holding, person)) {
      if (!begun) yield `${isFirst ? "" : ","}\n    ${JSON.stringify(getTableName(holding.table))}: [`;
      yield rows.map((row, index) => `${begun || index > 0 ? "," : ""}\n      ${JSON.stringify(row)}`).join("");
      begun = true;
      isFirst = false;
    }
    if (begun) yield "\n    ]";
  }
  yield "\n  }\n}\n";
}

async function* pagesOf(db: Database, holding: Holding, person: Person): AsyncGenerator<object[]> {
  const mine = rowsOf(db, holding, person);
  if (mine === null) return;
  const shown = Object.entries(getTableColumns(holding.table)).filter(([name]) => !holding.hides.includes(name));
  for (let offset = 0; ; offset += ROWS_AT_ONCE) {
    const rows = await db
      .select(Object.fromEntries(shown))
      .from(holding.table)
      .where(mine)
      .orderBy(sql`rowid`)
      .limit(ROWS_AT_ONCE)
      .offset(offset);
    if (rows.length > 0) yield rows;
    if (rows.length < ROWS_AT_ONCE) return;
  }
}
