import { mkdirSync, writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { migrate } from "./migrate.ts";
import type { Part } from "./processes.ts";
import { type EdgeSecrets, watchSecrets } from "./secrets.ts";
import { startSqld } from "./sqld.ts";
import { buildWorker, startWorker } from "./worker.ts";

export interface EdgeOptions {
  /** Data, logs and the built worker. */
  dir: string;
  runDir: string;
  /** Address to listen on: loopback for one machine, all for test hosts that sit in other namespaces. */
  listen: string;
  port: number;
  /** Origin of tenants with `*` for the name, e.g. `http://*.agents.localhost:8080`. */
  tenantOrigin: string;
  secrets: EdgeSecrets;
  /** Bindings beyond those that every edge has. */
  extra?: Readonly<Record<string, string>>;
  onLine?: (part: string, line: string) => void;
  /** A module of a second worker in the same process: what a bench measures ours against. */
  beside?: { port: number; source: string };
}

export interface Edge {
  dashboard: string;
  port: number;
  databaseUrl: string;
  /** For those who look into the database themselves, or take it away: benches and faults. */
  databaseAuthToken: string;
  databasePid: number;
  operatorToken: string;
  /** Resolves with a sentence when a part of the edge ends by itself. */
  failed: Promise<string>;
  tick(): Promise<void>;
  stop(): Promise<void>;
  /** Ends the worker without warning and starts it again, as a crash would; the database stays. */
  restartWorker(): Promise<void>;
}

const CRON_SECONDS = 10;

/** Database, migrations and worker, with a cron of our own. */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { dir, runDir, port, secrets } = options;
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  const [database] = await Promise.all([startSqld({ dir: `${dir}/sqld` }), buildWorker(`${dir}/worker`)]);
  await migrate(database.url, database.authToken);
  const dashboard = `http://localhost:${port}`;
  const { beside } = options;
  if (beside) writeFileSync(`${dir}/worker/beside.js`, beside.source);
  let current = secrets;
  const start = () =>
    startWorker({
      dir: `${dir}/worker`,
      listen: options.listen,
      port,
      cronSocket: `${runDir}/cron.sock`,
      bindings: {
        DASHBOARD_ORIGIN: dashboard,
        TENANT_ORIGIN: options.tenantOrigin,
        DATABASE_URL: database.url,
        DATABASE_AUTH_TOKEN: database.authToken,
        BILLING: JSON.stringify({ mode: "off" }),
        MAIL: JSON.stringify({ driver: "mailbox" }),
        ...current,
        ...options.extra,
      },
      ...(beside ? { beside: { port: beside.port, module: "beside.js" } } : {}),
      logFile: `${dir}/logs/edge.log`,
      onLine: (line) => options.onLine?.("edge", line),
    });
  let worker = await start();
  let stopping = false;
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>();
  const watch = (part: { ended: Promise<string>; name: string }) =>
    void part.ended.then((how) => stopping || fail(`${part.name} ended by itself (${how})`));
  watch(worker.part);

  const restart = async (end: (part: Part) => void) => {
    const wasStopping = stopping;
    stopping = true;
    end(worker.part);
    await worker.part.ended;
    worker = await start();
    stopping = wasStopping;
    watch(worker.part);
  };
  // What a deployment does in production: other secrets are another Worker, and the old one ends.
  const watcher = watchSecrets(dir, async (changed) => {
    if (isDeepStrictEqual(changed, current)) return;
    current = changed;
    options.onLine?.("edge", "other secrets: starting anew with them");
    await restart((part) => void part.stop());
  });

  const tick = () => worker.tick();
  const timer = setInterval(() => {
    tick().catch((error: Error) => stopping || options.onLine?.("cron", error.message));
  }, CRON_SECONDS * 1000);

  return {
    dashboard,
    port,
    databaseUrl: database.url,
    databaseAuthToken: database.authToken,
    databasePid: database.pid,
    operatorToken: secrets.OPERATOR_TOKEN,
    failed,
    tick,
    restartWorker: () => restart((part) => part.kill("SIGKILL")),
    async stop() {
      stopping = true;
      await watcher.close();
      clearInterval(timer);
      await worker.part.stop();
      await database.stop();
    },
  };
}
