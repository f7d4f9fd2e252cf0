import { request } from "node:http";
import { engineHasBackends, foreignBackend, parseEngineVersion } from "../host-agent/bootstrap/rules.ts";
import { type Part, startPart, untilReady } from "./processes.ts";
import { commandOutput, Refusal } from "./system.ts";

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

/** Refuses an engine that writes its rules where ours do not stand before them. */
async function requireIptables(socketPath: string): Promise<void> {
  const text = await commandOutput("docker", ["-H", `unix://${socketPath}`, "info", "--format", "{{json .}}"]);
  const backend = foreignBackend(text);
  if (backend) {
    throw new Refusal(
      `the Docker engine at ${socketPath} writes its firewall with ${backend}: "firewall-backend": "iptables" in its daemon.json is accepted.`,
    );
  }
}

export interface Engine {
  socket: string;
  /** Null when the engine was there before us: then it is not ours to end. */
  part: Part | null;
}

/** Uses the engine that the machine runs; where there is none, starts one with data of its own. */
export async function bringDocker(options: { dataDir: string; runDir: string; logFile: string }): Promise<Engine> {
  const found = "/var/run/docker.sock";
  if (await dockerAnswers(found)) {
    await requireIptables(found);
    return { socket: found, part: null };
  }
  const socket = `${options.runDir}/docker.sock`;
  const version = parseEngineVersion(await commandOutput("dockerd", ["--version"]));
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
      ...(engineHasBackends(version) ? ["--firewall-backend=iptables"] : []),
      "--log-level=warn",
    ],
    logFile: options.logFile,
    graceSeconds: 30,
  });
  await untilReady(part, "the Docker engine answered", () => dockerAnswers(socket), 60);
  return { socket, part };
}
