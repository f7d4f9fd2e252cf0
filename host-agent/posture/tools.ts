import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { hostRun, type Run } from "../firewall/index.ts";
import { type Attempt, attemptLine, parseSeen, type Seen } from "./rules.ts";

/** The attacker's program, given as an argument: it needs no file wherever it runs. */
export const PROGRAM = readFileSync(new URL("./attacker.pl", import.meta.url), "utf8");
const READY_WITHIN_MS = 10_000;

export type Tools = ReturnType<typeof postureTools>;

/** Programs on the host; `enter` puts each behind another one, e.g. nsenter into a test host's namespace. */
export function postureTools(enter: readonly string[] = []) {
  const run = hostRun(enter);
  return {
    run,
    /** Runs attempts behind a prefix of its own, e.g. nsenter into a container's network namespace. */
    async attempt(prefix: readonly string[], attempts: ReadonlyMap<string, Attempt>): Promise<Map<string, Seen>> {
      if (attempts.size === 0) return new Map();
      const lines = [...attempts].map(([id, attempt]) => attemptLine(id, attempt));
      const [file = "perl", ...args] = [...prefix, "perl", "-e", PROGRAM, "attempt", ...lines];
      return parseSeen(await run(file, args));
    },
    receive: (prefix: readonly string[], listeners: readonly string[]) =>
      startReceiver([...enter, ...prefix], listeners),
  };
}
export type { Run };

export interface Receiving {
  pid: number;
  /** Ports that were in use by somebody else. */
  taken: string[];
  /** What has arrived under this key (`tcp ADDRESS PORT`), each with its sender where that is known. */
  arrived(key: string): readonly string[];
  stop(): Promise<void>;
}

/**
 * Counts what arrives at one place. It ends when its standard input does: with this process, however that ends, and with
 * it the network namespace that it may hold.
 */
async function startReceiver(prefix: readonly string[], listeners: readonly string[]): Promise<Receiving> {
  const [file = "perl", ...args] = [...prefix, "perl", "-e", PROGRAM, "receive", ...listeners];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  const arrivals = new Map<string, string[]>();
  const taken: string[] = [];
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-1_000);
  });
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(reject, READY_WITHIN_MS, new Error("a receiver of the posture run did not come up"));
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`a receiver of the posture run ended: ${errors.trim()}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [kind = "", host = "", port = "", from = ""] = line.split("\t");
      if (kind === "ready") {
        clearTimeout(timer);
        return resolve();
      }
      if (kind === "taken") return void taken.push([host, port].join(" "));
      const key = `${kind} ${host} ${port}`;
      arrivals.set(key, [...(arrivals.get(key) ?? []), from]);
    });
  });
  try {
    await ready;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return {
    pid: child.pid ?? 0,
    taken,
    arrived: (key) => arrivals.get(key) ?? [],
    stop: () => ended(child),
  };
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.stdin?.end();
    child.kill("SIGKILL");
  });
}
