import { parseArgs } from "node:util";
import { openOperator, PERSON_CHANGES, type PersonChange } from "./operator.ts";
import { defaultDir } from "./running.ts";
import { Refusal } from "./system.ts";

const USAGE = `usage:
  npm run account -- show EMAIL                  who that is; --json for machines
  npm run account -- suspend | resume EMAIL      shut somebody out at once, everywhere; let them in again
  npm run account -- operator | person EMAIL     give somebody the role of an operator; take it back
      --edge URL                                 another edge than the one that "npm run up" keeps running`;

const OPTIONS = {
  json: { type: "boolean", default: false },
  edge: { type: "string" },
  dir: { type: "string", default: defaultDir },
} as const;

const isChange = (verb: string): verb is PersonChange => (PERSON_CHANGES as readonly string[]).includes(verb);

/** `npm run account -- VERB EMAIL`: resolves with the exit code. */
export async function accountCommand(args: string[]): Promise<number> {
  const { values, positionals } = (() => {
    try {
      return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: true });
    } catch (error) {
      throw new Refusal(`${(error as Error).message}\n${USAGE}`);
    }
  })();
  const [verb = "", email = "", ...more] = positionals;
  if (!email || more.length > 0 || (verb !== "show" && !isChange(verb))) throw new Refusal(USAGE);
  const { people } = openOperator({ dir: values.dir, edge: values.edge ?? null });
  const found = await people.find(email);
  const person = isChange(verb) ? await people.change(found.id, verb) : found;
  if (values.json) console.log(JSON.stringify(person, null, 2));
  else {
    const state = person.suspendedAt ? `suspended since ${person.suspendedAt}` : "in good standing";
    const confirmed = person.confirmed ? "" : ", address not confirmed";
    console.log(`${person.email}  ${person.role}, ${state}${confirmed}  (${person.id}, since ${person.createdAt})`);
  }
  return 0;
}
