import { createServer, type RequestListener } from "node:http";
import { createGate } from "../../host-agent/ingress/index.ts";

/**
 * `answerer.ts gate|yes SOCKET PORT HOSTNAME UPSTREAM`: what Caddy asks, as a process of its own. `gate` is the real one;
 * `yes` always says 200, to both questions, and is what the rest is measured beside.
 */
const [kind, socket, port, hostname = "", upstream = ""] = process.argv.slice(2);

const gate = createGate();
gate.set(hostname, { tenantId: "tnt_bench", upstream, requestsPerMinute: 1e9 });
const headers = {
  "x-chelar-user": "usr_bench",
  "x-chelar-upstream": upstream,
  "x-chelar-cookie": "",
  "x-chelar-stream": "",
  "content-length": "0",
};
const yes: RequestListener = (_, response) => void response.writeHead(200, headers).end();
const server = () => createServer({ keepAliveTimeout: 60_000 }, kind === "gate" ? gate.handle : yes);
server().listen(socket);
server().listen(Number(port), "127.0.0.1");
