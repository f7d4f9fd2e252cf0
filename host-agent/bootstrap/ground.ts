import { BLOCKED_MODULES } from "../posture/rules.ts";
import { missingFiles, placeFiles, type WantedFile } from "./files.ts";
import { SERVER_PACKAGE_LIST } from "./packages.ts";
import { daemonJson, modprobeConf, PATHS } from "./plan.ts";
import { engineFaults, looseModules, parseEngineVersion } from "./rules.ts";
import type { Step } from "./site.ts";
import type { Server } from "./ssh.ts";
import { isEnabled, isMasked } from "./units.ts";

const APT_LOG = "/var/log/chelar-bootstrap.log";

const MODPROBE: WantedFile = { path: PATHS.modprobe, mode: 0o644, text: modprobeConf() };

async function engineSettings(server: Server): Promise<WantedFile> {
  const { stdout } = await server.exec(["dockerd", "--version"]);
  return { path: PATHS.daemon, mode: 0o644, text: daemonJson(parseEngineVersion(stdout)) };
}

/** What stands before anything of ours: the kernel, Docker and the packages. */
export const GROUND: readonly Step[] = [
  {
    id: "kernel",
    title: "kernel modules that no agent needs",
    missing: async ({ server }) => {
      const [shown, loaded] = await Promise.all([
        server.exec(["modprobe", "--showconfig"]),
        server.exec(["cat", "/proc/modules"]),
      ]);
      return [
        ...(await missingFiles(server, [MODPROBE])),
        // A server without modprobe loads none by itself.
        ...looseModules(BLOCKED_MODULES, shown.code === 0 ? shown.stdout : null, loaded.stdout),
      ];
    },
    act: async ({ server }) => {
      await placeFiles(server, [MODPROBE]);
      // In their order: af_alg goes last, when nothing uses it any more. One that is in use shows itself in the next look.
      for (const name of BLOCKED_MODULES) await server.exec(["rmmod", name]);
    },
  },
  {
    id: "settings",
    title: "Docker's settings, before Docker is there",
    missing: async ({ server }) => [
      ...(await missingFiles(server, [await engineSettings(server)])),
      // Debian's unit would show its welcome page on our ports.
      ...((await isMasked(server, "caddy.service")) ? [] : ["caddy.service is not masked"]),
    ],
    act: async ({ server }) => {
      await server.run("mkdir", ["-p", "-m", "0755", "/etc/docker", PATHS.settings]);
      await placeFiles(server, [await engineSettings(server)]);
      await server.run("systemctl", ["mask", "caddy.service"]);
    },
  },
  {
    id: "packages",
    title: "Debian packages",
    missing: async ({ server }) => {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders.
      const format = ["-W", "-f", "${db:Status-Abbrev} ${Package}\\n"];
      const { stdout } = await server.exec(["dpkg-query", ...format, "--", ...SERVER_PACKAGE_LIST]);
      const installed = new Set(stdout.split("\n").flatMap((line) => /^ii\s+(\S+)$/.exec(line.trim())?.[1] ?? []));
      return SERVER_PACKAGE_LIST.filter((name) => !installed.has(name));
    },
    act: async ({ server }, missing) => {
      // Output goes to a file: with a pipe, a broken connection would kill dpkg in the middle of a package.
      const script = `exec >>${APT_LOG} 2>&1 </dev/null; export DEBIAN_FRONTEND=noninteractive; trap '' HUP PIPE
lock='-o DPkg::Lock::Timeout=300'
dpkg --configure -a; apt-get -q $lock update; exec apt-get -q $lock install -y --no-install-recommends -- "$@"`;
      const { code } = await server.exec(["sh", "-c", script, "sh", ...missing]);
      if (code === 0) return;
      const { stdout } = await server.exec(["grep", "-E", "^(E|W|dpkg):", APT_LOG]);
      const last = stdout.trim().split("\n").slice(-3).join("; ");
      throw new Error(`apt-get ended with ${code}: ${last || "no reason"} (all of it: ${APT_LOG} there)`);
    },
  },
  {
    id: "docker",
    title: "Docker, with our settings in force",
    settleSeconds: 60,
    missing: async ({ server }) => {
      const info = await server.exec(["docker", "info", "--format", "{{json .}}"]);
      if (info.code !== 0) return [`Docker does not answer: ${info.stderr.trim().split("\n")[0]}`];
      const option = '{{index .Options "com.docker.network.bridge.enable_icc"}}';
      const icc = await server.exec(["docker", "network", "inspect", "bridge", "--format", option]);
      return [
        // Written before Docker was there to say its version.
        ...(await missingFiles(server, [await engineSettings(server)])),
        ...engineFaults(info.stdout),
        ...(icc.stdout.trim() === "false" ? [] : ["containers reach each other on Docker's bridge"]),
        ...((await isEnabled(server, "docker.service")) ? [] : ["docker.service does not start at boot"]),
      ];
    },
    act: async ({ server }) => {
      await placeFiles(server, [await engineSettings(server)]);
      await server.run("systemctl", ["enable", "docker.service"]);
      await server.run("systemctl", ["restart", "docker.service"]);
    },
  },
];
