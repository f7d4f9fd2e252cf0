import { createHash } from "node:crypto";
import { configHash } from "../runtimes/rules.ts";
import {
  BUSYBOX_PATH,
  CONFIG_PATH,
  DATA_PATH,
  ENV_FILE,
  ENV_PATH,
  type RuntimeDefinition,
} from "../runtimes/runtime.ts";
import type { Tenant } from "../tenants/layout.ts";
import type { NetworkLayout } from "../tenants/ports.ts";

const MIB = 1024 * 1024;

/** What is the same for all tenants of a host. */
export interface SpecOptions {
  hostId: string;
  image: string;
  /** What the image says of itself; for runtimes that leave it to the image. */
  own?: { command: readonly string[]; workingDir: string };
  /** Where containers send DNS; the firewall lets port 53 through to these alone. */
  resolvers: readonly string[];
  /** A static busybox on the host: it reads the environment file before any byte of the image runs. */
  busyboxPath: string;
  /** Facts of this kernel: a knob that is not there makes the engine refuse the whole container. */
  kernel: { cgroupVersion: "1" | "2"; ipv6: boolean };
}

/** Raised when the meaning of the plan changes in a way its own text does not show. */
const PLAN_VERSION = "1";

export const LABELS = {
  host: "dev.chelar.host",
  tenant: "dev.chelar.tenant",
  plan: "dev.chelar.plan",
  restarts: "dev.chelar.restarts",
  config: "dev.chelar.config",
} as const;

/**
 * Secrets given to Docker as environment lie in plaintext in its state directory for as long as the container
 * exists; a file on a memory-backed mount does not. A missing file ends the container: a start without its
 * environment is a failed start.
 */
const ENTRY_SCRIPT = `set -a; . ${ENV_PATH}/${ENV_FILE}; set +a; exec "$@"`;

/** The body of `POST /containers/create` (Docker Engine API ≥ 1.41) and the hash that says whether it is still it. */
export function containerSpec(tenant: Tenant, runtime: RuntimeDefinition, restarts: number, options: SpecOptions) {
  const { spec, layout } = tenant;
  const { limits } = spec;
  const owner = `${layout.uid}:${layout.uid}`;
  const body = {
    Image: options.image,
    Entrypoint: [BUSYBOX_PATH, "sh", "-c", ENTRY_SCRIPT, "chelar"],
    Cmd: [...(runtime.command ?? options.own?.command ?? [])],
    WorkingDir: runtime.workingDir ?? options.own?.workingDir ?? "/",
    Env: Object.entries({ PATH, ...runtime.env }).map(([name, value]) => `${name}=${value}`),
    User: owner,
    Hostname: layout.hostname,
    Domainname: "",
    Tty: false,
    OpenStdin: false,
    // An image must not bring a health check that runs its own commands.
    Healthcheck: { Test: ["NONE"] },
    StopTimeout: runtime.stopTimeoutSeconds,
    Labels: {
      ...{ [LABELS.host]: options.hostId, [LABELS.tenant]: spec.id, [LABELS.restarts]: String(restarts) },
      // Other configuration is another plan: no runtime is trusted to notice that its files have changed.
      [LABELS.config]: configHash(runtime.configFiles(tenant)),
    },
    HostConfig: {
      Privileged: false,
      CapDrop: ["ALL"],
      // No seccomp entry: Docker's default profile stays. No MaskedPaths or ReadonlyPaths: the defaults stay.
      SecurityOpt: ["no-new-privileges"],
      ReadonlyRootfs: true,
      Init: true,
      IpcMode: "private",
      CgroupnsMode: "private",
      PidsLimit: limits.pids,
      Memory: limits.memoryMiB * MIB,
      // The sum of memory and swap: equal means no swap at all.
      MemorySwap: limits.memoryMiB * MIB,
      ...(options.kernel.cgroupVersion === "1" ? { MemorySwappiness: 0 } : {}),
      // When the host itself is short, a tenant dies before the host's own daemons.
      OomScoreAdj: 500,
      NanoCpus: limits.cpuMillis * 1_000_000,
      ShmSize: limits.shmMiB * MIB,
      // Its own by uid: runc keeps the mode that /tmp has in the image, whatever is asked here.
      Tmpfs: { "/tmp": `rw,nosuid,nodev,noexec,size=${limits.tmpMiB}m,uid=${layout.uid},gid=${layout.uid},mode=0700` },
      Ulimits: [
        { Name: "nofile", Soft: 16_384, Hard: 16_384 },
        // A core dump writes the process's secrets to disk.
        { Name: "core", Soft: 0, Hard: 0 },
      ],
      LogConfig: { Type: "json-file", Config: { "max-size": "5m", "max-file": "2" } },
      // Docker would start tenants at boot, before the firewall stands.
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      AutoRemove: false,
      Devices: [],
      PortBindings: {},
      PublishAllPorts: false,
      NetworkMode: layout.network,
      Dns: [...options.resolvers],
      // "." keeps the host's own search domain out of the container.
      DnsSearch: ["."],
      ...(options.kernel.ipv6
        ? { Sysctls: { "net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1" } }
        : {}),
      Mounts: [
        bind(layout.dataDir, DATA_PATH, false),
        bind(layout.configDir, CONFIG_PATH, true),
        bind(layout.envDir, ENV_PATH, true),
        bind(options.busyboxPath, BUSYBOX_PATH, true),
      ],
    },
    NetworkingConfig: {
      EndpointsConfig: { [layout.network]: { IPAMConfig: { IPv4Address: layout.address } } },
    },
  };
  const planHash = createHash("sha256").update(canonicalJson({ PLAN_VERSION, body })).digest("base64url");
  return {
    name: layout.containerName,
    planHash,
    body: { ...body, Labels: { ...body.Labels, [LABELS.plan]: planHash } },
  };
}
export type ContainerSpec = ReturnType<typeof containerSpec>;

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Private propagation and no sub-mounts: what the host mounts later under a source never appears inside. */
function bind(source: string, target: string, readOnly: boolean) {
  return {
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: "rprivate", NonRecursive: true },
  };
}

/** The body of `POST /networks/create`: one bridge per tenant, since peers on one bridge can bypass FORWARD. */
export function networkSpec(layout: NetworkLayout, hostId: string) {
  return {
    Name: layout.network,
    CheckDuplicate: true,
    Driver: "bridge",
    Internal: false,
    Attachable: false,
    EnableIPv6: false,
    IPAM: { Driver: "default", Config: [{ Subnet: layout.subnet, Gateway: layout.gateway }] },
    Options: {
      "com.docker.network.bridge.name": layout.network,
      "com.docker.network.bridge.enable_icc": "false",
      // The firewall has one constant rule for the whole pool: Docker's own, two per network, would make each next
      // network slower to create than the one before.
      "com.docker.network.bridge.enable_ip_masquerade": "false",
    },
    Labels: { [LABELS.host]: hostId },
  };
}
export type NetworkSpec = ReturnType<typeof networkSpec>;

/** JSON with sorted keys, so that the order in which code builds a plan never changes its hash. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`)
    .join(",")}}`;
}
