import { AsyncLocalStorage } from "node:async_hooks";
import { type Client, createClient, type InArgs, type InStatement, type ResultSet } from "@libsql/client/web";
import { type SQL, sql } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { LibSQLDatabase } from "drizzle-orm/libsql";
import { drizzle } from "drizzle-orm/libsql/web";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import { readingTogether } from "./reads.ts";

export type Database = LibSQLDatabase;
export type Statement = BatchItem<"sqlite">;

/**
 * A fresh libSQL client for every request: it holds promises and a queue inside, and workerd forbids one request to
 * wait for the I/O of another. Each is one HTTP request either way, so this costs nothing. What only reads goes
 * together with what is asked for beside it ({@link readingTogether}).
 */
export function openDatabase(connection: { url: string; authToken?: string }, fetcher: typeof fetch = fetch): Database {
  const fresh = () => createClient({ ...connection, fetch: fetcher });
  const read = readingTogether({
    execute: (statement: InStatement) => fresh().execute(statement),
    batch: (statements, mode) => fresh().batch(statements, mode),
  });
  const client: Pick<Client, "execute" | "batch" | "migrate" | "transaction" | "executeMultiple"> = {
    async execute(statement: InStatement, args?: InArgs) {
      const whole = typeof statement === "string" ? { sql: statement, args: args ?? [] } : statement;
      return onlyReads(whole) ? ((await read([whole]))[0] as ResultSet) : fresh().execute(whole);
    },
    // Reading together must not wait for whoever writes: a transaction that may write takes the one lock there is.
    async batch(statements, mode) {
      const all = statements.map((one) => (Array.isArray(one) ? { sql: one[0], args: one[1] ?? [] } : one));
      return mode === undefined && all.every(onlyReads) ? read(all) : fresh().batch(all, mode ?? "write");
    },
    migrate: (statements) => fresh().migrate(statements),
    transaction: (mode?: never) => fresh().transaction(mode),
    executeMultiple: (text) => fresh().executeMultiple(text),
  };
  return drizzle({ client: client as Client, casing: "snake_case" });
}

/** What rides along in the first transaction that is committed inside; taken off when it was. */
export const riding = new AsyncLocalStorage<{ statements: Statement[] }>();

const onlyReads = (statement: InStatement): boolean =>
  /^\s*select\b/i.test(typeof statement === "string" ? statement : statement.sql);

/**
 * Runs statements as one transaction in one round trip: all of them or none. Guards made by {@link insist} fail it.
 */
export async function atomically(db: Database, statements: readonly Statement[]): Promise<void> {
  const rider = riding.getStore();
  await db.batch([...(rider?.statements ?? []), ...statements] as [Statement, ...Statement[]]);
  if (rider) rider.statements = [];
}

/**
 * A statement that fails, and with it the whole batch, unless `condition` holds at that point of the transaction.
 * SQLite raises no errors outside triggers; reading broken JSON does.
 */
export function insist(db: Database, condition: SQL): Statement {
  return db.run(sql`select case when ${condition} then 1 else json('guard') end`);
}

/** As a guard directly after an UPDATE: it must have hit exactly one row. */
export const changedOne = sql`changes() = 1`;

/** True when the database refused because `column` of `table` must be unique. */
export function isUniqueViolation(error: unknown, where: string): boolean {
  return messages(error).some((text) => text.includes(`UNIQUE constraint failed: ${where}`));
}

/** True when a guard of {@link insist} stopped the batch: what was read before is no longer so. */
export function isGuardFailure(error: unknown): boolean {
  return messages(error).some((text) => text.includes("malformed JSON"));
}

function messages(error: unknown): string[] {
  const texts: string[] = [];
  for (let it = error; it instanceof Error && texts.length < 5; it = it.cause) texts.push(it.message);
  return texts;
}

/** Does `attempt` again while a guard fails because somebody else was faster. */
export async function retryingGuards<T>(attempt: () => Promise<T>, tries = 5): Promise<T> {
  for (let left = tries; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (left <= 1 || !isGuardFailure(error)) throw error;
    }
  }
}

export type Row<T extends SQLiteTable> = T["$inferSelect"];
