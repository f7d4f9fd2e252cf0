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

/**
 * Reads every table of a family at once: a look costs one process per family, however much it compares. Empty: all
 * stands.
 */
async function look(run: Run, family: Family, ruleSets: readonly RuleSet[]): Promise<Drifted[]> {
  const text = await run(TOOLS[family].save, []);
  return ruleSets
    .filter((ruleSet) => ruleSet.family === family)
    .map((ruleSet) => {
      const have = parseSavedTable(text, ruleSet.table);
      return { ruleSet, have, differences: differences(ruleSet, have) };
    })
    .filter((table) => table.differences.length > 0);
}

/**
 * Brings the kernel to the rule sets; what already stands is not touched. `mayChange` is asked before the first change
 * and refuses by throwing. Resolves with what had differed.
 */
export async function applyRuleSets(
  run: Run,
  ruleSets: readonly RuleSet[],
  mayChange: () => Promise<void> = async () => {},
): Promise<string[]> {
  const drifted = await Promise.all(FAMILIES.map((family) => look(run, family, ruleSets)));
  if (drifted.every((tables) => tables.length === 0)) return [];
  await mayChange();
  await Promise.all(FAMILIES.map((family, i) => restore(run, family, ruleSets, drifted[i] as Drifted[])));
  return drifted.flat().flatMap((table) => table.differences);
}

async function restore(run: Run, family: Family, ruleSets: readonly RuleSet[], drifted: Drifted[]): Promise<void> {
  if (drifted.length === 0) return;
  const write = (tables: Drifted[]) => {
    const script = tables.map(({ ruleSet, have }) => repairScript(ruleSet, have)).join("");
    return run(TOOLS[family].restore, ["--wait", LOCK_WAIT_SECONDS, "--noflush"], script);
  };
  try {
    await write(drifted);
  } catch (error) {
    if (!(error instanceof CommandFailed) || error.missing) throw error;
    // Docker changed a table between our look and our write, and a jump we wanted to move was gone: look again.
    await write(await look(run, family, ruleSets));
  }
}

export async function verifyRuleSets(run: Run, ruleSets: readonly RuleSet[]): Promise<string[]> {
  const drifted = await Promise.all(FAMILIES.map((family) => look(run, family, ruleSets)));
  return drifted.flat().flatMap((table) => table.differences);
}
