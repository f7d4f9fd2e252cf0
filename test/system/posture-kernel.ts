import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { modprobeConf } from "../../host-agent/bootstrap/plan.ts";
import { looseModules } from "../../host-agent/bootstrap/rules.ts";
import { createStage, type PostureOptions, type Row, type Stage } from "../../host-agent/posture/index.ts";
import { type Attack, attemptLine, BLOCKED_MODULES, parseSeen, rowOf } from "../../host-agent/posture/rules.ts";
import { PROGRAM } from "../../host-agent/posture/tools.ts";
import type { TestHost } from "../hosts/index.ts";
import { runOnOwnKernel } from "../kernel/machine.ts";
import { asRoot, UNCONFINED } from "./posture-mutations.ts";

/** What this machine's own kernel has not, or would not survive. */
const ATTACKS = ["af-alg", "kexec", "load-module"];
const SCRIPT = fileURLToPath(new URL("../kernel/attacks.sh", import.meta.url));

/** Containers of the trials: the tenant's own, and one for each defence that is taken from it. */
const CONTAINERS = {
  tenant: undefined,
  kexec: asRoot(["SYS_BOOT"], { SecurityOpt: UNCONFINED }),
  "load-module": asRoot(["SYS_MODULE"]),
} as const;

export interface KernelTrials {
  /** As bootstrap leaves a server. */
  held: Row[];
  /** Each without its defence. */
  breached: { weakening: string; row: Row }[];
  /** What bootstrap's own look says, before and after. */
  looseBefore: string[];
  looseAfter: string[];
}

/**
 * Docker's own containers of these plans, run by runc on a kernel of their own: user, capabilities, filter, mounts and
 * files are those that dockerd made on the test host. Its limits and its network are left out, which no attack here asks.
 */
export async function tryOwnKernel(host: TestHost, options: PostureOptions): Promise<KernelTrials> {
  const bundles = `${host.dir}/bundles`;
  const stages: Stage[] = [];
  try {
    await mkdir(bundles, { mode: 0o700 });
    for (const [index, [name, weaken]] of Object.entries(CONTAINERS).entries()) {
      const stage = await createStage({ ...options, seat: index + 1, weaken, withoutNetwork: true });
      stages.push(stage);
      await makeBundle(host, stage, `${bundles}/${name}`);
    }
    const [{ attacks }] = stages as [Stage];
    const attackOf = (id: string) =>
      attacks.find((attack): attack is Attack => attack.id === id && "judge" in attack) as Attack;
    const modules = attackOf("algif-modules");
    const confinement = { ...modules.attempt, arguments: ["/etc/modprobe.d", BLOCKED_MODULES.join(",")] };
    await writeFile(`${bundles}/attacker.pl`, PROGRAM);
    await writeFile(`${bundles}/by-root`, attemptLine(modules.id, confinement));
    await writeFile(`${bundles}/modprobe.conf`, modprobeConf());
    await writeFile(`${bundles}/blocked`, BLOCKED_MODULES.join(" "));
    const parts = sections(await runOnOwnKernel(SCRIPT, { BUNDLES: bundles }, `${host.dir}/kernel.log`));

    const rows = (part: string, ids: readonly string[]) => {
      const seen = parseSeen(parts.get(part) ?? "");
      const unsaid = { verdict: "broken" as const, detail: `no word of it: ${parts.get(part)}` };
      return ids.map((id) => rowOf(attackOf(id), attackOf(id).judge(seen.get(id) ?? unsaid, null)));
    };
    const loose = (part: string) => looseModules(BLOCKED_MODULES, parts.get(part) ?? "", parts.get(part) ?? "");
    const without = (weakening: string, part: string, id: string) =>
      rows(part, [id]).map((row) => ({ weakening, row }));
    return {
      held: [...rows("blocked", ATTACKS), ...rows("blocked-modules", [modules.id])],
      breached: [
        ...without("without modprobe's refusals, Debian's kernel", "loose", "af-alg"),
        ...without("without modprobe's refusals, Debian's kernel", "loose-modules", modules.id),
        ...without("with SYS_BOOT, without the filter, Debian's kernel", "kexec", "kexec"),
        ...without("with SYS_MODULE, Debian's kernel", "load-module", "load-module"),
      ],
      looseBefore: loose("loose-config"),
      looseAfter: loose("blocked-config"),
    };
  } finally {
    for (const stage of stages) await stage.remove();
  }
}

interface OciSpec {
  process: { args: string[] };
  hooks?: unknown;
  linux: { resources?: unknown; cgroupsPath?: unknown };
}

/** The file that dockerd wrote for runc, with the attacker's program in place of the runtime's. */
async function makeBundle(host: TestHost, { attacker, attacks }: Stage, directory: string): Promise<void> {
  const { Id } = (await host.docker.inspectContainer(attacker.layout.containerName)) as { Id?: string };
  const tasks = `${host.dir}/x/containerd/daemon/io.containerd.runtime.v2.task/${host.namespace}`;
  const spec = JSON.parse(await readFile(`${tasks}/${Id}/config.json`, "utf8")) as OciSpec;
  const chosen = attacks.filter((attack): attack is Attack => "judge" in attack && ATTACKS.includes(attack.id));
  spec.process.args = attacker.command(new Map(chosen.map(({ id, attempt }) => [id, attempt])));
  delete spec.hooks;
  delete spec.linux.resources;
  delete spec.linux.cgroupsPath;
  await mkdir(directory);
  await writeFile(`${directory}/config.json`, JSON.stringify(spec));
}

/** By the headings of the script. */
const sections = (printed: string): Map<string, string> =>
  new Map(
    printed
      .split(/^== /m)
      .slice(1)
      .map((part): [string, string] => [part.slice(0, part.indexOf("\n")).trim(), part.slice(part.indexOf("\n") + 1)]),
  );
