import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "./tally.ts";

/** What happens to the next delivery. */
export type WireFault = "lost" | "answer lost" | "doubled" | "late" | "overtaken";
export const WIRE_FAULTS: readonly WireFault[] = ["lost", "answer lost", "doubled", "late", "overtaken"];

export interface FaultyWire {
  /** What a host gives as its endpoint. */
  url: string;
  /** Where deliveries really go: `http://ADDRESS:PORT`. */
  target: string;
  /** For the next delivery only. */
  fault: WireFault | null;
  /** Called when a delivery has come, before the host has heard of it; and after, before the edge has its answer. */
  before: (() => Promise<void>) | null;
  after: (() => Promise<void>) | null;
  /** Faults that have happened. */
  injected: number;
  close(): Promise<void>;
}

const LATE_MS = 3_000;

/** The network between the edge and one host, when it is as bad as at-least-once delivery allows for. */
export async function startFaultyWire(address: string): Promise<FaultyWire> {
  let forwarded = 0;
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { fault, before, after } = wire;
    wire.fault = null;
    wire.before = null;
    wire.after = null;
    const pass = async () => {
      const answer = await forward(wire.target, incoming.url ?? "/", incoming.headers, body);
      forwarded += 1;
      return answer;
    };
    try {
      if (before || after || fault) wire.injected += 1;
      await before?.();
      if (fault === "lost") return response.destroy();
      if (fault === "late") await sleep(LATE_MS);
      if (fault === "overtaken") {
        const count = forwarded;
        await eventually(() => forwarded > count, LATE_MS / 1_000);
      }
      const [answer] = await Promise.all([pass(), ...(fault === "doubled" ? [pass()] : [])]);
      await after?.();
      if (fault === "answer lost") return response.destroy();
      response.writeHead(answer.status, { "content-type": answer.type }).end(answer.body);
    } catch {
      response.destroy();
    }
  });
  server.listen(0, address);
  await once(server, "listening");
  const wire: FaultyWire = {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    target: "",
    fault: null,
    before: null,
    after: null,
    injected: 0,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return wire;
}

function forward(target: string, path: string, headers: IncomingHttpHeaders, body: Buffer) {
  const { host } = new URL(target);
  return new Promise<{ status: number; type: string; body: Buffer }>((resolve, reject) => {
    const call = request(`${target}${path}`, { method: "POST", headers: { ...headers, host } }, async (answer) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of answer) chunks.push(chunk);
        const type = answer.headers["content-type"] ?? "application/octet-stream";
        resolve({ status: answer.statusCode ?? 502, type, body: Buffer.concat(chunks) });
      } catch (error) {
        reject(error);
      }
    });
    call.once("error", reject);
    call.end(body);
  });
}
