import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { bringDocker } from "./docker.ts";
import { startEdge } from "./edge.ts";
import { startHost } from "./host.ts";
import { type Running, runningFile } from "./running.ts";
import { bringSecrets } from "./secrets.ts";
import { bringPackages, Refusal, requireFreePort, requireSpace } from "./system.ts";

export interface UpOptions {
  yes: boolean;
  port: number;
  ingressPort: number;
  dir: string;
}

/** A short directory for sockets, one per data directory. */
export const runDirFor = (dir: string): string =>
  `/run/chelar-${createHash("sha256").update(dir).digest("hex").slice(0, 8)}`;

/** Free disk space that a first run takes: images, their build, database. */
const SPACE_GIB = 6;
const POOL = "10.213.0.0/16";

const paint = (code: number, text: string) => (process.stderr.isTTY ? `\x1b[${code}m${text}\x1b[0m` : text);
const say = (part: string, line: string) => console.error(`${paint(2, part.padEnd(10))} ${line}`);

/** The whole platform on this machine, in the foreground, until Ctrl-C. */
export async function up(options: UpOptions): Promise<void> {
  const { dir } = options;
  await bringPackages("up", options.yes);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const release = claim(dir);
  const undo: (() => Promise<void>)[] = [async () => release()];
  const ending = onSignal();
  try {
    requireSpace(dir, SPACE_GIB);
    await requireFreePort(options.port, "dashboard", "--port");
    await requireFreePort(options.ingressPort, "agents", "--agents-port");

    const runDir = runDirFor(dir);
    mkdirSync(runDir, { recursive: true, mode: 0o755 });
    say("up", "starting Docker, database, edge and host …");
    const engine = await bringDocker({ dataDir: `${dir}/docker`, runDir, logFile: `${dir}/logs/dockerd.log` });
    say("docker", engine.part ? "started an engine of our own" : `using the engine at ${engine.socket}`);
    undo.push(async () => engine.part?.stop());

    const tenantOrigin = `http://*.agents.localhost:${options.ingressPort}`;
    const edge = await startEdge({
      dir,
      runDir,
      listen: "127.0.0.1",
      port: options.port,
      tenantOrigin,
      secrets: await bringSecrets(dir),
      // Nobody pays on their own machine, unless they want to try just that.
      extra: process.env.BILLING ? { BILLING: process.env.BILLING } : {},
      onLine: say,
    });
    undo.push(() => edge.stop());

    const host = await startHost(edge, {
      name: "this-machine",
      dir: `${dir}/host`,
      runDir,
      dockerSocket: engine.socket,
      edgeUrl: `http://127.0.0.1:${options.port}`,
      endpoint: `http://127.0.0.1:${options.ingressPort}`,
      tenantSite: tenantOrigin,
      hostSite: `http://127.0.0.1:${options.ingressPort}`,
      pool: POOL,
      resolvers: machineResolvers(),
      agent: { prebuild: ["echo", "openclaw"] },
      onLine: say,
    });
    undo.push(() => host.stop({ tenants: true }));

    const running: Running = {
      pid: process.pid,
      dashboard: edge.dashboard,
      ingress: { address: "127.0.0.1", port: options.ingressPort },
      tenantOrigin,
      dockerSocket: engine.socket,
      hostDir: `${dir}/host`,
      pool: POOL,
    };
    writeFileSync(runningFile(dir), JSON.stringify(running, null, 2), { mode: 0o600 });
    undo.push(async () => rmSync(runningFile(dir), { force: true }));

    console.error(`\n  ${paint(1, "Chelar is up.")}  Open ${paint(36, edge.dashboard)} and sign up.`);
    console.error(`  Its mail:     ${edge.dashboard}/dev/mailbox`);
    console.error(`  Try it all:  npm run journey      End it:  Ctrl-C      Data and logs:  ${dir}\n`);

    const failure = await Promise.race([ending, edge.failed, host.failed, ...(engine.part ? [engine.part.ended] : [])]);
    if (typeof failure === "string") throw new Error(`${failure}; its log is under ${dir}`);
  } finally {
    if (undo.length > 1) say("up", "ending what was started; agents and data stay for the next time …");
    for (const step of undo.reverse()) await step().catch((error: Error) => say("up", error.message));
  }
}

/** Resolves (with nothing) on Ctrl-C, SIGTERM or a closed terminal; a second Ctrl-C does not cut the ending short. */
function onSignal(): Promise<undefined> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve(undefined));
  });
}

/** One `up` per data directory. A claim left by a dead process is taken over. */
function claim(dir: string): () => void {
  const file = `${dir}/up.pid`;
  try {
    const pid = Number(readFileSync(file, "utf8"));
    process.kill(pid, 0);
    if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("stack/cli.ts")) {
      throw new Refusal(`it is already up (process ${pid}) with its data in ${dir}.`);
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
  }
  writeFileSync(file, String(process.pid), { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

/** The machine's own resolvers, so that agents can resolve what the machine can; loopback ones are of no use to them. */
function machineResolvers(): string[] {
  const found = [...readFileSync("/etc/resolv.conf", "utf8").matchAll(/^nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$/gm)]
    .map(([, address]) => address as string)
    .filter((address) => !address.startsWith("127."));
  return found.length > 0 ? found.slice(0, 3) : ["9.9.9.9", "1.1.1.1"];
}
