import { mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { type HostConfig, readConfig } from "./config.ts";
import { enrol } from "./enrol.ts";
import { readCapacity } from "./inventory.ts";
import { createLog, describeError } from "./log.ts";
import { serve } from "./serve.ts";

const USAGE = `usage:
  node host-agent/main.ts enrol --config FILE [--token TOKEN]   the token may be in CHELAR_ENROL_TOKEN instead
  node host-agent/main.ts serve --config FILE`;

const log = createLog((line) => process.stderr.write(line));

async function enrolCommand(config: HostConfig, token: string | undefined): Promise<void> {
  if (!token) throw new Error(`an enrolment token is needed\n${USAGE}`);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const { hostId, epoch, keyset } = await enrol(config, token, await readCapacity(config));
  log.info("enrolled", { host: hostId, epoch, keyset: keyset.version, edge: config.edgeUrl });
}

async function serveCommand(config: HostConfig): Promise<void> {
  const agent = await serve(config, log);
  const end = (signal: string) => {
    log.info("ending", { signal, hint: "containers stay as they are" });
    agent.stop().then(
      () => process.exit(0),
      (error) => {
        log.error("ending", { error: describeError(error) });
        process.exit(1);
      },
    );
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, end);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { config: { type: "string" }, token: { type: "string" } },
  });
  const [verb, ...more] = positionals;
  if (!values.config || more.length > 0) throw new Error(USAGE);
  const config = readConfig(values.config);
  if (process.getuid?.() !== 0) throw new Error("the host agent needs root: it makes mounts, rules and containers");
  switch (verb) {
    case "enrol":
      return enrolCommand(config, values.token ?? process.env.CHELAR_ENROL_TOKEN);
    case "serve":
      return serveCommand(config);
    default:
      throw new Error(USAGE);
  }
}

main().catch((error) => {
  log.error("failed", { error: describeError(error) });
  process.exit(1);
});
