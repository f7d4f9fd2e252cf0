import { createReadStream, createWriteStream, existsSync, renameSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { createGunzip, createGzip } from "node:zlib";
import { type Client, createClient, type InValue } from "@libsql/client/http";
import { readBindings } from "./deploy/bindings.ts";
import { migrate } from "./migrate.ts";
import { Refusal } from "./system.ts";

const USAGE = `usage:
  npm run database -- backup FILE.gz [--bindings production.json]    everything, as of one moment
  npm run database -- restore FILE.gz [--bindings production.json]   into an empty database only
  npm run database -- migrate [--bindings production.json]           to the newest schema`;

const FORMAT = "chelar-database/1";
const ROWS_AT_ONCE = 500;
/** Where SQLite keeps the highest id ever given. */
const SEQUENCES = "sqlite_sequence";

/** One JSON line each: what the file is, then tables with their rows, then indexes, then the end with what was counted. */
type Line =
  | { format: typeof FORMAT; at: string }
  | { sql: string }
  | { table: string; columns: string[]; row: Cell[] }
  | { end: true; rows: number };
/** JSON has neither bytes nor whole numbers beyond 2^53. */
type Cell = null | string | number | { bytes: string } | { int: string };

/**
 * Reads in one transaction, so that no row of the copy is newer than another; writes beside FILE and moves it there whole. A libSQL
 * server ends a transaction after some seconds (sqld: 5): what it cannot give in that time is an error, not half a copy.
 */
export async function backup(client: Client, file: string, at = new Date()): Promise<{ rows: number }> {
  const partial = `${file}.partial`;
  let rows = 0;
  const reading = await client.transaction("read");
  async function* lines(): AsyncGenerator<string> {
    const line = (it: Line) => `${JSON.stringify(it)}\n`;
    yield line({ format: FORMAT, at: at.toISOString() });
    const schema = await reading.execute(
      "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'libsql_%' ORDER BY rowid",
    );
    const tables = schema.rows.filter(({ type }) => type === "table").map(({ name }) => String(name));
    for (const { type, sql } of schema.rows) if (type === "table") yield line({ sql: String(sql) });
    const counters = await reading.execute(`SELECT 1 FROM sqlite_master WHERE name = '${SEQUENCES}'`);
    for (const table of counters.rows.length > 0 ? [...tables, SEQUENCES] : tables) {
      for (let after = -1; ; ) {
        const page = await reading.execute({
          sql: `SELECT rowid AS "rowid now", * FROM "${table}" WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS_AT_ONCE}`,
          args: [after],
        });
        const columns = page.columns.slice(1);
        for (const row of page.rows) {
          rows += 1;
          yield line({ table, columns, row: columns.map((_, at) => toCell(row[at + 1])) });
        }
        if (page.rows.length < ROWS_AT_ONCE) break;
        after = Number(page.rows.at(-1)?.[0]);
      }
    }
    for (const { type, sql } of schema.rows) if (type !== "table") yield line({ sql: String(sql) });
    yield line({ end: true, rows });
  }
  try {
    await pipeline(Readable.from(lines()), createGzip(), createWriteStream(partial, { mode: 0o600, flush: true }));
    renameSync(partial, file);
  } finally {
    reading.close();
    rmSync(partial, { force: true });
  }
  return { rows };
}

/** All of it in one transaction, or nothing: a file that was cut off has no end and changes nothing. */
export async function restore(client: Client, file: string): Promise<{ rows: number; at: string }> {
  const present = await client.execute(
    "SELECT count(*) AS n FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'libsql_%'",
  );
  if (Number(present.rows[0]?.n) > 0)
    throw new Refusal("the database is not empty: a restore goes into a new one only.");
  const writing = await client.transaction("write");
  try {
    await writing.execute("PRAGMA defer_foreign_keys = ON");
    let [rows, at, isWhole] = [0, "", false];
    let waiting: { sql: string; args: InValue[] }[] = [];
    const flush = async () => {
      if (waiting.length > 0) await writing.batch(waiting);
      waiting = [];
    };
    for await (const text of createInterface({ input: createReadStream(file).pipe(createGunzip()) })) {
      const line = JSON.parse(text) as Line;
      if ("format" in line) at = line.at;
      else if (at === "") throw new Refusal(`${file} is no backup of a Chelar database.`);
      else if ("sql" in line) waiting.push({ sql: line.sql, args: [] });
      else if ("table" in line) {
        rows += 1;
        // SQLite wrote its own word with the rows: the highest id of those that are left, not of those that ever were.
        if (line.table === SEQUENCES)
          waiting.push({ sql: `DELETE FROM ${SEQUENCES} WHERE name = ?`, args: [line.row[0] as string] });
        waiting.push(insertOf(line));
      } else isWhole = line.rows === rows;
      if (waiting.length >= ROWS_AT_ONCE) await flush();
    }
    await flush();
    if (!isWhole) throw new Refusal(`${file} was cut off: nothing was restored.`);
    await writing.commit();
    return { rows, at };
  } finally {
    writing.close();
  }
}

function insertOf({ table, columns, row }: Extract<Line, { table: string }>): { sql: string; args: InValue[] } {
  const names = columns.map((name) => `"${name}"`).join(", ");
  const sql = `INSERT INTO "${table}" (${names}) VALUES (${columns.map(() => "?").join(", ")})`;
  return { sql, args: row.map(fromCell) };
}

function toCell(value: unknown): Cell {
  if (value instanceof ArrayBuffer) return { bytes: Buffer.from(value).toString("base64") };
  if (typeof value === "bigint") return { int: value.toString() };
  return value as Cell;
}

function fromCell(cell: Cell): InValue {
  if (typeof cell !== "object" || cell === null) return cell;
  return "bytes" in cell ? Buffer.from(cell.bytes, "base64") : BigInt(cell.int);
}

/** Resolves with the exit code. */
export async function databaseCommand(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: { bindings: { type: "string", default: "production.json" } },
    allowPositionals: true,
  });
  const [verb, file = ""] = positionals;
  const { DATABASE_URL: url = "", DATABASE_AUTH_TOKEN: authToken } = readBindings(values.bindings);
  if (verb === "migrate") {
    await migrate(url, authToken);
    console.log("the database has the newest schema.");
    return 0;
  }
  if (file === "") throw new Refusal(USAGE);
  const client = createClient({ url, authToken, intMode: "bigint" });
  try {
    if (verb === "backup") {
      if (existsSync(file)) throw new Refusal(`${file} is there already: name another file.`);
      console.log(
        `${file} holds ${(await backup(client, file)).rows} rows. The vault's keys are not in it: keep both, apart.`,
      );
    } else if (verb === "restore") {
      const { rows, at } = await restore(client, file);
      await migrate(url, authToken);
      console.log(`${rows} rows are back, as they were at ${at}; the schema is the newest.`);
    } else throw new Refusal(USAGE);
    return 0;
  } finally {
    client.close();
  }
}
