import { rmSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import { METRICS_CONTENT_TYPE } from "../../schema/protocol/metrics.ts";
import { describeError, type Log } from "../log.ts";
import type { FullVerdict, Progress } from "./index.ts";

export interface DoorOptions {
  /** What `GET /metrics` answers: Prometheus' text. */
  metrics?: () => string;
  run: (onProgress: Progress) => Promise<FullVerdict>;
  log: Log;
}

/**
 * The operator's door: a unix socket of its own that only root may connect to, since Caddy may connect to the agent's.
 * `GET /metrics` is for whoever scrapes this host as root; it shares the socket because nobody else may ask.
 * `POST /posture` answers with one JSON object per line: `{ progress }` while it runs, then `{ verdict }` or `{ error }`.
 */
export function createDoor({ run, log, metrics }: DoorOptions): Server {
  let running = false;
  return createServer((request, response) => {
    request.resume();
    if (metrics && request.url === "/metrics" && request.method === "GET") {
      return void response.writeHead(200, { "content-type": METRICS_CONTENT_TYPE }).end(metrics());
    }
    if (request.url !== "/posture") return answer(response, 404, { error: "there is POST /posture" });
    if (request.method !== "POST") return answer(response, 405, { error: "POST is accepted" });
    if (running) return answer(response, 409, { error: "a posture run is under way; one at a time" });
    running = true;
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const tell = (line: unknown) => void response.write(`${JSON.stringify(line)}\n`);
    run((progress) => tell({ progress }))
      .then(
        (verdict) => tell({ verdict }),
        (error) => {
          log.error("posture.failed", { error: describeError(error) });
          tell({ error: error instanceof Error ? error.message : String(error) });
        },
      )
      .finally(() => {
        running = false;
        response.end();
      });
  });
}

const answer = (response: ServerResponse, status: number, body: unknown) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

export async function openDoor(door: Server, socketPath: string): Promise<void> {
  rmSync(socketPath, { force: true });
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      door.once("error", reject);
      door.listen(socketPath, resolve);
    });
  } finally {
    process.umask(umask);
  }
}
