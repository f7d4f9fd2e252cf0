import {
  createFirewall,
  createUfw,
  describeRefusal,
  type Opening,
  parseInputs,
  parsePerimeter,
  refuseInputs,
  type Wall,
} from "../firewall/index.ts";
import { reaches, readAddresses, readResolvers, readServerFacts } from "./facts.ts";
import { BootstrapFailed, type Failure } from "./failure.ts";
import type { HostSettings, Programs } from "./plan.ts";
import { attackPosture, type PostureVerdict } from "./posture.ts";
import { type Needs, refuseServer, sitePort, type Unfit } from "./rules.ts";
import { type OperatorApi, type Site, take } from "./site.ts";
import { type Credentials, connect, type Expected, type Server, type Target } from "./ssh.ts";
import { hostIdOf, STEPS } from "./steps.ts";

export { BootstrapFailed, type Failure } from "./failure.ts";
export { type KnownHosts, openKnownHosts } from "./known-hosts.ts";
export { HOST_FILES, HOST_PROGRAMS, SERVER_PACKAGE_LIST } from "./packages.ts";
export type { HostSettings, Programs, ShippedFile } from "./plan.ts";
export type { PostureVerdict } from "./posture.ts";
export { fingerprint, foreignBackend, parseTarget, sitePort } from "./rules.ts";
export type { KnownHost, OperatorApi } from "./site.ts";
export { type Credentials, digestFile, type Expected, nameOf, type Target } from "./ssh.ts";

export interface BootstrapOptions {
  target: Target;
  credentials: Credentials;
  expected: Expected | null;
  programs: Programs;
  /** Without resolvers: the server's own, or public ones. */
  settings: Omit<HostSettings, "resolvers" | "perimeter" | "cloudWall"> & { resolvers: readonly string[] | null };
  needs: Pick<Needs, "diskMiB" | "memoryMiB">;
  /** Networks that may administer the server; null: the address from which we come. */
  adminNetworks: readonly string[] | null;
  edge: OperatorApi;
  /** The first wall, at the provider, for these openings; absent where the operator keeps it otherwise. */
  cloudWall?(openings: readonly Opening[]): Wall;
  onProgress(progress: Progress): void;
  sleep?(ms: number): Promise<void>;
  nowMs?(): number;
}

export interface Progress {
  number: number;
  of: number;
  step: string;
  title: string;
  state: { now: "begins" } | { now: "goes on"; detail: string } | { now: "done" | "was done"; ms: number };
}

/** In their order, without the look before the first. */
export const STEP_IDS: readonly string[] = STEPS.map(({ id }) => id);

const PUBLIC_RESOLVERS = ["9.9.9.9", "1.1.1.1"];

/**
 * Takes a bare server to an enrolled host and resolves with its id and the verdict on its walls. Looks at everything first and changes nothing when
 * the server is unfit; can be cut off anywhere and run again. Rejects with {@link BootstrapFailed}.
 */
export async function bootstrap(options: BootstrapOptions): Promise<{ hostId: string; posture: PostureVerdict }> {
  const { onProgress, nowMs = Date.now } = options;
  const sleep = options.sleep ?? ((ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms)));
  const of = STEPS.length + 2;
  const progress = async (number: number, step: string, title: string, work: () => Promise<boolean>) => {
    const at = nowMs();
    onProgress({ number, of, step, title, state: { now: "begins" } });
    const did = await work();
    onProgress({ number, of, step, title, state: { now: did ? "done" : "was done", ms: nowMs() - at } });
  };

  const server = await connect(options.target, options.credentials, options.expected);
  try {
    let site: Site | undefined;
    await progress(1, "look", "what the server is", async () => {
      site = await survey(server, options, { sleep, nowMs });
      return true;
    });
    if (!site) throw new Error("the look ended without a site");
    for (const [index, step] of STEPS.entries()) {
      const head = { number: index + 2, of, step: step.id, title: step.title };
      site.say = (detail) => onProgress({ ...head, state: { now: "goes on", detail } });
      const here = site;
      await progress(head.number, step.id, step.title, () => take(step, here));
    }
    const attacked = { number: of, of, step: "posture", title: "the host attacks its own walls" };
    let posture: PostureVerdict | undefined;
    await progress(of, attacked.step, attacked.title, async () => {
      const say = (detail: string) => onProgress({ ...attacked, state: { now: "goes on", detail } });
      posture = await attackPosture(server, options.programs, say);
      return true;
    });
    if (!posture) throw new Error("the posture run ended without a verdict");
    return { hostId: (await hostIdOf(site)) ?? "", posture };
  } finally {
    server.close();
  }
}

/** Everything that can be known to go wrong is found here, before the first change. */
async function survey(server: Server, options: BootstrapOptions, world: Pick<Site, "sleep" | "nowMs">): Promise<Site> {
  const refuse = (failure: Failure): never => {
    throw new BootstrapFailed(failure);
  };
  // Asked first: an edge that does not answer here would be noticed only after the packages.
  await options.edge.hosts();
  const ports = [...new Set([80, 443, sitePort(options.settings.tenantSite), sitePort(options.settings.hostSite)])];
  const facts = await readServerFacts(server, world.nowMs);
  const unfit: Unfit[] = refuseServer(facts, { ...options.needs, machine: options.programs.machine, ports });
  if (!(await reaches(server, options.settings.edgeUrl))) {
    unfit.push({ reason: "edge_unreachable", edge: options.settings.edgeUrl });
  }
  const found = await readResolvers(server);
  const resolvers = options.settings.resolvers ?? (found.length > 0 ? found : PUBLIC_RESOLVERS);
  const inputs = { pool: options.settings.pool, resolvers: [...resolvers] };
  const parsed = parseInputs(inputs);
  const refusals = parsed.ok ? refuseInputs(parsed.inputs, await readAddresses(server)) : parsed.refusals;
  const perimeter = {
    adminNetworks: [...(options.adminNetworks ?? [await cameFrom(server)])],
    sshPort: options.target.port,
  };
  const openings = parsePerimeter(perimeter);
  for (const detail of [...refusals.map(describeRefusal), ...(openings.ok ? [] : openings.refusals)]) {
    unfit.push({ reason: "firewall", detail });
  }
  const cloud = openings.ok ? options.cloudWall?.(openings.openings) : undefined;
  // Looks only: a token or a server id that is wrong is told before anything is changed.
  await cloud?.verify().catch((error: Error) => unfit.push({ reason: "firewall", detail: error.message }));
  if (unfit.length > 0 || !openings.ok) return refuse({ reason: "unfit", server: server.name, unfit });
  if ((await server.hold(LOCK)) === null) return refuse({ reason: "busy", server: server.name });
  return {
    server,
    programs: options.programs,
    settings: { ...options.settings, resolvers, perimeter, cloudWall: cloud !== undefined },
    edge: options.edge,
    walls: [
      ...(cloud ? [cloud] : []),
      createUfw(openings.openings, server.run),
      createFirewall({ inputs, run: server.run }),
    ],
    say: () => {},
    ...world,
  };
}

/** One `host add` at a time. /run is memory; the lock ends with the connection. */
const LOCK = ["flock", "--nonblock", "/run/chelar-bootstrap.lock", "sh", "-c", "echo held; exec cat"];

/** The address from which this connection comes, as the server sees it: sshd's own word. */
async function cameFrom(server: Server): Promise<string> {
  const { stdout } = await server.exec(["sh", "-c", 'printf %s "$SSH_CONNECTION"']);
  const address = stdout.split(" ")[0] ?? "";
  return `${address}/${address.includes(":") ? 128 : 32}`;
}
