import { parseArgs } from "node:util";
import { openOperator } from "./operator.ts";
import { defaultDir } from "./running.ts";
import { Refusal } from "./system.ts";

const USAGE = `usage:
  npm run images                                     what agents may run from, and the last rollouts; --json for machines
  npm run images -- allow | forbid RUNTIME IMAGE     IMAGE is name@sha256:…; whoever runs from it already goes on
  npm run images -- rollout RUNTIME IMAGE | built    brings all agents of a runtime to it, and stops at the first failure
      --batch N                                      how many at the same time, 1 where nothing is said
      --edge URL                                     another edge than the one that "npm run up" keeps running`;

const OPTIONS = {
  json: { type: "boolean", default: false },
  batch: { type: "string", default: "1" },
  edge: { type: "string" },
  dir: { type: "string", default: defaultDir },
} as const;

/** `npm run images -- VERB RUNTIME IMAGE`: resolves with the exit code. */
export async function imagesCommand(args: string[]): Promise<number> {
  const { values, positionals } = (() => {
    try {
      return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: true });
    } catch (error) {
      throw new Refusal(`${(error as Error).message}\n${USAGE}`);
    }
  })();
  const [verb = "list", runtime = "", image = "", ...more] = positionals;
  const isList = verb === "list" && runtime === "";
  if (more.length > 0 || (!isList && !(["allow", "forbid", "rollout"].includes(verb) && image)))
    throw new Refusal(USAGE);
  const { images } = openOperator({ dir: values.dir, edge: values.edge ?? null });
  if (verb === "allow" || verb === "forbid") await images.allow({ runtime, image }, verb === "allow");
  if (verb === "rollout") {
    const batch = Number(values.batch);
    if (!Number.isInteger(batch) || batch < 1) throw new Refusal("--batch takes a number from 1 on.");
    await images.rollOut({ runtime, image: image === "built" ? null : image, batch });
  }
  const found = await images.list();
  if (values.json) console.log(JSON.stringify(found, null, 2));
  else {
    for (const one of found.images) console.log(`${one.runtime.padEnd(10)} ${one.image}  since ${one.allowedAt}`);
    if (found.images.length === 0) console.log("No image is allowed: agents run from what hosts make.");
    for (const one of found.rollouts) {
      const why = one.detail === null ? "" : `: ${one.detail}`;
      console.log(
        `rollout    ${one.runtime} to ${one.image ?? "what hosts make"}, ${one.batch} at a time: ${one.state}${why}`,
      );
    }
  }
  return 0;
}
