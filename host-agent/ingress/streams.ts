import { randomBytes } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { finalQuestion, headOf, MAX_HEAD_BYTES, type Question, withoutPass } from "./stream-rules.ts";

/** What the edge says when it is asked again: yes, no, or nothing that could be relied on. */
export type Word = "yes" | "no" | "silence";

export interface StreamsOptions {
  /** The unix socket on which Caddy finds us. */
  socketPath: string;
  /** Asks the edge's door again, as Caddy asked it when the connection began. */
  ask(question: Question): Promise<Word>;
  onCut?(hostname: string, why: Word): void;
  /** Monotonic, in milliseconds. */
  now?: () => number;
}

/** What the gate has let in: one connection, to begin within seconds. */
export interface Permit {
  tenantId: string;
  /** `10.213.0.2:8080` */
  upstream: string;
  question: Question;
}

export interface Streams {
  server: Server;
  /** For one connection: where Caddy brings it, and the pass that it shows there. */
  admit(permit: Permit): { upstream: string; pass: string };
  /** Connections of this tenant that are open now. */
  open(tenantId: string): number;
  /** Asks for whom it is time, and cuts whoever may not stay. Called every {@link TICK_MS}. */
  tick(): Promise<void>;
  stop(): void;
}

export const TICK_MS = 5_000;
const ASK_EVERY_MS = 15_000;
/**
 * Without a yes for so long it ends: an edge that is away must not keep the door open to whom it would refuse. Together
 * with the four seconds that an answer may be old, and one tick, below the minute that is promised.
 */
const TRUST_MS = 40_000;
const PASS_LIFETIME_MS = 10_000;
const HEAD_WITHIN_MS = 5_000;

interface Stream extends Permit {
  sockets: readonly Socket[];
  saidYesAt: number;
  askedAt: number;
}

/**
 * Connections that outlast their request: WebSockets and event streams. Caddy asks the door once, when they begin, and
 * then holds them for days. So they run through here, where the door is asked again and again with the credential that
 * opened them, and where they end when it says no. Only bytes are handed on: what the container says is never parsed.
 */
export function createStreams({ socketPath, ask, onCut, now = () => performance.now() }: StreamsOptions): Streams {
  const passes = new Map<string, { permit: Permit; until: number }>();
  const streams = new Set<Stream>();

  const server = createServer({ noDelay: true, allowHalfOpen: false }, (caddy) => {
    caddy.on("error", () => caddy.destroy());
    readHead(caddy, (head, rest) => {
      const pass = headOf(head)["x-chelar-stream"] ?? "";
      const held = passes.get(pass);
      // Once, and at once: a pass is no address that somebody could come back to.
      passes.delete(pass);
      if (!held || held.until < now()) return caddy.destroy();
      begin(caddy, held.permit, Buffer.concat([Buffer.from(withoutPass(head), "latin1"), rest]));
    });
  });

  function begin(caddy: Socket, permit: Permit, first: Buffer): void {
    const [host, port] = permit.upstream.split(":");
    const container = connect({ host, port: Number(port), noDelay: true, timeout: 5_000 });
    const stream: Stream = { ...permit, sockets: [caddy, container], saidYesAt: now(), askedAt: now() };
    streams.add(stream);
    container.once("connect", () => container.setTimeout(0));
    container.once("timeout", () => container.destroy());
    container.write(first);
    for (const [from, to] of [
      [caddy, container],
      [container, caddy],
    ] as const) {
      from.pipe(to);
      from.once("error", () => to.destroy());
      from.once("close", () => {
        to.destroySoon();
        streams.delete(stream);
      });
    }
  }

  function cut(stream: Stream, why: Word): void {
    streams.delete(stream);
    for (const socket of stream.sockets) socket.destroy();
    onCut?.(stream.question.hostname, why);
  }

  return {
    server,
    admit(permit) {
      for (const [pass, { until }] of passes) if (until < now()) passes.delete(pass);
      const pass = randomBytes(32).toString("base64url");
      passes.set(pass, { permit, until: now() + PASS_LIFETIME_MS });
      return { upstream: `unix/${socketPath}`, pass };
    },
    open: (tenantId) => [...streams].filter((stream) => stream.tenantId === tenantId).length,
    async tick() {
      const due = [...streams].filter((stream) => now() - stream.askedAt >= ASK_EVERY_MS);
      // One question for all connections of one visitor to one agent.
      const byVisitor = Map.groupBy(due, ({ question }) => finalQuestion(question));
      await Promise.all(
        [...byVisitor.values()].map(async (same) => {
          const askedAt = now();
          for (const stream of same) stream.askedAt = askedAt;
          const word = await ask((same[0] as Stream).question);
          for (const stream of same) {
            if (word === "yes") stream.saidYesAt = askedAt;
            if (word === "no") cut(stream, word);
          }
        }),
      );
      for (const stream of streams) if (now() - stream.saidYesAt >= TRUST_MS) cut(stream, "silence");
    },
    stop() {
      server.close();
      for (const { sockets } of streams) for (const socket of sockets) socket.destroy();
      streams.clear();
    },
  };
}

/** Calls back with the head of the one request (without its last empty line) and what came after it. */
function readHead(socket: Socket, onHead: (head: string, rest: Buffer) => void): void {
  let held = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), HEAD_WITHIN_MS);
  socket.once("close", () => clearTimeout(timer));
  const onData = (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    const end = held.indexOf("\r\n\r\n");
    if (end < 0 && held.length <= MAX_HEAD_BYTES) return;
    socket.off("data", onData).pause();
    clearTimeout(timer);
    if (end < 0) socket.destroy();
    else onHead(held.toString("latin1", 0, end), held.subarray(end + 4));
  };
  socket.on("data", onData);
}
