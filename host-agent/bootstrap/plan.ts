import { ingressVariants } from "../ingress/rules.ts";
import { NODE_FLAGS } from "../node-flags.ts";
import { BLOCKED_MODULES } from "../posture/rules.ts";
import { engineHasBackends } from "./rules.ts";
import { digest } from "./ssh.ts";

/** Where everything of ours is on a server. */
export const PATHS = {
  programs: "/usr/local/lib/chelar",
  settings: "/etc/chelar",
  state: "/var/lib/chelar",
  run: "/run/chelar",
  daemon: "/etc/docker/daemon.json",
  modprobe: "/etc/modprobe.d/chelar.conf",
  agentConfig: "/etc/chelar/agent.json",
  ingressEnv: "/etc/chelar/ingress.env",
  agentUnit: "/etc/systemd/system/chelar-agent.service",
  ingressUnit: "/etc/systemd/system/chelar-ingress.service",
} as const;

/** One file that is shipped: bytes from here, checked there. */
export interface ShippedFile {
  /** Below {@link PATHS.programs}. */
  path: string;
  file: string;
  sha256: string;
  bytes: number;
  mode: number;
}

/** Node, npm and the host agent, as they lie on the operator's machine. */
export interface Programs {
  /** Of the server's processor, as `uname -m` says it. */
  machine: string;
  node: ShippedFile;
  /** Directory of this very release: its content's hash is in the name, so that releases never mix. */
  release: string;
  /** `host-agent.mjs` and what it reads beside it. */
  agent: readonly ShippedFile[];
  /** A packed npm for images that are made of npm packages, and its directory. Null: such images are not made. */
  npm: { archive: ShippedFile; directory: string } | null;
}

export interface HostSettings {
  name: string;
  region: string;
  edgeUrl: string;
  /** Where the edge reaches this host. */
  endpoint: string;
  tenantSite: string;
  hostSite: string;
  pool: string;
  resolvers: readonly string[];
  prebuild: readonly string[];
  /** Who may reach the server from outside; the agent keeps that wall from then on. */
  perimeter: { adminNetworks: readonly string[]; sshPort: number };
  /** Whether the provider's firewall was set, from where the operator is. */
  cloudWall: boolean;
}

/** Docker's own bridges; not the tenants' pool, which the agent hands out itself. */
const DOCKER_NETWORKS = "172.30.0.0/16";
const DOCKER_BRIDGE = "172.31.255.1/24";

/** `engine` is the version of dockerd there; null where it is not installed yet. */
export const daemonJson = (engine: string | null): string =>
  lines({
    // Containers outlive an upgrade or crash of dockerd.
    "live-restore": true,
    // One process per published port, and with it a way around the rules.
    "userland-proxy": false,
    icc: false,
    bip: DOCKER_BRIDGE,
    // Docker's own default ends after about 31 networks.
    "default-address-pools": [{ base: DOCKER_NETWORKS, size: 28 }],
    "log-driver": "json-file",
    // A tenant that prints without end fills its own 30 MB and nobody's disk.
    "log-opts": { "max-size": "10m", "max-file": "3" },
    "log-level": "warn",
    // Ours are iptables' rules: Docker must not write its own past them. An older engine refuses a key it does not know.
    ...(engineHasBackends(engine) ? { "firewall-backend": "iptables" } : {}),
  });

/** `blacklist` alone stops only names found by alias: whoever asks for a module itself is stopped by `install`. */
export const modprobeConf = (): string =>
  `# Chelar: AF_ALG, which no agent needs (CVE-2026-31431).\n${BLOCKED_MODULES.map(
    (name) => `install ${name} /bin/false\nblacklist ${name}\n`,
  ).join("")}`;

export const agentJson = (settings: HostSettings, ingressGroupId: number): string =>
  lines({
    stateDir: PATHS.state,
    runDir: PATHS.run,
    edgeUrl: settings.edgeUrl,
    pool: settings.pool,
    resolvers: settings.resolvers,
    name: settings.name,
    region: settings.region,
    endpoint: settings.endpoint,
    prebuild: settings.prebuild,
    socketGroupId: ingressGroupId,
    perimeter: settings.perimeter,
    ...(settings.cloudWall ? { cloudWall: true } : {}),
  });

export const ingressEnv = ({ edgeUrl, tenantSite, hostSite }: HostSettings, caddyVersion: string): string =>
  Object.entries({
    ...ingressVariants({ tenantSite, caddyVersion }),
    CHELAR_EDGE: edgeUrl,
    CHELAR_TENANT_SITE: tenantSite,
    CHELAR_HOST_SITE: hostSite,
    CHELAR_AGENT_SOCKET: `${PATHS.run}/agent.sock`,
    CHELAR_ADMIN_SOCKET: "/run/chelar-ingress/admin.sock",
    CHELAR_DATA: "/var/lib/chelar-ingress",
    HOME: "/var/lib/chelar-ingress",
    XDG_DATA_HOME: "/var/lib/chelar-ingress",
    XDG_CONFIG_HOME: "/var/lib/chelar-ingress",
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");

const at = (path: string) => `${PATHS.programs}/${path}`;

export const nodePath = (programs: Programs): string => at(programs.node.path);
export const agentArgv = (programs: Programs, verb: string): string[] => [
  nodePath(programs),
  ...NODE_FLAGS,
  at(`${programs.release}/host-agent.mjs`),
  verb,
  "--config",
  PATHS.agentConfig,
];

/** Which process runs which plan can be read from its environment: a restart that is due is never forgotten. */
export const planMark = (...texts: readonly string[]): string => digest(texts.join("\0")).slice(0, 16);

/**
 * No option that would give the agent a mount namespace of its own (Protect…, Private…): what it mounts must be seen by
 * Docker. No ProtectClock: its device list would take /dev/fuse and loop devices away.
 */
export const agentUnit = (programs: Programs, mark: string): string => `[Unit]
Description=Chelar host agent
Wants=network-online.target docker.service
After=network-online.target docker.service ufw.service
StartLimitIntervalSec=0

[Service]
Type=exec
Environment=CHELAR_PLAN=${mark}
ExecStart=${agentArgv(programs, "serve").join(" ")}
Restart=always
RestartSec=2
# What serves encrypted volumes must outlive the agent: a running tenant's files hang on it.
KillMode=process
TimeoutStopSec=20
OOMScoreAdjust=-800
LimitNOFILE=65536
NoNewPrivileges=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`;

export const ingressUnit = (programs: Programs, mark: string): string => `[Unit]
Description=Chelar ingress (Caddy)
Wants=network-online.target
After=network-online.target chelar-agent.service
StartLimitIntervalSec=0

[Service]
Type=notify
User=caddy
Group=caddy
Environment=CHELAR_PLAN=${mark}
EnvironmentFile=${PATHS.ingressEnv}
EnvironmentFile=${PATHS.state}/ingress.env
ExecStart=/usr/bin/caddy run --config ${at(`${programs.release}/host-agent/ingress/Caddyfile`)} --adapter caddyfile
Restart=always
RestartSec=2
TimeoutStopSec=10
LimitNOFILE=1048576
RuntimeDirectory=chelar-ingress
RuntimeDirectoryMode=0700
StateDirectory=chelar-ingress
StateDirectoryMode=0700
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`;

const lines = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
