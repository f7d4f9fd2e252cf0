// Stands in one network namespace of the firewall lab and does what it is told, one JSON line each: listens and counts
// what really arrived, or tries to get through. Receivers judge leaks: a sender cannot tell "dropped" from "no answer".
import dgram from "node:dgram";
import net from "node:net";
import { createInterface } from "node:readline";

const seen = new Map();
const count = (key) => seen.set(key, (seen.get(key) ?? 0) + 1);
const kept = [];

const operations = {
  listen: ({ host, port, protocol, key = `${protocol}/${port}` }) =>
    new Promise((resolve, reject) => {
      if (protocol === "tcp") {
        const server = net.createServer((socket) => {
          count(key);
          socket.on("error", () => {});
          socket.on("data", (bytes) => socket.write(bytes));
        });
        kept.push(server);
        server.on("error", reject).listen({ host, port, ipv6Only: false }, () => resolve("listening"));
      } else {
        const socket = dgram.createSocket({ type: host.includes(":") ? "udp6" : "udp4", reuseAddr: true });
        socket.on("message", (bytes, from) => {
          count(key);
          socket.send(bytes, from.port, from.address, () => {});
        });
        kept.push(socket);
        socket.on("error", reject).bind(port, host, () => resolve("listening"));
      }
    }),
  seen: () => Object.fromEntries(seen),
  forget: () => seen.clear(),
  tcp: ({ host, port, localAddress, timeoutMs = 700, keep = false }) =>
    new Promise((resolve) => {
      const socket = net.connect({ host, port, localAddress });
      const end = (verdict) => {
        clearTimeout(timer);
        if (keep && verdict === "open") kept.push(socket);
        else socket.destroy();
        resolve(verdict);
      };
      const timer = setTimeout(end, timeoutMs, "timeout");
      socket.on("connect", () => end("open")).on("error", (error) => end(error.code ?? "error"));
    }),
  udp: ({ host, port, localAddress, timeoutMs = 500, times = 1 }) =>
    new Promise((resolve) => {
      const socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
      let answers = 0;
      const end = (verdict) => {
        clearTimeout(timer);
        socket.close();
        resolve(verdict);
      };
      const timer = setTimeout(() => end(answers > 0 ? "answered" : "timeout"), timeoutMs);
      socket.on("message", () => ++answers === times && end("answered"));
      socket.on("error", (error) => end(error.code ?? "error"));
      socket.bind({ address: localAddress, port: 0 }, () => {
        socket.setBroadcast(true);
        for (let i = 0; i < times; i++)
          socket.send("probe", port, host, (error) => error && end(error.code ?? "error"));
      });
    }),
  /** Opens as many connections as it can at once; tells how many came through. */
  flood: async ({ host, port, times, timeoutMs = 1_500 }) => {
    const tries = Array.from({ length: times }, () => operations.tcp({ host, port, timeoutMs, keep: true }));
    return (await Promise.all(tries)).filter((verdict) => verdict === "open").length;
  },
  /** Writes into the first connection that was kept open; "answered" when its echo comes back. */
  speak: ({ timeoutMs = 700 }) =>
    new Promise((resolve) => {
      const socket = kept.find((entry) => entry instanceof net.Socket);
      const timer = setTimeout(resolve, timeoutMs, "timeout");
      socket?.once("data", () => {
        clearTimeout(timer);
        resolve("answered");
      });
      socket?.write("more");
    }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, operation, ...rest } = JSON.parse(line);
  Promise.resolve(operations[operation](rest)).then(
    (answer) => process.stdout.write(`${JSON.stringify({ id, answer: answer ?? null })}\n`),
    (error) => process.stdout.write(`${JSON.stringify({ id, error: String(error) })}\n`),
  );
}
