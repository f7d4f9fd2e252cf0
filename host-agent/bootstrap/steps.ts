import { BLOCKED_MODULES } from "../posture/rules.ts";
import { missingFiles, placeFiles, type WantedFile } from "./files.ts";
import { SERVER_PACKAGE_LIST } from "./packages.ts";
import {
  agentArgv,
  agentJson,
  agentUnit,
  daemonJson,
  ingressEnv,
  ingressUnit,
  modprobeConf,
  nodePath,
  PATHS,
  type Programs,
  planMark,
  type ShippedFile,
} from "./plan.ts";
import { engineFaults, looseModules, parseEngineVersion } from "./rules.ts";
import type { Site, Step } from "./site.ts";
import type { Server } from "./ssh.ts";
import { isEnabled, isMasked, lastWords, missingService } from "./units.ts";

const APT_LOG = "/var/log/chelar-bootstrap.log";
const UNITS = ["chelar-agent.service", "chelar-ingress.service"] as const;

export const STEPS: readonly Step[] = [
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
  {
    id: "runtime",
    title: "Node, and npm for runtimes made of packages",
    missing: async ({ server, programs }) => [
      ...(await missingFiles(server, [shipped(programs.node)])),
      ...(programs.npm && (await server.exec(["test", "-e", npmMark(programs.npm)])).code !== 0 ? ["npm"] : []),
    ],
    act: async ({ server, programs, say }) => {
      await placeFiles(server, [shipped(programs.node)], (fraction) => say(`Node ${Math.floor(fraction * 100)} %`));
      if (!programs.npm) return;
      const { archive, directory } = programs.npm;
      const into = `${PATHS.programs}/${directory}`;
      await placeFiles(server, [shipped(archive)]);
      await server.run("mkdir", ["-p", into]);
      await server.run("tar", ["--extract", "--no-same-owner", "--file", shipped(archive).path, "--directory", into]);
      const beside = nodePath(programs).replace(/\/node$/, "/npm");
      await server.run("ln", ["-sfn", `${into}/bin/npm-cli.js`, beside]);
      await server.run("touch", [npmMark(programs.npm)]);
    },
  },
  {
    id: "agent",
    title: "the host agent",
    missing: ({ server, programs }) => missingFiles(server, programs.agent.map(shipped)),
    act: ({ server, programs }) => placeFiles(server, programs.agent.map(shipped)),
  },
  {
    id: "configuration",
    title: "configuration and services",
    missing: async (site) => missingFiles(site.server, await configuration(site)),
    act: async (site) => {
      await site.server.run("mkdir", ["-p", "-m", "0755", PATHS.settings]);
      await placeFiles(site.server, await configuration(site));
      await site.server.run("systemctl", ["daemon-reload"]);
    },
  },
  {
    id: "enrolment",
    title: "enrolment at the edge",
    missing: async (site) => {
      const id = await hostIdOf(site);
      if (id === null) return ["the server has no identity"];
      return (await site.edge.hosts()).some((host) => host.id === id) ? [] : [`the edge does not know ${id}`];
    },
    act: async (site) => {
      const { server, programs, edge } = site;
      // Its epoch must not end under a running agent.
      await server.exec(["systemctl", "stop", "chelar-agent.service"]);
      // By standard input into the environment: never in a command line, where every user of the server could read it.
      const script = 'IFS= read -r CHELAR_ENROL_TOKEN; export CHELAR_ENROL_TOKEN; exec "$@"';
      const argv = ["sh", "-c", script, "sh", ...agentArgv(programs, "enrol")];
      const { code, stderr } = await server.exec(argv, `${await edge.enrolmentToken()}\n`);
      if (code !== 0) throw new Error(lastWords(stderr));
      // By its key the edge believes it; a running one has the key of before.
      await server.exec(["systemctl", "stop", "chelar-ingress.service"]);
    },
  },
  {
    id: "walls",
    title: "the walls: the provider's where it is known, UFW, iptables",
    missing: async ({ walls }) => (await Promise.all(walls.map((wall) => wall.verify()))).flat(),
    act: async ({ walls }) => {
      for (const wall of walls) await wall.repair();
    },
  },
  {
    id: "services",
    title: "start",
    settleSeconds: 30,
    missing: async (site) => {
      const marks = await marksOf(site);
      const found = await Promise.all(
        UNITS.map((unit, index) => missingService(site.server, unit, marks[index] ?? "")),
      );
      return found.flat();
    },
    act: async (site) => {
      await site.server.run("systemctl", ["enable", ...UNITS]);
      const marks = await marksOf(site);
      for (const [index, unit] of UNITS.entries()) {
        if ((await missingService(site.server, unit, marks[index] ?? "")).length > 0) {
          await site.server.run("systemctl", ["restart", unit]);
        }
      }
    },
  },
  {
    id: "ingress",
    title: "the edge's way in",
    settleSeconds: 30,
    missing: async ({ edge, settings }) => {
      const answer = await edge.knock(settings.endpoint);
      return answer === null ? [] : [`${settings.endpoint} ${answer}`];
    },
    act: async () => {},
  },
  {
    id: "report",
    title: "first report at the edge",
    settleSeconds: 60,
    missing: async (site) => {
      const id = await hostIdOf(site);
      const host = (await site.edge.hosts()).find((it) => it.id === id);
      const ageMs = site.nowMs() - Date.parse(host?.lastReportAt ?? "1970-01-01");
      return ageMs < FRESH_MS ? [] : ["the edge has not heard the host within the last 45 s"];
    },
    act: async () => {},
  },
];

/** An agent reports every 30 s. */
const FRESH_MS = 45_000;

const MODPROBE: WantedFile = { path: PATHS.modprobe, mode: 0o644, text: modprobeConf() };

async function engineSettings(server: Server): Promise<WantedFile> {
  const { stdout } = await server.exec(["dockerd", "--version"]);
  return { path: PATHS.daemon, mode: 0o644, text: daemonJson(parseEngineVersion(stdout)) };
}

const shipped = ({ path, file, sha256, mode }: ShippedFile): WantedFile => ({
  path: `${PATHS.programs}/${path}`,
  mode,
  file,
  sha256,
});
const npmMark = (npm: NonNullable<Programs["npm"]>) => `${PATHS.programs}/${npm.directory}/.complete`;

async function configuration({ server, programs, settings }: Site): Promise<WantedFile[]> {
  const group = (await server.run("getent", ["group", "caddy"])).split(":")[2];
  const agent = agentJson(settings, Number(group));
  const ingress = ingressEnv(settings, await server.run("caddy", ["version"]));
  return [
    { path: PATHS.agentConfig, mode: 0o644, text: agent },
    { path: PATHS.ingressEnv, mode: 0o644, text: ingress },
    { path: PATHS.agentUnit, mode: 0o644, text: agentUnit(programs, planMark(programs.release, agent)) },
    { path: PATHS.ingressUnit, mode: 0o644, text: ingressUnit(programs, planMark(programs.release, ingress)) },
  ];
}

async function marksOf(site: Site): Promise<string[]> {
  const files = await configuration(site);
  return files.flatMap((file) =>
    "text" in file ? (/^Environment=CHELAR_PLAN=(\w+)$/m.exec(file.text)?.[1] ?? []) : [],
  );
}

/** Only the id: the rest of that file is private keys, which never leave the server. */
export async function hostIdOf({ server, programs }: Site): Promise<string | null> {
  const script = "process.stdout.write(String(JSON.parse(require('fs').readFileSync(process.argv[1])).hostId ?? ''))";
  const { code, stdout } = await server.exec([nodePath(programs), "-e", script, `${PATHS.state}/identity.json`]);
  return code === 0 && stdout !== "" ? stdout : null;
}
