import type { RuleSet } from "./policy.ts";
import { CommandFailed, type Run } from "./run.ts";
import { differences, parseSavedTable, repairScript, type SavedTable } from "./saved.ts";

/** The only file that talks to iptables. Every change of a table is one transaction: all of it or nothing. */
const TOOLS = {
  ipv4: { save: "iptables-save", restore: "iptables-restore" },
  ipv6: { save: "ip6tables-save", restore: "ip6tables-restore" },
} as const;
/** Docker and UFW write too; legacy iptables has one lock for all. */
const LOCK_WAIT_SECONDS = "10";

type Family = RuleSet["family"];
const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

export async function readTable(run: Run, { family, table }: Pick<RuleSet, "family" | "table">): Promise<SavedTable> {
  return parseSavedTable(await run(TOOLS[family].save, ["-t", table]), table);
}

interface Comparison {
  ruleSet: RuleSet;
  have: SavedTable;
  differences: string[];
}

/** All tables of a family in one read: a look costs one process per family, however much it compares. */
async function compare(run: Run, family: Family, ruleSets: readonly RuleSet[]): Promise<Comparison[]> {
  const text = await run(TOOLS[family].save, []);
  return ruleSets
    .filter((ruleSet) => ruleSet.family === family)
    .map((ruleSet) => {
      const have = parseSavedTable(text, ruleSet.table);
      return { ruleSet, have, differences: differences(ruleSet, have) };
    })
    .filter((comparison) => comparison.differences.length > 0);
}

/** Brings the kernel to the rule sets. Resolves with what had differed. What already stands is not touched. */
export async function applyRuleSets(run: Run, ruleSets: readonly RuleSet[]): Promise<string[]> {
  const repaired: string[] = [];
  for (const family of FAMILIES) {
    const found = await compare(run, family, ruleSets);
    if (found.length === 0) continue;
    try {
      await restore(run, family, found);
    } catch (error) {
      if (!(error instanceof CommandFailed) || error.missing) throw error;
      // Docker changed a table between our look and our write, and a jump we wanted to move was gone: look again.
      await restore(run, family, await compare(run, family, ruleSets));
    }
    repaired.push(...found.flatMap((comparison) => comparison.differences));
  }
  return repaired;
}

async function restore(run: Run, family: Family, found: readonly Comparison[]): Promise<void> {
  const script = found.map(({ ruleSet, have }) => repairScript(ruleSet, have)).join("");
  await run(TOOLS[family].restore, ["--wait", LOCK_WAIT_SECONDS, "--noflush"], script);
}

export async function verifyRuleSets(run: Run, ruleSets: readonly RuleSet[]): Promise<string[]> {
  const found = await Promise.all(FAMILIES.map((family) => compare(run, family, ruleSets)));
  return found.flat().flatMap((comparison) => comparison.differences);
}
