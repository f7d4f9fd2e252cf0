import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs, promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { migrate } from "../migrate.ts";
import { Refusal } from "../system.ts";
import { exitCode } from "../testnet.ts";
import { buildWorker, ROOT } from "../worker.ts";
import { freshBindings, readBindings, writeBindings } from "./bindings.ts";
import { unsafeStatements } from "./migrations.ts";
import { type Bindings, BUNDLE_LIMIT_BYTES, configRefusals, refusals, type Way } from "./rules.ts";
import { makeServerTree } from "./server.ts";

const USAGE = `usage:
  npm run deploy -- init --dashboard URL --tenants URL [--bindings FILE]
                                                draws every secret of a new edge into FILE (0600); you add the database and mail
  npm run deploy -- --check [--bindings FILE]   everything that can be checked without an account, and nothing else
  npm run deploy -- [--bindings FILE]           checks, migrates the database, and deploys to Cloudflare with wrangler
  npm run deploy -- --server DIR [--bindings FILE] [--port 8787]
                                                checks, and writes what a server with systemd needs to serve the same worker
FILE is production.json unless you say otherwise. Keep it apart from backups of the database.`;

const OPTIONS = {
  check: { type: "boolean", default: false },
  bindings: { type: "string", default: "production.json" },
  dashboard: { type: "string" },
  tenants: { type: "string" },
  server: { type: "string" },
  port: { type: "string", default: "8787" },
} as const;

/** Resolves with the exit code. */
export async function deployCommand(args: string[]): Promise<number> {
  const { values, positionals } = read(args);
  if (positionals[0] === "init") return init(values);
  if (positionals.length > 0) throw new Refusal(USAGE);
  const way: Way = values.server === undefined ? "cloudflare" : "workerd";
  const work = mkdtempSync(`${tmpdir()}/chelar-deploy-`);
  try {
    const bindings = readBindings(values.bindings);
    const bundle = await check(bindings, way, work);
    if (values.check) return 0;
    if (values.server !== undefined) {
      await makeServerTree({ dir: values.server, bundle, bindings, port: portOf(values.port) });
      say(`${values.server} holds the edge for a server: docs/production.md says how it gets there.`);
      return 0;
    }
    return await deploy(bindings, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const say = (line: string) => console.log(line);

function read(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: true });
  } catch (error) {
    throw new Refusal(`${(error as Error).message}\n${USAGE}`);
  }
}

async function init(values: { dashboard?: string; tenants?: string; bindings: string }): Promise<number> {
  const { dashboard, tenants } = values;
  if (!dashboard || !tenants) throw new Refusal(USAGE);
  writeBindings(values.bindings, {
    ...(await freshBindings({ dashboard, tenants })),
    DATABASE_URL: "libsql://…",
    DATABASE_AUTH_TOKEN: "…",
    MAIL: { driver: "resend", key: "re_…", from: `Chelar <hello@${new URL(dashboard).hostname}>` },
  });
  say(`${values.bindings} is made. Put your database and mail provider into it, then: npm run deploy -- --check`);
  return 0;
}

/** Every check, all refusals at once. Resolves with the bundle that would go out. */
async function check(bindings: Bindings, way: Way, work: string): Promise<string> {
  const wrong = [...refusals(bindings, way)];
  if (way === "cloudflare") wrong.push(...configRefusals(readFileSync(`${ROOT}/wrangler.toml`, "utf8")));
  const folder = `${ROOT}/schema/migrations`;
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".sql"))) {
    for (const statement of unsafeStatements(readFileSync(`${folder}/${file}`, "utf8"))) {
      wrong.push(`${file} does more than add, which the version before it may not survive: ${statement.slice(0, 80)}`);
    }
  }
  const bundle = await buildWorker(`${work}/bundle`);
  const bytes = gzipSync(readFileSync(bundle)).byteLength;
  if (bytes > BUNDLE_LIMIT_BYTES) {
    wrong.push(`the worker is ${bytes} bytes compressed; Cloudflare takes at most ${BUNDLE_LIMIT_BYTES}.`);
  }
  if (wrong.length > 0) throw new Refusal(`nothing was deployed:\n${wrong.map((one) => `  - ${one}`).join("\n")}`);
  say(`checked: bindings, domains, migrations, cron, and a worker of ${Math.ceil(bytes / 1024)} KiB compressed.`);
  return bundle;
}

/** The schema first: the version that is running lives on it, the new one needs it. */
async function deploy(bindings: Bindings, work: string): Promise<number> {
  const wrangler = `${ROOT}/node_modules/.bin/wrangler`;
  await promisify(execFile)(wrangler, ["whoami"], { cwd: ROOT }).catch(() => {
    throw new Refusal("wrangler is not signed in: `npx wrangler login`, or CLOUDFLARE_API_TOKEN in the environment.");
  });
  await migrate(bindings.DATABASE_URL ?? "", bindings.DATABASE_AUTH_TOKEN);
  say("the database has the newest schema.");
  const secrets = `${work}/secrets.json`;
  writeFileSync(secrets, JSON.stringify(bindings), { mode: 0o600 });
  const domain = new URL(bindings.DASHBOARD_ORIGIN ?? "").hostname;
  const args = ["deploy", "--domain", domain, "--secrets-file", secrets];
  return exitCode(spawn(wrangler, args, { cwd: ROOT, stdio: "inherit" }));
}

function portOf(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Refusal(`--port takes 1 to 65535, not ${text}.`);
  return port;
}
