import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Part, startPart, untilReady } from "./processes.ts";

const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const BIN = `${ROOT}/node_modules/.bin`;

/** Builds what `wrangler deploy` would upload. Returns the path of the bundle. */
export async function buildWorker(outDir: string): Promise<string> {
  mkdirSync(outDir, { recursive: true });
  await run(`${BIN}/wrangler`, ["deploy", "--dry-run", "--outdir", outDir], {
    cwd: ROOT,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: `${outDir}/wrangler-logs`, CI: "true" },
    maxBuffer: 16 * 2 ** 20,
  });
  return `${outDir}/index.js`;
}

export interface WorkerOptions {
  dir: string;
  listen: string;
  port: number;
  /** Where `scheduled()` can be triggered: Cloudflare does that by its cron, we do it by this socket. */
  cronSocket: string;
  bindings: Readonly<Record<string, string>>;
  /** A second worker in the same process, on a port of its own: what a bench measures ours against. */
  beside?: { port: number; module: string };
  /** What the worker reaches; everything, unless it is said. */
  networks?: readonly ("public" | "private" | "local")[];
  logFile: string;
  onLine?: (line: string) => void;
}

export interface Worker {
  part: Part;
  /** Runs `scheduled()` once and waits for it. */
  tick(): Promise<void>;
}

/** Serves the built worker in workerd, as in production: no development proxy in between. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const bundle = `${options.dir}/index.js`;
  for (const [name, text] of Object.entries(WORKERD_FILES)) writeFileSync(`${options.dir}/${name}`, text);
  rmSync(options.cronSocket, { force: true }); // a killed workerd leaves its socket behind
  writeFileSync(`${options.dir}/config.capnp`, workerdConfig(options, readCompatibility()));
  const part = startPart({
    name: "edge",
    command: workerdBinary(),
    args: ["serve", "--experimental", `${options.dir}/config.capnp`],
    // Secrets travel in the environment of the process, never in its configuration on disk.
    env: { ...options.bindings },
    cwd: options.dir,
    logFile: options.logFile,
    onLine: options.onLine,
  });
  await untilReady(part, "the edge answered", () => answers(options.port, bundle));
  return { part, tick: () => trigger(options.cronSocket) };
}

/** The platform's own binary: the launcher in .bin is a Node script that would outlive a SIGKILL of itself. */
export function workerdBinary(): string {
  const name = process.arch === "arm64" ? "workerd-linux-arm64" : "workerd-linux-64";
  return `${ROOT}/node_modules/@cloudflare/${name}/bin/workerd`;
}

export function readCompatibility(): { date: string; flags: string[] } {
  const toml = readFileSync(`${ROOT}/wrangler.toml`, "utf8");
  const date = /^compatibility_date\s*=\s*"([^"]+)"/m.exec(toml)?.[1];
  const flags = /^compatibility_flags\s*=\s*(\[[^\]]*\])/m.exec(toml)?.[1];
  if (!date || !flags) throw new Error("wrangler.toml names no compatibility_date or compatibility_flags");
  return { date, flags: JSON.parse(flags) as string[] };
}

const CRON_MODULE = `export default {
  async fetch(request, env) {
    const { outcome } = await env.EDGE.scheduled({ scheduledTime: new Date(), cron: "* * * * *" });
    return new Response(outcome, { status: outcome === "ok" ? 200 : 500 });
  },
};
`;

/** What lies beside the bundle. */
export const WORKERD_FILES = { "cron.js": CRON_MODULE } as const;

/** Cap'n Proto text for `workerd serve`; bindings are taken from the environment of the process. */
export function workerdConfig(
  {
    listen,
    port,
    cronSocket,
    bindings,
    beside,
    networks = ["public", "private", "local"],
  }: Omit<WorkerOptions, "dir" | "logFile" | "onLine">,
  compatibility: { date: string; flags: readonly string[] },
): string {
  const text = (value: string) => JSON.stringify(value);
  const flags = compatibility.flags.map(text).join(", ");
  const fromEnvironment = Object.keys(bindings)
    .map((name) => `    (name = ${text(name)}, fromEnvironment = ${text(name)}),`)
    .join("\n");
  const besideService = beside ? `\n    (name = "beside", worker = .beside),` : "";
  const besideSocket = beside
    ? `\n    (name = "beside", address = ${text(`${listen}:${beside.port}`)}, http = (), service = "beside"),`
    : "";
  const besideWorker = beside
    ? `
const beside :Workerd.Worker = (
  modules = [(name = "beside.js", esModule = embed ${text(beside.module)})],
  compatibilityDate = ${text(compatibility.date)},
  compatibilityFlags = [${flags}],
);
`
    : "";
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "cron", worker = .cron),${besideService}
    (name = "internet", network = (allow = [${networks.map(text).join(", ")}], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [
    (name = "http", address = ${text(`${listen}:${port}`)}, http = (), service = "edge"),
    (name = "cron", address = ${text(`unix:${cronSocket}`)}, http = (), service = "cron"),${besideSocket}
  ],
);

const edge :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js")],
  compatibilityDate = ${text(compatibility.date)},
  compatibilityFlags = [${flags}],
  bindings = [
${fromEnvironment}
  ],
);

const cron :Workerd.Worker = (
  modules = [(name = "cron.js", esModule = embed "cron.js")],
  compatibilityDate = ${text(compatibility.date)},
  compatibilityFlags = ["service_binding_extra_handlers"],
  bindings = [(name = "EDGE", service = "edge")],
);
${besideWorker}`;
}

async function answers(port: number, bundle: string): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/healthz`);
  if (!response.ok) throw new Error(`${bundle} answers ${response.status}`);
  return true;
}

function trigger(socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path: "/", headers: { host: "cron" }, timeout: 60_000 }, (response) => {
      response.resume();
      response.once("end", () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`scheduled() ended with ${response.statusCode}`)),
      );
    });
    call.once("error", reject);
    call.once("timeout", () => call.destroy(new Error("scheduled() took over 60 s")));
    call.end();
  });
}
