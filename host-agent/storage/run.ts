import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { type Mount, mountAt, parseMountInfo } from "./rules.ts";

const execFileAsync = promisify(execFile);

/** Runs a system tool without a shell; its words end up in the error for the log. */
export async function run(program: string, args: readonly string[]): Promise<void> {
  await ask(program, args);
}

/** The same, for what it prints. */
export async function ask(program: string, args: readonly string[]): Promise<string> {
  try {
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
    const { stdout } = await execFileAsync(program, [...args], { env, maxBuffer: 16 * 2 ** 20 });
    return stdout;
  } catch (error) {
    const stderr = (error as { stderr?: string }).stderr?.trim();
    throw new Error(`${program} ${args.join(" ")}: ${stderr || error}`, { cause: error });
  }
}

/** What the kernel says is mounted at a path, if anything. */
export async function mountOn(path: string): Promise<Mount | undefined> {
  return mountAt(parseMountInfo(await readFile("/proc/self/mountinfo", "utf8")), path);
}
