import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { WIRE } from "../../stack/testnet.ts";
import { ip, removePart, runDir, runName } from "../../stack/testnet-cleanup.ts";

/** The run whose internet this process lives in. */
export function testRun(): number {
  const run = Number(process.env.CHELAR_TEST_RUN);
  if (!Number.isInteger(run) || run <= 0) {
    throw new Error("system tests run in a network of their own: `npm test`, or `node stack/testnet.ts vitest run …`");
  }
  return run;
}

/** A place on the wire: a network namespace with an address in the internet's network, and a directory. */
export interface Place {
  namespace: string;
  address: string;
  address6: string;
  /** Short, for sockets and data; removed by destroy. */
  dir: string;
  /** What runs a program there: put it before the command of any driver. */
  enter: readonly string[];
  /** Runs a program there to its end; resolves with its standard output, rejects with its standard error. */
  run(file: string, args: readonly string[], input?: string): Promise<string>;
  /** Starts a program there; it ends with this test process at the latest. */
  spawn(file: string, args: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Ends everything there and removes every trace. Doing it again is success. */
  destroy(): Promise<void>;
}

/** Addresses .11 to .49 for hosts, .211 to .249 for neighbours. */
const PLACES_PER_KIND = 39;

/** Joins a new namespace to the wire. `kind` is one letter: h for a host, n for a neighbour. */
export async function createPlace(kind: "h" | "n"): Promise<Place> {
  const run = testRun();
  const number = await takeNumber(run, kind);
  const octet = (kind === "h" ? 10 : 210) + number;
  const part = `${kind}${number}`;
  const namespace = runName(run, part);
  const dir = `${runDir(run)}/${part}`;
  const [address, address6] = [`198.51.100.${octet}`, `fd00:51:100::${octet}`];
  const enter = ["nsenter", `--net=/run/netns/${namespace}`, "--"];
  const place: Place = {
    namespace,
    address,
    address6,
    dir,
    enter,
    run: (file, args, input) => runAt(enter, file, args, input),
    spawn: (file, args, options) => spawnAt(enter, file, args, options),
    destroy: () => removePart(namespace, dir),
  };
  try {
    await ip("netns", "add", namespace);
    await ip("-n", namespace, "link", "set", "lo", "up");
    // Our own namespace is the internet: the other end stays here. The kernel takes a deleted namespace apart in its own
    // time, so the end of a former host of this number may still be there.
    await ip("link", "delete", part).catch(() => {});
    await ip("link", "add", part, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    await ip("link", "set", part, "master", WIRE.bridge, "up");
    await ip("-n", namespace, "address", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", namespace, "-6", "address", "add", `${address6}/64`, "dev", "eth0", "nodad");
    await ip("-n", namespace, "link", "set", "eth0", "up");
    await ip("-n", namespace, "route", "add", "default", "via", WIRE.address);
    await ip("-n", namespace, "-6", "route", "add", "default", "via", WIRE.address6);
    return place;
  } catch (error) {
    await place.destroy();
    throw error;
  }
}

/** The directory is the claim: two test files at once never take the same. */
async function takeNumber(run: number, kind: string): Promise<number> {
  for (let number = 1; number <= PLACES_PER_KIND; number++) {
    const taken = await mkdir(`${runDir(run)}/${kind}${number}`, { mode: 0o711 }).catch((error) => {
      if (error.code !== "EEXIST") throw error;
      return "taken";
    });
    if (taken !== "taken") return number;
  }
  throw new Error("the wire has no address left");
}

const PATH = [process.env.PATH, "/usr/sbin", "/sbin", "/usr/bin", "/bin"].filter(Boolean).join(":");

export function runAt(
  enter: readonly string[],
  file: string,
  args: readonly string[],
  input?: string,
): Promise<string> {
  const [command = file, ...rest] = [...enter, file, ...args];
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      rest,
      { maxBuffer: 64 * 2 ** 20, env: { ...process.env, PATH } },
      (error, stdout, stderr) =>
        error ? reject(new Error(`${file} ${args.join(" ")}: ${stderr.trim() || error.message}`)) : resolve(stdout),
    );
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
  });
}

export function spawnAt(
  enter: readonly string[],
  file: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess {
  const env = { ...process.env, ...options.env, PATH };
  return spawn("setpriv", ["--pdeathsig", "TERM", "--", ...enter, file, ...args], { ...options, env });
}

/** The internet of this run: where the test process itself is. */
export const internet = {
  address: WIRE.address,
  address6: WIRE.address6,
  /** Makes one more address answer here, e.g. 169.254.169.254; hosts reach it over their default route. */
  async addAddress(address: string): Promise<void> {
    testRun();
    const length = address.includes(":") ? 128 : 32;
    await ip("address", "replace", `${address}/${length}`, "dev", "lo");
  },
  async removeAddress(address: string): Promise<void> {
    testRun();
    await ip("address", "delete", `${address}/${address.includes(":") ? 128 : 32}`, "dev", "lo").catch(() => {});
  },
};
