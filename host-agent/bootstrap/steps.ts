import { missingFiles, placeFiles, type WantedFile } from "./files.ts";
import { GROUND } from "./ground.ts";
import {
  agentArgv,
  agentJson,
  agentUnit,
  ingressEnv,
  ingressUnit,
  nodePath,
  PATHS,
  type Programs,
  planMark,
  type ShippedFile,
} from "./plan.ts";
import type { Site, Step } from "./site.ts";
import { lastWords, missingService } from "./units.ts";

const UNITS = ["chelar-agent.service", "chelar-ingress.service"] as const;

export const STEPS: readonly Step[] = [
  ...GROUND,
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
      const key = await site.server.exec(["test", "-s", `${PATHS.state}/ingress.env`]);
      if (key.code !== 0) return ["its ingress has no key for the edge"];
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
