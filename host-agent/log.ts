/** One line per event on standard error. Fields are scalars on purpose: no object with a secret in it can be passed. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;
export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export function createLog(write: (line: string) => void, now: () => Date = () => new Date()): Log {
  const line =
    (level: string) =>
    (event: string, fields: LogFields = {}) =>
      write(`${now().toISOString()} ${level.padEnd(5)} ${event}${formatFields(fields)}\n`);
  return { info: line("info"), warn: line("warn"), error: line("error") };
}

export const silentLog: Log = { info() {}, warn() {}, error() {} };

/** JSON.stringify keeps one event on one line, whatever a container or a client put into a name. */
function formatFields(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        ` ${name}=${typeof value === "string" && /^[\w.:/@+-]{1,200}$/.test(value) ? value : JSON.stringify(value)}`,
    )
    .join("");
}

/** What an operator needs of an unknown error: its message and that of its cause. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : describeError(error.cause);
  return cause === "" || error.message.includes(cause) ? error.message : `${error.message} (${cause})`;
}
