import { type ChildProcess, spawn } from "node:child_process";

/**
 * The kernel's own news of changed rules, so that drift is repaired in a fraction of a second and not at the next round.
 * Only a shortcut: where a program is missing or dies, the guard's interval finds the same.
 */
const SOURCES: readonly (readonly [string, ...string[]])[] = [
  // Into a pipe it would hold its lines back until 4 KiB are full.
  ["stdbuf", "-oL", "xtables-monitor", "--event"],
  ["ip", "-4", "monitor", "rule"],
];
const RESTART_AFTER_MS = 5_000;

/** `prefix` puts every program behind another one, as in `hostRun`. */
export function watchKernel(prefix: readonly string[] = []): (changed: () => void) => () => void {
  return (changed) => {
    const stops = SOURCES.map((source) => watchProgram([...prefix, ...source], changed));
    return () => {
      for (const stop of stops) stop();
    };
  };
}

function watchProgram([file = "", ...args]: readonly string[], changed: () => void): () => void {
  let child: ChildProcess | undefined;
  let restart: NodeJS.Timeout | undefined;
  let stopped = false;
  const begin = () => {
    child = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"] });
    child.stdout?.on("data", changed);
    child.once("error", again);
    child.once("exit", again);
  };
  const again = () => {
    child?.removeAllListeners();
    // A child that failed to start reports once more; its late error must find a listener.
    child?.on("error", () => {});
    if (!stopped) restart = setTimeout(begin, RESTART_AFTER_MS).unref();
  };
  begin();
  return () => {
    stopped = true;
    clearTimeout(restart);
    child?.kill("SIGTERM");
  };
}
