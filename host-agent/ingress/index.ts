import type { IncomingMessage, ServerResponse } from "node:http";
import type { Asking } from "../asking/index.ts";
import { type Asker, createAsk } from "./ask-edge.ts";
import { createGate, type Gate, type GateOptions } from "./gate.ts";
import { createStreams, type Streams, TICK_MS } from "./streams.ts";
import { createTlsAsk } from "./tls-ask.ts";

export { createGate, type Gate, type GateOptions } from "./gate.ts";
export type { Streams } from "./streams.ts";

export interface IngressOptions extends Asker, Pick<GateOptions, "admits"> {
  asking?: Asking;
  isReady: () => boolean;
  /** Where Caddy brings the connections that outlast their request. */
  streamSocket: string;
  onCut(hostname: string, why: string): void;
}

export interface Ingress {
  gate: Gate;
  streams: Streams;
  /** Everything that Caddy asks on the agent's socket. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  stop(): void;
}

export function createIngress({ isReady, admits, asking, streamSocket, onCut, ...asker }: IngressOptions): Ingress {
  const streams = createStreams({ socketPath: streamSocket, ask: createAsk(asker), onCut });
  const gate = createGate({ isReady, admits, asking, streams });
  const tlsAsk = createTlsAsk({ knows: gate.knows });
  // It never fails: a question without an answer is a word of its own.
  const timer = setInterval(() => void streams.tick(), TICK_MS);
  return {
    gate,
    streams,
    handle: (request, response) =>
      void (tlsAsk(request, response) || asking?.handle(request, response) || gate.handle(request, response)),
    stop() {
      clearInterval(timer);
      streams.stop();
    },
  };
}
