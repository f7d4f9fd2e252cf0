import { execFile } from "node:child_process";

/** Runs a program with arguments (never a shell) and an optional standard input; resolves with what it printed. */
export type Run = (file: string, args: readonly string[], input?: string) => Promise<string>;

export class CommandFailed extends Error {
  readonly file: string;
  /** Null when the program is not installed or was ended. */
  readonly exitCode: number | null;
  readonly missing: boolean;
  constructor(file: string, args: readonly string[], cause: Error & { code?: unknown }, stderr: string) {
    super(`${file} ${args.join(" ")}: ${stderr.trim() || cause.message}`, { cause });
    this.name = "CommandFailed";
    this.file = file;
    this.exitCode = typeof cause.code === "number" ? cause.code : null;
    // 127: a prefix such as nsenter found no such program.
    this.missing = cause.code === "ENOENT" || cause.code === 127;
  }
}

const TIMEOUT_MS = 20_000;
/** A service's PATH often lacks the administrator's directories, where iptables and ufw live. */
const PATH = [process.env.PATH, "/usr/sbin", "/sbin", "/usr/bin", "/bin"].filter(Boolean).join(":");

/** On this host; `prefix` puts every program behind another one, e.g. nsenter into a test host's network namespace. */
export function hostRun(prefix: readonly string[] = []): Run {
  return (file, args, input) =>
    new Promise((resolve, reject) => {
      const [command = file, ...rest] = [...prefix, file, ...args];
      const options = { timeout: TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, PATH, LC_ALL: "C" } };
      const child = execFile(command, rest, options, (error, stdout, stderr) =>
        error ? reject(new CommandFailed(file, args, error, stderr)) : resolve(stdout),
      );
      // A program that ends before it has read its input is judged by its exit code, not by the broken pipe.
      child.stdin?.on("error", () => {});
      child.stdin?.end(input ?? "");
    });
}
