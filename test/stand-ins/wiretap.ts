import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** Stands between two parts of the platform, passes everything on, and keeps all that it saw. */
export interface Wiretap {
  url: string;
  /** Where it goes: `http://ADDRESS:PORT`. */
  target: string;
  /** Nobody answers: the other side is away. */
  isDown: boolean;
  /** Every byte of both directions: request lines, headers and bodies. */
  heard(): Buffer;
  close(): Promise<void>;
}

/** `asItself`: the other side sees its own name in Host, not the wiretap's. */
export async function startWiretap(address: string, target = "", asItself = true): Promise<Wiretap> {
  const heard: Buffer[] = [];
  const keep = (...parts: (string | Buffer)[]) => void heard.push(...parts.map((part) => Buffer.from(part)));
  const server = createServer((incoming, outgoing) => {
    if (tap.isDown || !tap.target) return outgoing.destroy();
    const { method = "", url = "", rawHeaders } = incoming;
    keep(`${method} ${url}\n${rawHeaders.join("\n")}\n`);
    const headers = { ...incoming.headers, ...(asItself ? { host: new URL(tap.target).host } : {}) };
    const call = request(`${tap.target}${url}`, { method, headers }, (answer) => {
      keep(`${answer.statusCode}\n${answer.rawHeaders.join("\n")}\n`);
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("data", keep).pipe(outgoing);
    });
    call.once("error", () => outgoing.destroy());
    incoming.on("data", keep).pipe(call);
  });
  server.listen(0, address);
  await once(server, "listening");
  const tap: Wiretap = {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    target,
    isDown: false,
    heard: () => Buffer.concat(heard),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return tap;
}
