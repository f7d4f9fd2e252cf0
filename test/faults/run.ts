import { parseArgs } from "node:util";
import { type Act, FAULTS, kills } from "./scenarios.ts";
import { isSound, type Tally } from "./tally.ts";

/**
 * `npm run faults [-- --json]`, inside the test network. Prints every scenario as it ends and a table, or JSON
 * `{ killPoints, scenarios: [{ name, kills, converged, orphans, lostAcknowledged }] }`. Exit code 1 when anything was
 * lost or left, or when fewer kill points than promised were reached.
 */
const PROMISED_KILL_POINTS = 100;

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    /** While working on one: acts whose name it is. */
    only: { type: "string", multiple: true },
    brief: { type: "boolean", default: false },
  },
});
const say = (line: string) => console.error(line);
const row = (cells: readonly (string | number)[]) =>
  cells.map((cell, index) => (index === 0 ? String(cell).padEnd(62) : String(cell).padStart(11))).join("");

async function play(act: Act): Promise<Tally[]> {
  const tallies: Tally[] = [];
  await act.begin();
  try {
    for (const part of act.parts) {
      const began = Date.now();
      const tally = await part.play({ brief: values.brief === true, say });
      const seconds = ((Date.now() - began) / 1_000).toFixed(0);
      say(`${isSound(tally) ? "held  " : "FAILED"} ${seconds.padStart(4)} s  ${tally.name}: ${describe(tally)}`);
      tallies.push(tally);
    }
  } finally {
    await act.end();
  }
  return tallies;
}

const describe = ({ kills, converged, orphans, lostAcknowledged }: Tally) =>
  `${converged} of ${kills} converged, ${orphans} orphans, ${lostAcknowledged} lost`;

const killing = kills();
const acts = [killing, ...FAULTS].filter(({ name }) => !values.only || values.only.includes(name));
if (acts.length === 0) {
  console.error(`--only takes ${[killing, ...FAULTS].map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
const scenarios: Tally[] = [];
let killPoints = 0;
for (const act of acts) {
  const tallies = await play(act);
  scenarios.push(...tallies);
  if (act === killing) killPoints = tallies.reduce((sum, tally) => sum + tally.kills, 0);
}
const enough = values.only || values.brief || killPoints >= PROMISED_KILL_POINTS;
const sound = scenarios.every(isSound) && enough;

if (values.json) console.log(JSON.stringify({ killPoints, scenarios }, null, 2));
else {
  console.log(row(["", "faults", "converged", "orphans", "lost"]));
  for (const { name, kills, converged, orphans, lostAcknowledged } of scenarios) {
    console.log(row([name, kills, converged, orphans, lostAcknowledged]));
  }
  console.log(`${killPoints} kill points: ${sound ? "nothing lost, nothing left" : "NOT SOUND"}`);
}
process.exit(sound ? 0 : 1);
