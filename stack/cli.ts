import { parseArgs } from "node:util";
import { Refusal } from "./system.ts";

/** Every `npm run …` of the project, by name. Each module is loaded only when it is asked for. */
const commands: Readonly<Record<string, (args: string[]) => Promise<number>>> = {
  async up(args) {
    const { values } = parse(args, {
      yes: { type: "boolean", default: false },
      port: { type: "string", default: "8787" },
      "agents-port": { type: "string", default: "8080" },
    });
    const { up } = await import("./up.ts");
    const { defaultDir } = await import("./running.ts");
    await up({
      yes: values.yes === true,
      port: portNumber("--port", values.port),
      ingressPort: portNumber("--agents-port", values["agents-port"]),
      dir: defaultDir,
    });
    return 0;
  },
  async journey(args) {
    const { values } = parse(args, {
      json: { type: "boolean", default: false },
      runtime: { type: "string", default: "echo" },
    });
    const { journeyCommand } = await import("./journey/command.ts");
    return journeyCommand({ json: values.json === true, runtime: String(values.runtime) });
  },
  async bench(args) {
    const { benchCommand } = await import("./bench/command.ts");
    return benchCommand(args);
  },
  async host(args) {
    const { hostCommand } = await import("./host-command.ts");
    return hostCommand(args);
  },
  async account(args) {
    const { accountCommand } = await import("./account-command.ts");
    return accountCommand(args);
  },
  async vault(args) {
    const { vaultCommand } = await import("./vault.ts");
    return vaultCommand(args);
  },
  async images(args) {
    const { imagesCommand } = await import("./images-command.ts");
    return imagesCommand(args);
  },
  async screens(args) {
    const { screensCommand } = await import("./screens/command.ts");
    return screensCommand(args);
  },
  async posture(args) {
    const { values } = parse(args, { json: { type: "boolean", default: false } });
    const { posture } = await import("./posture.ts");
    return posture({ json: values.json === true });
  },
  async faults(args) {
    const { values } = parse(args, { json: { type: "boolean", default: false } });
    const { faults } = await import("./faults.ts");
    return faults({ json: values.json === true });
  },
  async check(args) {
    const { check } = await import("./check.ts");
    return check(args);
  },
  async test(args) {
    const { test } = await import("./check.ts");
    return test(args);
  },
  async deploy(args) {
    const { deployCommand } = await import("./deploy/index.ts");
    return deployCommand(args);
  },
  async database(args) {
    const { databaseCommand } = await import("./database.ts");
    return databaseCommand(args);
  },
  async openapi() {
    const { writeDocument } = await import("./openapi.ts");
    return writeDocument();
  },
  async migrations(args) {
    const { spawnSync } = await import("node:child_process");
    return spawnSync("drizzle-kit", ["generate", ...args], { stdio: "inherit" }).status ?? 1;
  },
  async format() {
    const { spawnSync } = await import("node:child_process");
    return spawnSync("biome", ["check", "--write", "."], { stdio: "inherit" }).status ?? 1;
  },
};

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>["options"]>;

function parse(args: string[], options: Options) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: false });
  } catch (error) {
    throw new Refusal(
      `${(error as Error).message}. Accepted: ${Object.keys(options)
        .map((name) => `--${name}`)
        .join(", ")}.`,
    );
  }
}

function portNumber(option: string, text: unknown): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Refusal(`${option} takes a port between 1 and 65535, not ${JSON.stringify(text)}.`);
  }
  return port;
}

const [name = "", ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (!command) {
  console.error(`chelar: no such command: ${JSON.stringify(name)}. There is: ${Object.keys(commands).join(", ")}.`);
  process.exit(2);
}
try {
  process.exitCode = await command(args);
} catch (error) {
  console.error(`chelar: ${error instanceof Refusal ? error.message : (error as Error).stack}`);
  process.exitCode = 1;
}
// Handles of ended parts must not keep a finished command alive.
process.exit();
