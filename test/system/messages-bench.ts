import { sendThrough, startMessagesLab } from "./messages-lab.ts";

/** A thousand messages through everything, with a server that fails in between; exit code 1 when one was lost. */
const MESSAGES = Number(process.env.CHELAR_BENCH_MESSAGES ?? 1_000);

const began = performance.now();
const lab = await startMessagesLab();
const told = await sendThrough(lab, MESSAGES, (line) => console.error(line)).finally(() => lab.stop());
const seconds = (performance.now() - began) / 1000;
const lost = told.sent - told.taken;
const within = lost === 0 && told.inOrder === told.conversations;
if (process.argv.includes("--json")) console.log(JSON.stringify({ ...told, lost, seconds, within }, null, 2));
else {
  for (const { what, taken } of told.faults) console.log(`${what} when ${taken} of ${told.sent} were taken`);
  console.log(
    `${told.taken} of ${told.sent} taken, ${lost} lost, ${told.doubles} written down twice and known by their id`,
  );
  console.log(
    `${told.inOrder} of ${told.conversations} conversations in order; ${seconds.toFixed(0)} s with the server's start`,
  );
}
process.exit(within ? 0 : 1);
