import { Refusal } from "../system.ts";
import type { Bindings } from "./rules.ts";

/** Where the edge lies on its server. */
export const HOME = "/opt/chelar-edge";
/** systemd makes it at the start, and only the edge and root may enter. */
export const RUN_DIR = "/run/chelar-edge";

/**
 * workerd runs our code and nobody else's, and still: a hole in it must not be a way into the server. So it has a user of
 * its own, sees nothing that it can write but its socket's directory, and gains no privilege.
 */
export const edgeService = (dir: string, runDir: string) => `[Unit]
Description=Chelar edge
After=network-online.target
Wants=network-online.target
# However often it fails, it is tried again: a database that is away for a minute must not end it for good.
StartLimitIntervalSec=0

[Service]
ExecStart=${dir}/workerd serve --experimental ${dir}/config.capnp
WorkingDirectory=${dir}
EnvironmentFile=${dir}/edge.env
DynamicUser=yes
RuntimeDirectory=chelar-edge
RuntimeDirectoryMode=0750
# A killed workerd leaves its socket behind, and does not start over it.
ExecStartPre=-/bin/rm -f ${runDir}/cron.sock
Restart=always
RestartSec=1
MemoryMax=2G
CapabilityBoundingSet=
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
`;

/** What Cloudflare's cron does: every minute \`scheduled()\`, and a failure is the journal's to tell. */
export const cronService = (runDir: string) => `[Unit]
Description=Chelar edge, the work of each minute
After=chelar-edge.service
Requisite=chelar-edge.service

[Service]
Type=oneshot
ExecStart=/usr/bin/curl --silent --show-error --fail --max-time 55 --unix-socket ${runDir}/cron.sock http://cron/
`;

export const CRON_TIMER = `[Unit]
Description=Chelar edge, each minute

[Timer]
OnCalendar=minutely
AccuracySec=1s

[Install]
WantedBy=timers.target
`;

/**
 * TLS in front of it. The address that tries are counted by is written here: what a visitor sends under that name, or
 * any other that Cloudflare would set, must not be believed.
 */
export const caddyfile = (host: string, port: number) => `${host} {
	encode zstd gzip
	request_header -CF-*
	reverse_proxy 127.0.0.1:${port} {
		header_up CF-Connecting-IP {remote_host}
		flush_interval -1
	}
}
`;

/** systemd.exec(5), EnvironmentFile: in double quotes, with a backslash before what the shell would take. */
export function environmentFile(bindings: Bindings): string {
  return Object.entries(bindings)
    .map(([name, value]) => {
      if (/[\n\r\0]/.test(value))
        throw new Refusal(`${name} holds a line break: a unit's environment cannot carry it.`);
      return `${name}="${value.replaceAll(/["\\$`]/g, "\\$&")}"\n`;
    })
    .join("");
}
