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
/** A monitor ends when more happens at once than the kernel keeps for it: then too, something changed. */
const RESTART_AFTER_MS = 250;
/** One that cannot run here at all is not tried over and over. */
const HOPELESS_AFTER_MS = 60_000;

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
    let heard = false;
    const current = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"] });
    child = current;
    current.stdout.on("data", () => {
      heard = true;
      changed();
    });
    // "error" comes alone where the program could not be started, "close" in all other cases; once is enough.
    let ended = false;
    const again = () => {
      if (ended || stopped) return;
      ended = true;
      if (heard) changed();
      restart = setTimeout(begin, heard ? RESTART_AFTER_MS : HOPELESS_AFTER_MS).unref();
    };
    current.on("error", again).on("close", again);
  };
  begin();
  return () => {
    stopped = true;
    clearTimeout(restart);
    child?.kill("SIGTERM");
  };
}
