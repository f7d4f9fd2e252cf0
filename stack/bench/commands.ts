import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createCommandDesk } from "../../host-agent/commands.ts";
import { openDatabase } from "../../host-agent/journal-schema.ts";
import { silentLog } from "../../host-agent/log.ts";
import { applyCommand, createTestEdge, enrolledJournal, random } from "../../host-agent/testing.ts";
import { newId } from "../../schema/protocol/index.ts";
import { ROOT } from "../worker.ts";

const ROUNDS = 10;
const PER_ROUND = 500;
const AT_ONCE = 64;
const ALLOWED_RATIO = 0.5;

/**
 * Verify, journal, dispatch and signed answer of a command that changes nothing, per second, beside bare inserts into
 * the same store (same engine, settings, table and disk), each with its own fsync; in turns. Commands that come together
 * share one fsync, as they do in the agent; one at a time they cannot, and that is shown, too.
 */
export async function benchCommands(json: boolean): Promise<number> {
  mkdirSync(`${ROOT}/.chelar`, { recursive: true });
  // On the disk where a host's journal would be: in memory an fsync costs nothing.
  const directory = mkdtempSync(`${ROOT}/.chelar/bench-`);
  try {
    const edge = await createTestEdge();
    const journal = enrolledJournal(`${directory}/journal.db`, edge);
    const nowMs = Date.now;
    let dispatched = 0;
    const desk = await createCommandDesk({
      ...{ identity: edge.identity, journal, log: silentLog, nowMs, random },
      onAccepted: () => {
        dispatched += 1;
      },
    });
    const command = applyCommand(newId("tnt"));
    await desk(await edge.sign(command, nowMs()));
    const bare = openDatabase(`${directory}/bare.db`);
    const insert = bare.prepare("INSERT INTO commands (jti, hash, exp, outcome) VALUES (?, ?, ?, ?)");
    const hash = "h".repeat(43);
    const outcome = JSON.stringify({ status: "already_applied" });

    const signed = () => Promise.all(Array.from({ length: PER_ROUND }, () => edge.sign(command, nowMs())));
    const rates = { together: [] as number[], oneByOne: [] as number[], bare: [] as number[] };
    for (let round = -1; round < ROUNDS; round++) {
      const [first, second] = [await signed(), await signed()];
      const together = await perSecond(() => inFlight(first, AT_ONCE, desk));
      const inserts = await perSecond(async () => {
        for (let at = 0; at < PER_ROUND; at++) insert.run(`${round}-${at}`, hash, 0, outcome);
      });
      const oneByOne = await perSecond(() => inFlight(second, 1, desk));
      // The first round warms everything up and is not counted.
      if (round < 0) continue;
      rates.together.push(together);
      rates.oneByOne.push(oneByOne);
      rates.bare.push(inserts);
    }
    const commands = (ROUNDS + 1) * PER_ROUND * 2 + 1;
    if (dispatched !== commands) throw new Error(`${dispatched} of ${commands} commands were dispatched`);
    bare.close();
    journal.close();
    return tell(rates, json);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function inFlight(envelopes: string[], count: number, desk: (compact: string) => Promise<string | null>) {
  const queue = [...envelopes];
  const worker = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      if ((await desk(next)) === null) throw new Error("a command was refused");
    }
  };
  await Promise.all(Array.from({ length: count }, worker));
}

async function perSecond(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return (PER_ROUND * 1_000) / (performance.now() - began);
}

function tell(rates: Record<"together" | "oneByOne" | "bare", number[]>, json: boolean): number {
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number;
  const [together, oneByOne, bare] = [median(rates.together), median(rates.oneByOne), median(rates.bare)];
  const ratio = together / bare;
  const within = ratio >= ALLOWED_RATIO;
  const result = {
    commandsPerSecond: together,
    oneByOnePerSecond: oneByOne,
    bareInsertsPerSecond: bare,
    ratio,
    within,
  };
  if (json) console.log(JSON.stringify(result, null, 2));
  else {
    console.log(`commands, ${AT_ONCE} in flight      ${together.toFixed(0).padStart(8)} per second`);
    console.log(`commands, one at a time    ${oneByOne.toFixed(0).padStart(8)} per second`);
    console.log(`bare fsynced inserts       ${bare.toFixed(0).padStart(8)} per second`);
    console.log(`ratio ${ratio.toFixed(2)}; needed ${ALLOWED_RATIO}: ${within ? "within" : "UNDER"}`);
  }
  return within ? 0 : 1;
}
