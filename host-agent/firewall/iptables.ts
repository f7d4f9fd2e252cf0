import type { RuleSet } from "./policy.ts";
import { CommandFailed, type Run } from "./run.ts";
import { differences, parseSavedTable, repairScript, type SavedTable } from "./saved.ts";

/** The only file that talks to iptables. Every change is one `iptables-restore --noflush`: all of it or nothing. */
const TOOLS = {
  ipv4: { save: "iptables-save", restore: "iptables-restore" },
  ipv6: { save: "ip6tables-save", restore: "ip6tables-restore" },
} as const;
/** Docker and UFW write too; legacy iptables has one lock for all. */
const LOCK_WAIT_SECONDS = "10";

export async function readTable(run: Run, { family, table }: Pick<RuleSet, "family" | "table">): Promise<SavedTable> {
  return parseSavedTable(await run(TOOLS[family].save, ["-t", table]), table);
}

/** Brings the kernel to the rule sets. Resolves with what had differed. What already stands is not touched. */
export async function applyRuleSets(run: Run, ruleSets: readonly RuleSet[]): Promise<string[]> {
  const repaired: string[] = [];
  for (const ruleSet of ruleSets) {
    const have = await readTable(run, ruleSet);
    const found = differences(ruleSet, have);
    if (found.length === 0) continue;
    const restore = TOOLS[ruleSet.family].restore;
    try {
      await run(restore, ["--wait", LOCK_WAIT_SECONDS, "--noflush"], repairScript(ruleSet, have));
    } catch (error) {
      if (!(error instanceof CommandFailed) || error.missing) throw error;
      // Docker changed the table between our look and our write, and a jump we wanted to move was gone: look again.
      await run(
        restore,
        ["--wait", LOCK_WAIT_SECONDS, "--noflush"],
        repairScript(ruleSet, await readTable(run, ruleSet)),
      );
    }
    repaired.push(...found);
  }
  return repaired;
}

export async function verifyRuleSets(run: Run, ruleSets: readonly RuleSet[]): Promise<string[]> {
  const found = await Promise.all(ruleSets.map(async (set) => differences(set, await readTable(run, set))));
  return found.flat();
}
