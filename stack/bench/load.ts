import { connect, type Socket } from "node:net";

/** One finished round: how many answers came, of which statuses, and how long each took. */
export interface Load {
  perSecond: number;
  /** In milliseconds. */
  p50: number;
  p95: number;
  p99: number;
  statuses: Readonly<Record<number, number>>;
}

/**
 * Keeps `connections` busy with the same request for a while. Plain sockets, and of each answer only status and length
 * are read: a client that is slower than the server would measure itself. With `perSecond` they come at that pace, as
 * long as the server keeps up.
 */
export async function load(
  request: ({ port: number } | { socketPath: string }) & { head: string },
  { connections, ms, perSecond }: { connections: number; ms: number; perSecond?: number },
): Promise<Load> {
  const bytes = Buffer.from(request.head, "latin1");
  const times: number[] = [];
  const statuses: Record<number, number> = {};
  const began = performance.now();
  const until = began + ms;
  const gapMs = perSecond === undefined ? 0 : (connections * 1_000) / perSecond;
  await Promise.all(
    Array.from({ length: connections }, async (_, index) => {
      const place = "port" in request ? { port: request.port, host: "127.0.0.1" } : { path: request.socketPath };
      const socket = connect({ ...place, noDelay: true });
      await new Promise<void>((resolve, reject) => {
        let sentAt = 0;
        let dueAt = began + (gapMs * index) / connections;
        const send = () => {
          sentAt = performance.now();
          socket.write(bytes);
        };
        readAnswers(socket, (status) => {
          const now = performance.now();
          times.push(now - sentAt);
          statuses[status] = (statuses[status] ?? 0) + 1;
          dueAt += gapMs;
          if (now >= until) socket.end(resolve);
          else if (dueAt > now) setTimeout(send, dueAt - now);
          else send();
        });
        socket.once("connect", () => (gapMs > 0 ? setTimeout(send, Math.max(0, dueAt - performance.now())) : send()));
        socket.once("error", reject);
        socket.once("close", () => reject(new Error("the server closed the connection")));
      });
    }),
  );
  const tookMs = performance.now() - began;
  times.sort((a, b) => a - b);
  const at = (fraction: number) => times[Math.min(times.length - 1, Math.floor(fraction * times.length))] ?? Number.NaN;
  return { perSecond: (times.length * 1_000) / tookMs, p50: at(0.5), p95: at(0.95), p99: at(0.99), statuses };
}

/** Calls back with the status of each whole answer (RFC 9112: by Content-Length or in chunks). */
function readAnswers(socket: Socket, onAnswer: (status: number) => void): void {
  let held = "";
  socket.setEncoding("latin1");
  socket.on("data", (text: string) => {
    held += text;
    const end = held.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = held.slice(0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    const isWhole = length === undefined ? held.endsWith("\r\n0\r\n\r\n") : held.length >= end + 4 + Number(length);
    if (!isWhole) return;
    held = "";
    onAnswer(Number(head.slice(9, 12)));
  });
}
