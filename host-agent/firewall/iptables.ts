import { type KernelRules, readKernel } from "./kernel.ts";
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

/** A table that differs from its rule set. */
interface Drifted {
  ruleSet: RuleSet;
  have: SavedTable;
  differences: string[];
}

const driftedIn = (tables: KernelRules["tables"], ruleSets: readonly RuleSet[]): Drifted[] =>
  ruleSets
    .map((ruleSet) => {
      const have = parseSavedTable(tables[ruleSet.family], ruleSet.table);
      return { ruleSet, have, differences: differences(ruleSet, have) };
    })
    .filter((table) => table.differences.length > 0);

const inWords = (drifted: readonly Drifted[]): string[] => drifted.flatMap((table) => table.differences);

/** What differs, in words; empty: all stands. */
export const tableDifferences = ({ tables }: KernelRules, ruleSets: readonly RuleSet[]): string[] =>
  inWords(driftedIn(tables, ruleSets));

/**
 * Brings the kernel to the rule sets; what already stands is not touched. `mayChange` is asked before the first change
 * and refuses by throwing. Resolves with what had differed.
 */
export async function applyRuleSets(
  run: Run,
  ruleSets: readonly RuleSet[],
  mayChange: () => Promise<void> = async () => {},
): Promise<string[]> {
  const drifted = driftedIn((await readKernel(run)).tables, ruleSets);
  if (drifted.length === 0) return [];
  await mayChange();
  await Promise.all(FAMILIES.map((family) => restore(run, family, drifted)));
  return inWords(drifted);
}

async function restore(run: Run, family: Family, drifted: readonly Drifted[]): Promise<void> {
  const mine = drifted.filter(({ ruleSet }) => ruleSet.family === family);
  if (mine.length === 0) return;
  const write = (tables: readonly Drifted[]) => {
    const script = tables.map(({ ruleSet, have }) => repairScript(ruleSet, have)).join("");
    return run(TOOLS[family].restore, ["--wait", LOCK_WAIT_SECONDS, "--noflush"], script);
  };
  try {
    await write(mine);
  } catch (error) {
    if (!(error instanceof CommandFailed) || error.missing) throw error;
    // Docker changed a table between our look and our write, and a jump we wanted to move was gone: look again.
    const ruleSets = mine.map(({ ruleSet }) => ruleSet);
    await write(driftedIn((await readKernel(run)).tables, ruleSets));
  }
}
