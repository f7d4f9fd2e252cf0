import { request } from "node:http";
import type { Ask } from "./runtime.ts";

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 1_048_576;

/** Asks the runtime at this address, on a connection of its own. Its answer is a tenant's: bounded, and never logged. */
export function askAt(host: string, port: number, always: Readonly<Record<string, string>> = {}): Ask {
  return ({ method = "GET", path, headers: more = {}, body, timeoutMs = TIMEOUT_MS }) =>
    new Promise((resolve, reject) => {
      const headers = { ...always, ...more };
      const json = body === undefined ? undefined : JSON.stringify(body);
      const length =
        json === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(json) };
      const signal = AbortSignal.timeout(timeoutMs);
      const outgoing = request({ host, port, method, path, headers: { ...headers, ...length }, agent: false, signal });
      outgoing.on("error", reject);
      outgoing.on("response", (response) => {
        const status = response.statusCode ?? 0;
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("error", reject);
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) return response.destroy(new Error("the answer is too long"));
          chunks.push(chunk);
        });
        response.on("end", () => {
          if (status < 200 || status > 299) return reject(new Error(`HTTP ${status}`));
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
          } catch {
            reject(new Error("the answer is no JSON"));
          }
        });
      });
      outgoing.end(json);
    });
}
