import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { exitCode } from "./testnet.ts";
import { ROOT } from "./worker.ts";

/** Begun first, since a long file begun last would run alone. A hint: a file that is not named here just comes later. */
const LONGEST = ["bootstrap", "agent", "faults", "receipt", "firewall", "leak", "sleep", "journey"];

/**
 * Every system test whose file's name holds one of `filters` (none: all), several files at a time, each in an internet of
 * its own, so that what they build never meets. What a file prints comes whole when it ends; the end is one summary of
 * all. Resolves with an exit code.
 */
export async function systemTests(filters: readonly string[]): Promise<number> {
  const files = (await readdir(`${ROOT}/test/system`))
    .filter((file) => file.endsWith(".test.ts"))
    .filter((file) => filters.length === 0 || filters.some((part) => file.includes(part)))
    .sort((a, b) => rank(a) - rank(b));
  const reports = await mkdtemp(join(tmpdir(), "chelar-tests-"));
  const failed: string[] = [];
  const lane = async () => {
    for (let file = files.shift(); file; file = files.shift()) {
      const code = await runFile(file, `${reports}/${file}.json`);
      if (code !== 0) failed.push(file);
      // Somebody has had enough of all of them.
      if (code > 128) files.length = 0;
    }
  };
  try {
    await Promise.all(Array.from({ length: availableParallelism() }, lane));
    const summary = [
      `${ROOT}/node_modules/.bin/vitest`,
      "--merge-reports",
      reports,
      "--project",
      "system",
      "--reporter=dot",
    ];
    const code = await exitCode(spawn(process.execPath, summary, { cwd: ROOT, stdio: "inherit" }));
    if (failed.length > 0) console.error(`\nfailed: ${failed.join(", ")}`);
    return failed.length > 0 ? 1 : code;
  } finally {
    await rm(reports, { recursive: true, force: true });
  }
}

function rank(file: string): number {
  const at = LONGEST.indexOf(basename(file, ".test.ts"));
  return at < 0 ? LONGEST.length : at;
}

/** A process of its own for each: a run is named after its process. */
async function runFile(file: string, report: string): Promise<number> {
  const vitest = ["vitest", "run", "--project", "system", "--reporter=default", "--reporter=blob"];
  const args = [`${ROOT}/stack/testnet.ts`, ...vitest, `--outputFile.blob=${report}`, `test/system/${file}`];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const [out, error, code] = await Promise.all([text(child.stdout), text(child.stderr), exitCode(child)]);
  process.stdout.write(out);
  process.stderr.write(error);
  return code;
}
