import { request } from "node:http";
import { type Part, startPart, untilReady } from "./processes.ts";

/** Whether a Docker engine answers on this socket. */
export function dockerAnswers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: "/_ping", timeout: 3_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.once("error", () => resolve(false));
    ping.once("timeout", () => ping.destroy(new Error("no answer")));
    ping.end();
  });
}

export interface Engine {
  socket: string;
  /** Null when the engine was there before us: then it is not ours to end. */
  part: Part | null;
}

/** Uses the engine that the machine runs; where there is none, starts one with data of its own. */
export async function bringDocker(options: { dataDir: string; runDir: string; logFile: string }): Promise<Engine> {
  const found = "/var/run/docker.sock";
  if (await dockerAnswers(found)) return { socket: found, part: null };
  const socket = `${options.runDir}/docker.sock`;
  const part = startPart({
    name: "dockerd",
    command: "dockerd",
    args: [
      `--data-root=${options.dataDir}`,
      `--exec-root=${options.runDir}/docker`,
      `--pidfile=${options.runDir}/docker.pid`,
      `--host=unix://${socket}`,
      "--userland-proxy=false",
      "--icc=false",
      "--log-level=warn",
    ],
    logFile: options.logFile,
    graceSeconds: 30,
  });
  await untilReady(part, "the Docker engine answered", () => dockerAnswers(socket), 60);
  return { socket, part };
}
