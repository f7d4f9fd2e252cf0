import { type Client, type InStatement, LibsqlBatchError, type ResultSet } from "@libsql/client/web";

export type Ask = Pick<Client, "execute" | "batch">;

/** As deep as one function of ours, waiting for another one's query, lies below its caller, and some more. */
const TURNS = 20;

interface Group {
  statements: readonly InStatement[];
  resolve: (results: ResultSet[]) => void;
  reject: (error: unknown) => void;
}

/**
 * Reads that are asked for side by side go to the database in one request, in one snapshot: a page that asks five rooms
 * pays for one round trip, and no room has to know of the others. What is asked after a few turns of the microtask queue
 * goes with the next one. Within these turns workerd runs nothing of another request, so no request waits for another's I/O.
 */
export function readingTogether(ask: Ask): (statements: readonly InStatement[]) => Promise<ResultSet[]> {
  let waiting: Group[] = [];

  async function depart(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await null;
    const groups = waiting;
    waiting = [];
    try {
      const results = await sendOnce(groups.flatMap(({ statements }) => statements));
      for (const { statements, resolve } of groups) resolve(results.splice(0, statements.length));
    } catch (error) {
      // One statement was refused: each group for itself, so that nobody fails by what a neighbour asked.
      const isShared = groups.length > 1 && error instanceof LibsqlBatchError;
      for (const { statements, resolve, reject } of groups)
        isShared ? send(statements).then(resolve, reject) : reject(error);
    }
  }

  /** In one snapshot the same question has the same answer: several rooms ask whose an agent is. */
  async function sendOnce(statements: readonly InStatement[]): Promise<ResultSet[]> {
    const keys = statements.map((statement) => JSON.stringify(statement));
    const different = new Map(keys.map((key, index) => [key, statements[index] as InStatement]));
    const answers = await send([...different.values()]);
    const byKey = new Map([...different.keys()].map((key, index) => [key, answers[index] as ResultSet]));
    return keys.map((key) => byKey.get(key) as ResultSet);
  }

  /** Alone without a transaction, which is two statements more. */
  const send = async (statements: readonly InStatement[]): Promise<ResultSet[]> => {
    const [only, ...more] = statements;
    if (only !== undefined && more.length === 0) return [await ask.execute(only)];
    return ask.batch([...statements], "read");
  };

  return (statements) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ statements, resolve, reject }) === 1) void depart();
    });
}
