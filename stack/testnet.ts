import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { constants as os } from "node:os";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { ip, leftoverRuns, removeRun, runDir, runName } from "./testnet-cleanup.ts";

/**
 * The network of the system tests: an "internet" in a network namespace, where the tests themselves, the edge, sqld and
 * all stand-ins run. Test hosts hang on its wire. Nothing in it reaches the machine's own network, addresses or rules.
 */
export const WIRE = {
  bridge: "wire",
  address: "198.51.100.1",
  prefix: "198.51.100.0/24",
  address6: "fd00:51:100::1",
} as const;

const BIN = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));
const COMPILE_CACHE = fileURLToPath(new URL("../.chelar/test/compile-cache", import.meta.url));

/**
 * Runs a command inside a fresh internet and resolves with its exit code (128 + number for a signal's death). Before and
 * after, removes what this run and killed runs left behind. Needs root.
 */
export async function withTestNetwork(command: string, args: readonly string[]): Promise<number> {
  const run = process.pid;
  for (const dead of await leftoverRuns()) await removeRun(dead);
  await removeRun(run);
  const internet = runName(run, "net");
  try {
    await mkdir(runDir(run), { mode: 0o711 });
    await ip("netns", "add", internet);
    await ip("-n", internet, "link", "set", "lo", "up");
    await ip("-n", internet, "link", "add", WIRE.bridge, "type", "bridge");
    await ip("-n", internet, "address", "add", `${WIRE.address}/24`, "dev", WIRE.bridge);
    await ip("-n", internet, "-6", "address", "add", `${WIRE.address6}/64`, "dev", WIRE.bridge, "nodad");
    await ip("-n", internet, "link", "set", WIRE.bridge, "up");
    return await runInside(internet, command, args, run);
  } finally {
    await removeRun(run);
  }
}

function runInside(internet: string, command: string, args: readonly string[], run: number): Promise<number> {
  const ours = `${BIN}/${command}`;
  const program = !command.includes("/") && existsSync(ours) ? ours : command;
  // Not `ip netns exec`: it mounts another /sys, and a dockerd below would find no cgroups.
  const child = spawn("nsenter", [`--net=/run/netns/${internet}`, "--", program, ...args], {
    stdio: "inherit",
    env: {
      ...process.env,
      ...{ PATH: `${BIN}${delimiter}${process.env.PATH ?? ""}`, CHELAR_TEST_RUN: String(run) },
      // The tests start the host agent and the operator's commands a hundred times, from TypeScript.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? COMPILE_CACHE,
    },
  });
  return exitCode(child);
}

/** How a child that does our work ends: 128 + number for a signal's death. */
export function exitCode(child: ChildProcess): Promise<number> {
  // We outlive the signal, since somebody must clean up; the child decides what the signal means.
  const passOn = (signal: NodeJS.Signals) => void child.kill(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, passOn);
  return new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  }).finally(() => {
    for (const signal of signals) process.off(signal, passOn);
  });
}

const signalNumber = (signal: NodeJS.Signals | null) => (signal ? os.signals[signal] : 0);

/** `node stack/testnet.ts vitest run --project system hosts`: one file, while working on it. */
if (import.meta.main) {
  const [command = "sh", ...args] = process.argv.slice(2);
  process.exit(await withTestNetwork(command, args));
}
