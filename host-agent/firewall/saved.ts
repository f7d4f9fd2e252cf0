import { type Rule, type RuleSet, ruleArguments } from "./policy.ts";

/** What iptables-save printed of one table: chain → rules as printed, behind `-A CHAIN `. */
export type SavedTable = ReadonlyMap<string, readonly string[]>;

/** Rules stay text until somebody looks at them: Docker alone writes four into FORWARD for every network. */
export function parseSavedTable(text: string, table: string): SavedTable {
  const chains = new Map<string, string[]>();
  let inside = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) inside = line === `*${table}`;
    else if (!inside) continue;
    else if (line.startsWith(":")) chains.set(line.slice(1, line.indexOf(" ")), []);
    else if (line.startsWith("-A ")) {
      const end = line.indexOf(" ", 3);
      chains.get(line.slice(3, end))?.push(line.slice(end + 1));
    }
  }
  return chains;
}

/** Chain → policy of the kernel's own chains. */
export function parsePolicies(text: string, table: string): ReadonlyMap<string, string> {
  const section = text.split(/^\*/m).find((part) => part.startsWith(`${table}\n`)) ?? "";
  return new Map(
    [...section.matchAll(/^:(\S+) (\S+)/gm)].map(([, chain, policy]) => [chain as string, policy as string]),
  );
}

export function tokenize(line: string): string[] {
  const tokens = line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g);
  return [...tokens].map(([, quoted, plain]) => quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "");
}

/**
 * A rule is a conjunction, so the order of its parts is the tool's taste and differs between versions: parts are
 * sorted, and a protocol's own module, which `-p` implies, is left out. Two rules mean the same if this is equal.
 */
export function canonicalRule(tokens: readonly string[]): string {
  const parts: string[] = [];
  let protocol = "";
  for (let i = 0; i < tokens.length; ) {
    const negated = tokens[i] === "!";
    if (negated) i++;
    const flag = tokens[i++] ?? "";
    const values: string[] = [];
    while (i < tokens.length && tokens[i] !== "!" && !tokens[i]?.startsWith("-")) values.push(tokens[i++] as string);
    if (flag === "-p" && !negated) protocol = values[0] ?? "";
    parts.push([...(negated ? ["!"] : []), flag, ...values].join(" "));
  }
  return parts
    .filter((part) => part !== `-m ${protocol}`)
    .sort()
    .join(" ");
}

export const canonicalLine = (line: string): string => canonicalRule(tokenize(line));
const wanted = (rule: Rule): string => canonicalRule(ruleArguments(rule));
const jumpRule = (to: string): string => `-j ${to}`;

/** What was printed of a chain when none of its rules was wrong: the same again need not be taken apart. */
const stood = new WeakMap<readonly Rule[], string>();

function firstWrong(rules: readonly Rule[], kernel: readonly string[]): number {
  const printed = kernel.join("\n");
  if (stood.get(rules) === printed) return -1;
  const wrong = rules.findIndex((rule, i) => canonicalLine(kernel[i] ?? "") !== wanted(rule));
  if (wrong < 0) stood.set(rules, printed);
  return wrong;
}

/** What the kernel holds beside what the policy says, in words for an operator. Empty: the policy stands. */
export function differences(want: RuleSet, have: SavedTable): string[] {
  const found: string[] = [];
  const where = `${want.family} ${want.table}`;
  for (const [chain, rules] of Object.entries(want.chains)) {
    const kernel = have.get(chain);
    if (!kernel) {
      found.push(`${where}: chain ${chain} is missing`);
      continue;
    }
    if (kernel.length !== rules.length) {
      found.push(`${where} ${chain}: ${kernel.length} rules stand, ${rules.length} should`);
    }
    const wrong = firstWrong(rules, kernel);
    if (wrong >= 0) {
      const stands = kernel[wrong] ?? "nothing";
      found.push(`${where} ${chain}: rule ${wrong + 1} (${rules[wrong]?.id}) is not ours: ${stands}`);
    }
  }
  for (const jump of want.jumps) {
    const rules = have.get(jump.from) ?? [];
    if (jump.anywhere ? rules.includes(jumpRule(jump.to)) : rules[0] === jumpRule(jump.to)) continue;
    found.push(`${where} ${jump.from}: does not ${jump.anywhere ? "hold" : "begin with"} our jump to ${jump.to}`);
  }
  return found;
}

/**
 * Input for `iptables-restore --noflush` that makes the difference vanish in one kernel transaction, whatever stands:
 * our chains are replaced as a whole, our jumps moved to the top, and everything else stays as it is.
 */
export function repairScript(want: RuleSet, have: SavedTable): string {
  // Declaring a chain empties it, so a shared one is declared only when it is missing.
  const declared = [...want.shared.filter((chain) => !have.has(chain)), ...Object.keys(want.chains)];
  const moved = want.jumps.flatMap(({ from, to }) => {
    const stale = (have.get(from) ?? []).filter((rule) => rule === jumpRule(to));
    return [...stale.map(() => `-D ${from} -j ${to}`), `-I ${from} 1 -j ${to}`];
  });
  const filled = Object.entries(want.chains).flatMap(([chain, rules]) =>
    rules.map((rule) => `-A ${chain} ${ruleArguments(rule).map(quote).join(" ")}`),
  );
  return [`*${want.table}`, ...declared.map((chain) => `:${chain} - [0:0]`), ...filled, ...moved, "COMMIT", ""].join(
    "\n",
  );
}

const quote = (token: string): string => (/^[\w!:./,+-]+$/.test(token) ? token : JSON.stringify(token));
