import { existsSync, readFileSync } from "node:fs";
import { Refusal } from "./system.ts";
import { ROOT } from "./worker.ts";

/** What a client on this machine needs to know of the stack that `npm run up` keeps running. */
export interface Running {
  pid: number;
  dashboard: string;
  ingress: { address: string; port: number };
  tenantOrigin: string;
  dockerSocket: string;
  hostDir: string;
  pool: string;
}

export const defaultDir = `${ROOT}/.chelar`;
export const runningFile = (dir: string): string => `${dir}/running.json`;

export function findRunning(dir = defaultDir): Running {
  const file = runningFile(dir);
  if (existsSync(file)) {
    const running = JSON.parse(readFileSync(file, "utf8")) as Running;
    if (existsSync(`/proc/${running.pid}`)) return running;
  }
  throw new Refusal("nothing is up: run `npm run up` in another terminal first, and wait until it says so.");
}
