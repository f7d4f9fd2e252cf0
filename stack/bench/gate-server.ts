import { createGate } from "../../host-agent/ingress/index.ts";
import { silentLog } from "../../host-agent/log.ts";
import { createServer, listen } from "../../host-agent/server.ts";
import { createMeter } from "../../host-agent/sleep/index.ts";

/** The agent's own server with the real gate and many agents, and an empty handler on the same socket. */
const [socketPath = "", count = "500"] = process.argv.slice(2);
const meter = createMeter({ pidOf: async () => process.pid, count: () => ({ inbound: 0, outbound: 0 }) });
const gate = createGate({ admits: meter.admits });
for (let at = 0; at < Number(count); at++) {
  const bounds = { tenantId: `tnt_${at}`, requestsPerMinute: 1_000_000, openConnections: 10_000 };
  gate.set(`agent-${at}.agents.test`, { ...bounds, upstream: `10.213.0.${at % 250}:8080` });
}
const server = createServer({
  command: async () => null,
  gate(request, response) {
    if (request.url === "/empty") response.end();
    else gate.handle(request, response);
  },
  log: silentLog,
});
await listen(server, socketPath, undefined);
console.log("listening");
