import { type Door, startDoor } from "./door.ts";
import { type Load, load } from "./load.ts";
import { benchThroughCaddy } from "./through-caddy.ts";

const ROUNDS = 8;
const ROUND = { connections: 32, ms: 1_000 };
const NEEDED = { rate: 0.6, p99: 2.5 } as const;

/**
 * Warm decisions of the door beside an empty Hono handler in the same workerd, in turns, so that a drifting machine
 * drifts for both.
 */
export async function benchForwardAuth(json: boolean): Promise<number> {
  const door = await startDoor(8_080);
  try {
    const decisions = await benchDecisions(door);
    const throughCaddy = await benchThroughCaddy(door, (hostname) => visit(door, hostname));
    const within = decisions.within && throughCaddy.ratio >= throughCaddy.needed;
    const result = { ...decisions, throughCaddy, within };
    if (json) console.log(JSON.stringify(result, null, 2));
    else tell(result);
    return within ? 0 : 1;
  } finally {
    await door.stop();
  }
}

const CASES = {
  owner: 200,
  nonOwner: 403,
  expired: 401,
  revoked: 401,
  unknown: 404,
} as const;
type Case = keyof typeof CASES;

/** What Caddy sends for a script's request. */
export function question(door: Door, who: Case): string {
  const hostname = who === "unknown" ? "nobody-here.agents.localhost" : door.hostname;
  const cookie = who === "unknown" ? door.cookies.owner : door.cookies[who];
  return [
    "GET /forward-auth HTTP/1.1",
    "Host: localhost",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Accept: application/json",
    "Accept-Encoding: gzip",
    "Accept-Language: en-GB,en;q=0.9",
    `Cookie: theme=dark; ${cookie}`,
    "Sec-Fetch-Dest: empty",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Site: same-origin",
    "X-Forwarded-For: 198.51.100.7",
    `X-Forwarded-Host: ${hostname}`,
    "X-Forwarded-Method: GET",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Uri: /api/state?since=12",
    `X-Chelar-Host: ${door.hostKey}`,
    "X-Chelar-Client: 198.51.100.7",
    "",
    "",
  ].join("\r\n");
}

/** What a browser's script sends to Caddy. */
const visit = (door: Door, hostname: string): string =>
  [
    "GET /healthz HTTP/1.1",
    `Host: ${hostname}`,
    "Accept: application/json",
    `Cookie: ${door.cookies.owner}`,
    "",
    "",
  ].join("\r\n");

async function benchDecisions(door: Door) {
  const cases = Object.keys(CASES) as Case[];
  const rounds: Record<Case | "empty", Load[]> = {
    empty: [],
    owner: [],
    nonOwner: [],
    expired: [],
    revoked: [],
    unknown: [],
  };
  // The very same bytes: reading the headers of a request is the server's work, not the door's.
  const empty = { port: door.emptyPort, head: question(door, "owner") };
  for (let round = -1; round < ROUNDS; round++) {
    for (const name of ["empty", ...cases] as const) {
      const one = await load(name === "empty" ? empty : { port: door.edgePort, head: question(door, name) }, ROUND);
      const statuses = Object.keys(one.statuses).join();
      const wanted = name === "empty" ? 200 : CASES[name];
      if (statuses !== String(wanted)) throw new Error(`${name} was answered ${statuses}, not ${wanted}`);
      // The first round warms everything up and is not counted.
      if (round >= 0) rounds[name].push(one);
    }
  }
  const queries = await countQueries(door);
  const figures = Object.fromEntries(
    Object.entries(rounds).map(([name, of]) => [
      name,
      {
        perSecond: median(of.map(({ perSecond }) => perSecond)),
        p50: median(of.map(({ p50 }) => p50)),
        p99: median(of.map(({ p99 }) => p99)),
      },
    ]),
  ) as Record<Case | "empty", { perSecond: number; p50: number; p99: number }>;
  const rateRatio = figures.owner.perSecond / figures.empty.perSecond;
  const p99Ratio = figures.owner.p99 / figures.empty.p99;
  const within = rateRatio >= NEEDED.rate && p99Ratio <= NEEDED.p99 && queries.perWarmDecision === 0;
  return { figures, rateRatio, p99Ratio, queries, needed: NEEDED, within };
}

/**
 * Counted at sqld. Within two seconds of a look the cache answers alone; later one look per two seconds and name goes on
 * behind the answers, which is what keeps a revocation within five seconds.
 */
async function countQueries(door: Door) {
  const head = question(door, "owner");
  const run = async (ms: number) => {
    const before = await door.queries();
    const { perSecond } = await load({ port: door.edgePort, head }, { connections: 32, ms });
    return { queries: (await door.queries()) - before, decisions: Math.round((perSecond * ms) / 1_000) };
  };
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  await run(1);
  // The looks that this began come to their end.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const warm = await run(700);
  const long = await run(10_000);
  return { perWarmDecision: warm.queries / warm.decisions, warm, long };
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

type Result = Awaited<ReturnType<typeof benchDecisions>> & {
  throughCaddy: Awaited<ReturnType<typeof benchThroughCaddy>>;
};

function tell({ figures, rateRatio, p99Ratio, queries, throughCaddy, within }: Result): void {
  for (const [name, { perSecond, p50, p99 }] of Object.entries(figures)) {
    console.log(
      `${name.padEnd(12)}${perSecond.toFixed(0).padStart(8)} per second   p50 ${p50.toFixed(2)} ms   p99 ${p99.toFixed(2)} ms`,
    );
  }
  console.log(`owner beside the empty handler: rate ${rateRatio.toFixed(2)}, needed ${NEEDED.rate}`);
  console.log(`                                p99 ${p99Ratio.toFixed(2)}, allowed ${NEEDED.p99}`);
  console.log(
    `queries in ${queries.warm.decisions} warm decisions: ${queries.warm.queries}; in ten seconds (${queries.long.decisions} decisions): ${queries.long.queries}`,
  );
  const { perSecond, alwaysYesPerSecond, ratio, needed } = throughCaddy;
  console.log(
    `through Caddy: ${perSecond.toFixed(0)} per second, ${alwaysYesPerSecond.toFixed(0)} where both questions are always answered 200: ${ratio.toFixed(2)}, needed ${needed}`,
  );
  console.log(within ? "within" : "NOT within");
}
