import { createHash } from "node:crypto";

/** A file that `. file` of a POSIX shell reads back byte for byte, whatever a value holds (NUL cannot be one). */
export function environmentFile(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${quote(value)}\n`)
    .join("");
}

/** Inside single quotes a shell takes every byte literally, but the single quote itself. */
const quote = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`;

const NAME = /^[A-Z][A-Z0-9_]{0,63}$/;
/** Names by which a secret would become code or other limits: the loader's, Node's, the shell's own. */
const STEERING = /^(?:LD_.*|NODE_.*|PATH|IFS|ENV|BASH_ENV|PS[0-9]|SHELL|HOME|PWD|GCONV_PATH|MALLOC_.*|GLIBC_TUNABLES)$/;

/** Says what is wrong with an environment given to a runtime, or null. Never names a value. */
export function refuseEnvironment(
  env: Readonly<Record<string, string>>,
  fixed: Readonly<Record<string, string>>,
): string | null {
  for (const [name, value] of Object.entries(env)) {
    if (!NAME.test(name)) return "a name is not of the form A-Z, 0-9, _";
    if (STEERING.test(name) || Object.hasOwn(fixed, name)) return `${name} is set by the platform`;
    if (value.includes("\0")) return `${name} holds a NUL`;
  }
  return null;
}

/** Pause before the next question to a starting runtime: 10 ms, growing by 15 %, at most 250 ms: a quick one is not missed by much. */
export const pollDelayMs = (attempt: number): number => Math.min(250, 10 * 1.15 ** Math.min(attempt, 40));

/** How often a starting container is asked whether it still lives: every n-th question costs one call to Docker. */
export const LOOK_EVERY_MS = 250;

/** base64url SHA-256 over the names and contents of configuration files, whatever their order. */
export function configHash(files: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("base64url");
}
