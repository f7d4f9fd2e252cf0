import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  from: string;
}

/** An outside service in memory; every request it got is kept for the test to read. */
export interface StandIn {
  url: string;
  port: number;
  seen: SeenRequest[];
  close(): Promise<void>;
}

export async function serveHttp(
  address: string,
  port: number,
  answer: (request: SeenRequest, response: ServerResponse) => void,
): Promise<StandIn> {
  const seen: SeenRequest[] = [];
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const request: SeenRequest = {
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString("utf8"),
      from: incoming.socket.remoteAddress ?? "",
    };
    seen.push(request);
    answer(request, response);
  });
  server.listen({ host: address, port });
  await once(server, "listening");
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${address.includes(":") ? `[${address}]` : address}:${bound}`,
    port: bound,
    seen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}
