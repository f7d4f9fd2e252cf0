import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { summary } from "./figures.ts";
import { type Load, load } from "./load.ts";

const AGENTS = 500;
const ROUNDS = 8;
const ROUND_MS = 1_500;
const CONNECTIONS = 32;
const PACED_PER_SECOND = 2_000;
const PACED_MS = 5_000;
const ALLOWED = { p99Ms: 2, ratio: 0.7 };
const SERVER = new URL("./gate-server.ts", import.meta.url).pathname;

/** As Caddy asks: the visitor's own headers, and who it is by the edge's word. */
const question = (at: number) =>
  [
    "GET /gate HTTP/1.1",
    "Host: agent",
    `X-Forwarded-Host: agent-${at}.agents.test`,
    "X-Forwarded-Method: GET",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Uri: /chat?session=main",
    "X-Forwarded-For: 203.0.113.9",
    "X-Chelar-User: usr_abcdefghijklmnopqrstuvwxyz",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9",
    "Sec-Fetch-Mode: navigate",
    `Cookie: theme=dark; __Host-chelar-door=${"x".repeat(300)}; session=abcdefgh`,
    "",
    "",
  ].join("\r\n");

/**
 * The gate's decisions beside an empty handler on the same socket of the same process, in turns; and how long one takes
 * while 2,000 come each second.
 */
export async function benchGate(json: boolean): Promise<number> {
  const dir = mkdtempSync("/tmp/chl-gate-");
  const socketPath = `${dir}/agent.sock`;
  const flags = ["--disable-warning=ExperimentalWarning"];
  const server = spawn(process.execPath, [...flags, SERVER, socketPath, String(AGENTS)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(server.stdout, "data");
    const empty = question(0).replace("GET /gate ", "GET /empty ");
    const rounds: Record<"gate" | "empty", Load[]> = { gate: [], empty: [] };
    for (let round = -1; round < ROUNDS; round++) {
      const one = { connections: CONNECTIONS, ms: ROUND_MS };
      const bare = await load({ socketPath, head: empty }, one);
      const gate = await load({ socketPath, head: question(round + 1) }, one);
      // The first round warms both up.
      if (round < 0) continue;
      rounds.gate.push(gate);
      rounds.empty.push(bare);
    }
    const pace = { connections: CONNECTIONS, ms: PACED_MS, perSecond: PACED_PER_SECOND };
    const paced = await load({ socketPath, head: question(7) }, pace);
    for (const { statuses } of [...rounds.gate, ...rounds.empty, paced]) {
      if (Object.keys(statuses).join() !== "200") throw new Error(`not only 200: ${JSON.stringify(statuses)}`);
    }
    const rate = (of: Load[]) => summary(of.map(({ perSecond }) => perSecond)).median;
    return tell({ gate: rate(rounds.gate), empty: rate(rounds.empty), paced }, json);
  } finally {
    server.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}

function tell({ gate, empty, paced }: { gate: number; empty: number; paced: Load }, json: boolean): number {
  const ratio = gate / empty;
  const within = ratio >= ALLOWED.ratio && paced.p99 < ALLOWED.p99Ms;
  const { perSecond, p50, p99 } = paced;
  if (json) {
    const figures = { gatePerSecond: gate, emptyPerSecond: empty, ratio, paced: { perSecond, p50, p99 }, within };
    console.log(JSON.stringify(figures, null, 2));
  } else {
    console.log(`decisions of the gate      ${gate.toFixed(0).padStart(8)} per second`);
    console.log(`empty handler beside it    ${empty.toFixed(0).padStart(8)} per second`);
    console.log(`ratio ${ratio.toFixed(2)}; needed ${ALLOWED.ratio}`);
    console.log(
      `at ${perSecond.toFixed(0)} a second: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; allowed ${ALLOWED.p99Ms} ms: ${within ? "within" : "OVER"}`,
    );
  }
  return within ? 0 : 1;
}
