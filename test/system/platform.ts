import { mkdir, rm } from "node:fs/promises";
import { type Edge, startEdge } from "../../stack/edge.ts";
import { type Host, type Place, startHost } from "../../stack/host.ts";
import type { Target } from "../../stack/journey/target.ts";
import { bringSecrets } from "../../stack/secrets.ts";
import { IMAGE_CACHE } from "../../stack/test-images.ts";
import { WIRE } from "../../stack/testnet.ts";
import { runDir } from "../../stack/testnet-cleanup.ts";
import { createTestHost, type TestHost, type TestHostOptions, testRun } from "../hosts/index.ts";

const EDGE_PORT = 8787;
const AGENTS_PORT = 8080;
export const TENANT_ORIGIN = `http://*.agents.localhost:${AGENTS_PORT}`;

/** The whole product: an edge in the internet, and servers that it commands. */
export interface Platform {
  /** Of the edge: its secrets are here, and what `npm run host` asks for. */
  dir: string;
  edge: Edge;
  hosts: { server: TestHost; host: Host }[];
  /** The one host of a platform that has only one. */
  server: TestHost;
  host: Host;
  stop(): Promise<void>;
}

export interface PlatformOptions {
  hosts?: number;
  server?: TestHostOptions;
  place?: Partial<Place>;
  /** Bindings of the edge. */
  edge?: Readonly<Record<string, string>>;
}

export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const dir = `${runDir(testRun())}/e`;
  // The platform of another test file knew other servers by the same names.
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const edge = await startEdge({
      dir,
      runDir: `${dir}/run`,
      listen: "0.0.0.0",
      port: EDGE_PORT,
      tenantOrigin: TENANT_ORIGIN,
      secrets: await bringSecrets(dir),
      extra: { AUTH_RATE_LIMIT: "off", ...options.edge },
    });
    undo.push(() => edge.stop());
    const hosts: Platform["hosts"] = [];
    for (let index = 0; index < (options.hosts ?? 1); index++) {
      const server = await createTestHost({ images: ["echo"], ...options.server });
      undo.push(() => server.destroy());
      const host = await startHost(edge, placeOn(server, `host-${index + 1}`, options.place));
      undo.push(() => host.stop({ tenants: false }));
      hosts.push({ server, host });
    }
    const [first] = hosts;
    if (!first) throw new Error("a platform has at least one host");
    return { dir, edge, hosts, ...first, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** How the parts of a host are started on a test host. */
function placeOn(server: TestHost, name: string, more: Partial<Place> = {}): Place {
  const site = `http://${server.address}:${AGENTS_PORT}`;
  return {
    name,
    dir: `${server.dir}/agent`,
    runDir: `${server.dir}/run`,
    dockerSocket: server.dockerSocket,
    edgeUrl: `http://${WIRE.address}:${EDGE_PORT}`,
    endpoint: site,
    tenantSite: TENANT_ORIGIN,
    hostSite: site,
    pool: "10.213.0.0/16",
    resolvers: [WIRE.address],
    spawner: server.spawn as NonNullable<Place["spawner"]>,
    ...more,
    agent: { imageCacheDir: IMAGE_CACHE, ...more.agent },
  };
}

const TCP_PROBE = `const [host, port] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port: Number(port), timeout: 2_000 });
  socket.once("connect", () => process.exit(0));
  for (const end of ["error", "timeout"]) socket.once(end, () => process.exit(1));`;

/** The journey's view of a platform's first host. */
export function journeyTarget({ edge, server, host }: Platform, runtime: Target["runtime"]): Target {
  return {
    dashboard: edge.dashboard,
    dockerSocket: server.dockerSocket,
    hostDir: host.place.dir,
    resolve: (hostname) => (hostname.endsWith(".agents.localhost") ? server.address : null),
    hostAddress: server.address,
    ingressPort: AGENTS_PORT,
    answersFromHost: (address, port) =>
      server.run(process.execPath, ["-e", TCP_PROBE, address, String(port)]).then(
        () => true,
        () => false,
      ),
    runtime,
  };
}
