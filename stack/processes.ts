import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { createInterface } from "node:readline";

/** A long-running part of the stack that we started, and therefore may end. */
export interface Part {
  name: string;
  pid: number;
  /** Resolves with the exit code (or the signal's name) when the process ends, for whatever reason. */
  ended: Promise<string>;
  /** SIGTERM, then SIGKILL after the grace period. Ends nothing but this process. */
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

export interface PartOptions {
  name: string;
  command: string;
  args: readonly string[];
  env?: Record<string, string>;
  cwd?: string;
  /** Where the whole output is kept. */
  logFile: string;
  /** Called with each line of output. */
  onLine?: (line: string) => void;
  graceSeconds?: number;
  /** For a part that must run elsewhere: in the network namespace of a test host. */
  spawner?: typeof spawn;
}

export function startPart(options: PartOptions): Part {
  mkdirSync(options.logFile.slice(0, options.logFile.lastIndexOf("/")), { recursive: true, mode: 0o700 });
  const log = createWriteStream(options.logFile, { flags: "a", mode: 0o600 });
  const child: ChildProcess = (options.spawner ?? spawn)(options.command, options.args, {
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: the terminal's Ctrl-C reaches only us, and we end the parts in order.
    detached: true,
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on("line", (line) => {
      log.write(`${line}\n`);
      options.onLine?.(line);
    });
  }
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? String(code)));
  });
  let running = true;
  void ended.then(() => {
    running = false;
    log.end();
  });
  const kill = (signal: NodeJS.Signals) => {
    if (running) child.kill(signal);
  };
  return {
    name: options.name,
    pid: child.pid ?? -1,
    ended,
    kill,
    async stop() {
      kill("SIGTERM");
      const timer = setTimeout(() => kill("SIGKILL"), (options.graceSeconds ?? 10) * 1000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Asks again until the answer is true; throws a sentence when the part dies first or time is up. */
export async function untilReady(part: Part, what: string, probe: () => Promise<boolean>, seconds = 30): Promise<void> {
  let dead: string | null = null;
  void part.ended.then((how) => {
    dead = how;
  });
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    if (dead !== null) throw new Error(`${part.name} ended (${dead}) before ${what}`);
    if (await probe().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${part.name}: ${what} did not happen within ${seconds} s`);
}
