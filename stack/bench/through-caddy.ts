import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { type Part, startPart, untilReady } from "../processes.ts";
import { freePort } from "../sqld.ts";
import { ROOT } from "../worker.ts";
import type { Door } from "./door.ts";
import { type Load, load } from "./load.ts";

const ROUNDS = 6;
const ROUND = { connections: 32, ms: 1_500 };
export const NEEDED_THROUGH_CADDY = 0.4;

/**
 * Proxied requests per second through the real Caddyfile: with the edge's door and the real gate, beside the same Caddy
 * with both questions going to a handler that always says 200. One echo container's program stands behind both.
 */
export async function benchThroughCaddy(door: Door, ask: (hostname: string) => string) {
  const dir = `${door.dir}/caddy`;
  mkdirSync(dir, { recursive: true });
  const parts: Part[] = [];
  const start = (name: string, command: string, args: string[], env: Record<string, string> = {}) => {
    const part = startPart({ name, command, args, env, logFile: `${door.dir}/logs/${name}.log`, graceSeconds: 2 });
    parts.push(part);
    return part;
  };
  const listening = (part: Part, where: number | string) => untilReady(part, "it listened", () => opens(where));
  try {
    const echoPort = await freePort();
    const echo = start("echo", process.execPath, [`${ROOT}/host-agent/runtimes/echo/server.mjs`], {
      PORT: String(echoPort),
    });
    await listening(echo, echoPort);
    const sides = { ours: 0, yes: 0 };
    for (const side of ["ours", "yes"] as const) {
      const [port, answerPort] = [await freePort(), await freePort()];
      const socket = `${dir}/${side}.sock`;
      const kind = side === "ours" ? "gate" : "yes";
      const program = ["--disable-warning=ExperimentalWarning", `${ROOT}/stack/bench/answerer.ts`];
      const where = [socket, String(answerPort), door.hostname, `127.0.0.1:${echoPort}`];
      await listening(start(`${side}-answers`, process.execPath, [...program, kind, ...where]), socket);
      const caddy = start(
        `${side}-caddy`,
        "caddy",
        ["run", "--config", `${ROOT}/host-agent/ingress/Caddyfile`, "--adapter", "caddyfile"],
        {
          CHELAR_EDGE: `http://127.0.0.1:${side === "ours" ? door.edgePort : answerPort}`,
          CHELAR_HOST_KEY: door.hostKey,
          CHELAR_TENANT_SITE: `http://*.agents.localhost:${port}`,
          CHELAR_HOST_SITE: `http://127.0.0.1:${port}`,
          CHELAR_AGENT_SOCKET: socket,
          CHELAR_ADMIN_SOCKET: `${dir}/${side}-admin.sock`,
          CHELAR_DATA: `${dir}/${side}`,
          XDG_DATA_HOME: `${dir}/${side}`,
          XDG_CONFIG_HOME: `${dir}/${side}`,
          HOME: `${dir}/${side}`,
        },
      );
      await listening(caddy, port);
      sides[side] = port;
    }
    const rounds: Record<keyof typeof sides, Load[]> = { ours: [], yes: [] };
    const head = ask(`${door.hostname}`);
    for (let round = -1; round < ROUNDS; round++) {
      for (const side of ["ours", "yes"] as const) {
        const one = await load({ port: sides[side], head }, ROUND);
        const statuses = Object.keys(one.statuses).join();
        if (statuses !== "200") throw new Error(`through Caddy, ${side}: ${statuses}`);
        if (round >= 0) rounds[side].push(one);
      }
    }
    const median = (of: Load[]) => of.map(({ perSecond }) => perSecond).sort((a, b) => a - b)[of.length >> 1] as number;
    const [ours, yes] = [median(rounds.ours), median(rounds.yes)];
    return { perSecond: ours, alwaysYesPerSecond: yes, ratio: ours / yes, needed: NEEDED_THROUGH_CADDY };
  } finally {
    await Promise.all(parts.map((part) => part.stop()));
  }
}

function opens(where: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = typeof where === "number" ? connect(where, "127.0.0.1") : connect(where);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
