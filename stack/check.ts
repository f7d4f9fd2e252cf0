import { spawn } from "node:child_process";
import { makeBareServerArchive } from "../test/hosts/bare-server.ts";
import { makeKernel } from "../test/kernel/machine.ts";
import { bringPackages } from "./system.ts";
import { systemTests } from "./system-tests.ts";
import { makeTestImages } from "./test-images.ts";
import { exitCode } from "./testnet.ts";
import { ROOT } from "./worker.ts";

/** Tests that walk through everything that could happen, for seconds each: by name, and not for the inner loop. */
const LONG = "**/*.long.test.ts";

/** What the inner loop runs: types, lint, unit tests in both runtimes. Needs no root and no system package. */
export const check = (args: string[] = []): Promise<number> => unitTests(["--exclude", LONG, ...args]);

async function unitTests(args: string[]): Promise<number> {
  const steps: [command: string, ...args: string[]][] = [
    ["tsc", "-p", "tsconfig.json"],
    ["tsc", "-p", "worker/tsconfig.json"],
    ["biome", "ci", "--error-on-warnings", "."],
    ["vitest", "run", "--project", "workerd", "--project", "node", "--maxWorkers", "100%", ...args],
  ];
  for (const [command, ...rest] of steps) {
    const code = await passThrough(command, rest);
    if (code !== 0) return code;
  }
  return 0;
}

/** Everything: the unit tests with the long ones, then the system tests on real parts, in networks of their own. */
export async function test(args: string[]): Promise<number> {
  await bringPackages("test", true);
  const say = (line: string) => console.error(line);
  // What has to be fetched the first time is mostly waiting: beside the unit tests.
  const [code] = await Promise.all([
    unitTests([]),
    makeTestImages(`${ROOT}/.chelar/test`, say),
    makeBareServerArchive(say),
    makeKernel(say),
  ]);
  return code === 0 ? systemTests(args) : code;
}

function passThrough(command: string, args: string[]): Promise<number> {
  console.error(`\n> ${command} ${args.join(" ")}`);
  return exitCode(spawn(`${ROOT}/node_modules/.bin/${command}`, args, { cwd: ROOT, stdio: "inherit" }));
}
