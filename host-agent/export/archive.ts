import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { FIND, tarArguments } from "./rules.ts";

const ENV = { PATH: "/usr/bin:/bin", LC_ALL: "C" };

export interface Archive {
  stream: Readable;
  /** Resolves when all of it was written; rejects when something is missing in it. */
  done: Promise<void>;
  stop(): void;
}

/** A tar of a directory that nothing changes, made while it is read. */
export function archiveOf(places: { notes: string; files: string }): Archive {
  const find = spawn("find", FIND, { cwd: places.files, env: ENV, stdio: ["ignore", "pipe", "ignore"] });
  const tar = spawn("tar", tarArguments(places), { env: ENV, stdio: ["pipe", "pipe", "ignore"] });
  find.stdout.pipe(tar.stdin);
  // Ends with the other one.
  for (const pipe of [find.stdout, tar.stdin, tar.stdout]) pipe.on("error", () => {});
  const done = Promise.all([ended("find", find), ended("tar", tar)]).then(() => {});
  done.catch(() => {});
  return {
    stream: tar.stdout,
    done,
    stop() {
      for (const child of [find, tar]) child.kill("SIGKILL");
    },
  };
}

async function ended(name: string, child: ChildProcess): Promise<void> {
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  if (code !== 0) throw new Error(`${name} ended with ${code ?? signal}`);
}
