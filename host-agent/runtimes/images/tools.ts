import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { BuildFailed } from "./failure.ts";

export interface ToolCall {
  tool: string;
  /** Debian package that brings it, for the sentence when it is missing. */
  package: string;
  args: readonly string[];
  /** A program and its arguments that start the tool somewhere else, e.g. in a namespace. */
  within?: readonly string[];
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  onLine?: (line: string) => void;
}

/** Variables that a build may see. Not the whole environment: install code must never read what the host agent holds. */
const PASSED_ON = /^(?:HOME|LANG|TMPDIR|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_(?:FILE|DIR))$/i;

/**
 * Runs one tool to its end and resolves with its standard output. `setpriv --pdeathsig` ends it with the host agent: an
 * orphan would go on writing into a tree that the next start believes to own.
 */
export function runTool({
  tool,
  package: debianPackage,
  args,
  within = [],
  cwd,
  env,
  onLine,
}: ToolCall): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const inherited = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  const path = `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...within, tool, ...args], {
    cwd,
    env: { ...Object.fromEntries(inherited), PATH: path, LC_ALL: "C.UTF-8", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stdout: string[] = [];
  const tail: string[] = [];
  const keep = (line: string) => {
    if (line.trim() !== "" && tail.push(line) > 20) tail.shift();
    onLine?.(line);
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    stdout.push(line);
    keep(line);
  });
  createInterface({ input: child.stderr }).on("line", keep);
  child.on("error", (error) =>
    reject(new BuildFailed({ reason: "tool_missing", tool, package: debianPackage }, error)),
  );
  child.on("close", (code, signal) => {
    if (code === 0) resolve(stdout.join("\n"));
    else reject(new BuildFailed(diagnose({ tool, debianPackage, exit: signal ?? `code ${code}`, tail })));
  });
  return promise;
}

const ALTERED =
  /EINTEGRITY|sha512.*integrity|checksum|invalid release (?:file|signature)|not signed|hash sum mismatch/i;
const UNREACHABLE =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|Temporary failure|failed getting release|couldn't download|could not resolve|unable to connect|failed to fetch/i;

/** Reads the tool's last words. Pure. `exit` is `code 1` or a signal's name. */
export function diagnose(end: { tool: string; debianPackage: string; exit: string; tail: readonly string[] }) {
  const text = end.tail.join("\n");
  const detail = text.slice(-2_000);
  if (end.exit === "code 127" || /failed to execute.*No such file/i.test(text)) {
    return { reason: "tool_missing", tool: end.tool, package: end.debianPackage } as const;
  }
  if (ALTERED.test(text)) return { reason: "package_altered", detail } as const;
  if (UNREACHABLE.test(text)) return { reason: "source_unreachable", tool: end.tool, detail } as const;
  if (/ENOSPC|no space left/i.test(text)) {
    return { reason: "tool_failed", tool: end.tool, exit: "a full disk", detail } as const;
  }
  return { reason: "tool_failed", tool: end.tool, exit: end.exit, detail } as const;
}
