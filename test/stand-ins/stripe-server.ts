import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { eventRequest, StripeStandIn, type StripeStandInOptions } from "./stripe.ts";

export interface StripeServer {
  stripe: StripeStandIn;
  origin: string;
  /** Sends what has happened since the last time to the edge, as Stripe's webhooks would. Returns how many were taken. */
  deliver(): Promise<number>;
  close(): Promise<void>;
}

/** The stand-in behind a port: its API, and its pages for a real browser. */
export async function startStripeServer(
  options: Omit<StripeStandInOptions, "origin" | "now">,
  { webhook, secret, listen = "127.0.0.1" }: { webhook: string; secret: string; listen?: string },
): Promise<StripeServer> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const headers = new Headers(request.headers as Record<string, string>);
    const body = chunks.length > 0 ? Buffer.concat(chunks).toString() : undefined;
    const answer = await stripe.fetch(`${origin}${request.url}`, { method: request.method, headers, body });
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  });
  await new Promise<void>((resolve) => server.listen(0, listen, resolve));
  const origin = `http://${listen}:${(server.address() as AddressInfo).port}`;
  const stripe = new StripeStandIn({ ...options, origin, now: Math.floor(Date.now() / 1000) });
  let delivered = 0;
  return {
    stripe,
    origin,
    async deliver() {
      const fresh = stripe.events.slice(delivered);
      for (const event of fresh) {
        const at = Math.floor(Date.now() / 1000);
        const answer = await fetch(await eventRequest(event, { url: webhook, secret, at }));
        if (!answer.ok) throw new Error(`the edge answered ${answer.status} to ${event.type}`);
        delivered += 1;
      }
      return fresh.length;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
