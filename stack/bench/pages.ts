import { createClient } from "@libsql/client/http";
import { build } from "esbuild";
import { type Lab, startLab } from "../screens/lab.ts";
import type { Who } from "../screens/pages.ts";
import { freePort } from "../sqld.ts";
import { ROOT } from "../worker.ts";
import { load } from "./load.ts";

const ROUNDS = 6;
/** One at a time: how long a page takes by itself, not how long it waits for others. */
const ROUND = { connections: 1, ms: 500 };
const ALLOWED_MS = 15;

const EMPTY = `import { Hono } from "hono";
export default new Hono().get("*", (c) => c.html("<!doctype html><title>Empty</title>"));`;

/**
 * How long the edge takes to make its pages, with all that they ask the database, beside an empty Hono handler in the same
 * workerd, in turns, so that a drifting machine drifts for both.
 */
export async function benchPages(json: boolean): Promise<number> {
  const port = await freePort();
  const bundle = await build({
    stdin: { contents: EMPTY, resolveDir: ROOT },
    ...{ bundle: true, format: "esm", write: false },
  });
  const lab = await startLab({ beside: { port, source: bundle.outputFiles[0]?.text ?? "" } });
  try {
    const subjects = subjectsOf(lab, port);
    const p95s = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
    const questions: number[] = [];
    for (let round = -1; round < ROUNDS; round++) {
      for (const subject of subjects) {
        const { statuses, p95 } = await load(subject, ROUND);
        if (Object.keys(statuses).join() !== "200") {
          throw new Error(`${subject.name} was answered ${Object.keys(statuses).join()}, not 200`);
        }
        // The first round warms everything up and is not counted.
        if (round >= 0) p95s.get(subject.name)?.push(p95);
      }
      questions.push(await askDatabase(lab));
    }
    return tell(p95s, median(questions), json);
  } finally {
    await lab.stop();
  }
}

function subjectsOf({ edge, known, people }: Lab, emptyPort: number) {
  const head = (path: string, as: Who) =>
    [
      `GET ${path} HTTP/1.1`,
      `Host: localhost:${edge.port}`,
      "Accept: text/html",
      ...(as === "nobody" ? [] : [`Cookie: ${people[as].client.cookieHeader(new URL(edge.dashboard))}`]),
      "",
      "",
    ].join("\r\n");
  const page = (name: string, path: string, as: Who) => ({ name, port: edge.port, head: head(path, as) });
  return [
    { name: "empty", port: emptyPort, head: head("/", "nobody") },
    page("landing", "/", "nobody"),
    page("sign-in", "/sign-in", "nobody"),
    page("status", "/status", "nobody"),
    page("agents", "/agents", "owner"),
    page("agent", `/agents/${known.running}`, "owner"),
    page("account", "/account", "owner"),
    page("operator", "/operator", "operator"),
    page("operator-audit", "/operator/audit", "operator"),
  ];
}

/** One bare question, in milliseconds: what each of a page's own questions costs at least on this machine now. */
async function askDatabase({ edge }: Lab): Promise<number> {
  const client = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
  const times: number[] = [];
  for (let asked = 0; asked < 20; asked++) {
    const began = performance.now();
    await client.execute("select 1");
    times.push(performance.now() - began);
  }
  client.close();
  return median(times);
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

function tell(p95s: ReadonlyMap<string, readonly number[]>, questionMs: number, json: boolean): number {
  const all = Object.fromEntries([...p95s].map(([name, values]) => [name, median(values)]));
  const { empty = 0, ...pages } = all;
  const own = Object.fromEntries(Object.entries(pages).map(([name, p95]) => [name, p95 - empty]));
  const within = Object.values(own).every((ms) => ms < ALLOWED_MS);
  const result = { emptyP95Ms: empty, questionMs, p95Ms: pages, ownP95Ms: own, allowedMs: ALLOWED_MS, within };
  if (json) console.log(JSON.stringify(result, null, 2));
  else {
    console.log(`${"empty".padEnd(18)}p95 ${empty.toFixed(2).padStart(7)} ms`);
    console.log(`${"a bare question to the database".padEnd(34)}${questionMs.toFixed(2).padStart(7)} ms`);
    for (const [name, p95] of Object.entries(pages)) {
      const beside = own[name] as number;
      console.log(
        `${name.padEnd(18)}p95 ${p95.toFixed(2).padStart(7)} ms   of its own ${beside.toFixed(2).padStart(7)} ms`,
      );
    }
    console.log(`allowed ${ALLOWED_MS} ms of its own: ${within ? "within" : "OVER"}`);
  }
  return within ? 0 : 1;
}
