import type { Wall } from "./guard.ts";
import type { Opening } from "./perimeter.ts";
import { CommandFailed, type Run } from "./run.ts";
import { parsePolicies, parseSavedTable, tokenize } from "./saved.ts";
import {
  accepting,
  CHAINS,
  type Configuration,
  configurationDifferences,
  FAMILIES,
  type Family,
  type Kernel,
  kernelDifferences,
  missingJumps,
  primaryJumps,
  type UfwPlan,
  ufwPlan,
} from "./ufw-rules.ts";

/** The driver of the second wall: the only file that talks to UFW. */
export function createUfw(openings: readonly Opening[], run: Run): Wall {
  const plan = ufwPlan(openings);
  const verify = async (): Promise<string[]> => {
    const kernels = await Promise.all(FAMILIES.map((family) => readKernel(run, family)));
    return [
      ...configurationDifferences(plan, await readConfiguration(run)),
      ...FAMILIES.flatMap((family, i) => kernelDifferences(plan, family, kernels[i] as Kernel)),
    ];
  };
  const mend = async (): Promise<void> => {
    // Before the switch: on half of its chains UFW cannot be switched on.
    const emptied = await Promise.all(FAMILIES.map((family) => repairChains(run, family)));
    await repairConfiguration(plan, run);
    for (const family of FAMILIES) await removeAccepting(run, family);
    // A reload leaves the host without UFW for a moment, so only where the kernel still differs.
    if (emptied.includes(true) || (await verify()).length > 0) await run("ufw", ["reload"]);
  };
  /** In a row. */
  let refusals = 0;
  return {
    name: "ufw",
    verify,
    repair: async () => {
      const found = await verify();
      if (found.length === 0) return found;
      try {
        await mend();
      } catch (error) {
        if (!(error instanceof CommandFailed && error.file === "ufw" && error.exitCode !== null)) throw error;
        refusals += 1;
        if (!isResetDue(refusals)) throw error;
        await run("ufw", ["--force", "reset"]);
        await mend();
      }
      refusals = 0;
      return found;
    },
  };
}

/**
 * UFW writes its files in place: one that was killed over it, or lost power, cannot start any more, until it begins anew
 * from its package's files. Not at the first refusal, which may pass; and ever more seldom, since it keeps the old files
 * aside each time, and on a full disk it loses more than it makes.
 */
const isResetDue = (refusals: number): boolean => refusals > 1 && (refusals & (refusals - 1)) === 0;

async function readConfiguration(run: Run): Promise<Configuration> {
  const added = await run("ufw", ["show", "added"]).catch((error: unknown) => {
    if (error instanceof CommandFailed && error.missing) {
      throw new Error("ufw is not installed on this managed host; Debian's package `ufw` is accepted");
    }
    throw error;
  });
  const [status, defaults] = await Promise.all([run("cat", ["/etc/ufw/ufw.conf"]), run("cat", ["/etc/default/ufw"])]);
  const setting = (text: string, name: string) => new RegExp(`^${name}="?([^"\n]*)"?`, "m").exec(text)?.[1] ?? "";
  return {
    active: setting(status, "ENABLED") === "yes",
    ipv6: setting(defaults, "IPV6") === "yes",
    defaults: {
      input: setting(defaults, "DEFAULT_INPUT_POLICY"),
      forward: setting(defaults, "DEFAULT_FORWARD_POLICY"),
      output: setting(defaults, "DEFAULT_OUTPUT_POLICY"),
    },
    added: [...added.matchAll(/^ufw (.+?)(?: comment '.*')?$/gm)].map(([, words]) => words as string),
  };
}

/** Openings first, then what is too much, then the switch: an administrator's connection is never cut in between. */
async function repairConfiguration(plan: UfwPlan, run: Run): Promise<void> {
  const have = await readConfiguration(run);
  if (!have.ipv6) await run("sed", ["-i", "s/^IPV6=.*/IPV6=yes/", "/etc/default/ufw"]);
  for (const { id, words } of plan.rules) {
    if (!have.added.includes(words.join(" "))) await run("ufw", [...words, "comment", `chelar:${id}`]);
  }
  const wanted = plan.rules.map(({ words }) => words.join(" "));
  for (const words of have.added.filter((row) => !wanted.includes(row))) {
    const [first = "", ...rest] = words.split(" ");
    await run(
      "ufw",
      first === "route" ? ["--force", "route", "delete", ...rest] : ["--force", "delete", first, ...rest],
    );
  }
  if (have.defaults.input !== "DROP") await run("ufw", ["default", "deny", "incoming"]);
  if (have.defaults.forward !== "DROP") await run("ufw", ["default", "deny", "routed"]);
  if (have.defaults.output !== "ACCEPT") await run("ufw", ["default", "allow", "outgoing"]);
  if (!have.active) await run("ufw", ["--force", "enable"]);
}

async function readKernel(run: Run, family: Family): Promise<Kernel> {
  const { save, prefix, before } = CHAINS[family];
  const [text, file] = await Promise.all([run(save, ["-t", "filter"]), run("cat", [before])]);
  const beforeRules = file.split("\n").filter((row) => row.startsWith(`-A ${prefix}-before-input `)).length;
  return { rules: parseSavedTable(text, "filter"), policies: parsePolicies(text, "filter"), beforeRules };
}

/**
 * UFW makes its chains and the jumps to them only where the first of them is missing, and then all: after `iptables -F`,
 * or an `iptables -X` that took some, neither `reload` nor `enable` ever does it again. The first leaves a host that
 * looks active and filters nothing, the second one where UFW cannot start. Where none is left, it is UFW's work.
 * Resolves with whether something was put back, which is still empty.
 */
async function repairChains(run: Run, family: Family): Promise<boolean> {
  const { rules } = await readKernel(run, family);
  const jumps = primaryJumps(family);
  const missing = missingJumps(family, rules);
  const gone = jumps.filter(({ to }) => !rules.has(to));
  if (missing.length === 0 || gone.length === jumps.length) return false;
  const stands = jumps.filter((jump) => !missing.some(({ to }) => to === jump.to));
  const script = [
    "*filter",
    ...gone.map(({ to }) => `:${to} - [0:0]`),
    ...stands.map(({ from, to }) => `-D ${from} -j ${to}`),
    ...jumps.map(({ from, to }) => `-A ${from} -j ${to}`),
    "COMMIT",
    "",
  ];
  await run(`${CHAINS[family].tool}-restore`, ["--wait", "10", "--noflush"], script.join("\n"));
  return true;
}

async function removeAccepting(run: Run, family: Family): Promise<void> {
  const { rules } = await readKernel(run, family);
  for (const rule of accepting(rules)) await run(CHAINS[family].tool, ["-w", "-D", "INPUT", ...tokenize(rule)]);
}
