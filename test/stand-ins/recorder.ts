import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** Something that listens and remembers who came: what must not arrive anywhere is asked here. */
export interface Recorder {
  port: number;
  /** Every connection or datagram so far, oldest first; `data` grows while a connection is open. */
  arrived: { from: string; data: Buffer }[];
  close(): Promise<void>;
}

/** Listens on one address (0.0.0.0 and :: take all). Port 0 lets the kernel choose. Says `greeting` to whoever connects. */
export async function recordTcp(address: string, port = 0, greeting = "here\n"): Promise<Recorder> {
  const arrived: Recorder["arrived"] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const entry = { from: socket.remoteAddress ?? "", data: Buffer.alloc(0) };
    arrived.push(entry);
    sockets.add(socket);
    socket.on("data", (chunk) => {
      entry.data = Buffer.concat([entry.data, chunk]);
    });
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.write(greeting);
  });
  server.listen({ host: address, port });
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    arrived,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** The same for datagrams; answers each with `greeting`. */
export async function recordUdp(address: string, port = 0, greeting = "here\n"): Promise<Recorder> {
  const arrived: Recorder["arrived"] = [];
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (data, { address: from, port: fromPort }) => {
    arrived.push({ from, data });
    socket.send(greeting, fromPort, from, () => {});
  });
  socket.bind(port, address);
  await once(socket, "listening");
  return {
    port: socket.address().port,
    arrived,
    async close() {
      socket.close();
      await once(socket, "close");
    },
  };
}
