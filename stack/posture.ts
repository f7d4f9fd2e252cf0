import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { defaultDir, findRunning } from "./running.ts";
import { Refusal } from "./system.ts";

interface Row {
  id: string;
  layer: number;
  source: string;
  from: string;
  tries: string;
  held: boolean | null;
  outcome: "held" | "breached" | "unproven" | "not_managed";
  evidence: string;
}
export interface Posture {
  attacks: Row[];
  held: number;
  breached: number;
  unproven: number;
  notManaged: number;
  gates: { name: string; have: string; need: string; ok: boolean }[];
}

const WORDS: Record<Row["outcome"], string> = {
  held: "held",
  breached: "BREACHED",
  unproven: "NOT PROVEN",
  not_managed: "not managed",
};

/** Asks the running host agent to attack its own walls. Resolves with the exit code: 1 if any wall gave way or could not be proven. */
export async function posture({ json, dir = defaultDir }: { json: boolean; dir?: string }): Promise<number> {
  const { hostDir } = findRunning(dir);
  const { runDir } = JSON.parse(readFileSync(`${hostDir}/config.json`, "utf8")) as { runDir: string };
  const found = await askPosture(`${runDir}/operator.sock`, showProgress);
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  if (json) console.log(JSON.stringify(found));
  else console.log(postureTable(found));
  return found.breached + found.unproven > 0 ? 1 : 0;
}

function showProgress({ fraction, detail }: { fraction: number; detail: string }): void {
  const line = `${String(Math.round(fraction * 100)).padStart(3)} %  ${detail}`;
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
}

/** `POST /posture` on the operator's socket of a host agent; see host-agent/posture/door.ts. */
export function askPosture(
  socketPath: string,
  onProgress: (progress: { fraction: number; detail: string }) => void = () => {},
): Promise<Posture> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path: "/posture", method: "POST" }, (response) => {
      const lines = createInterface({ input: response });
      lines.on("line", (text) => {
        const line = JSON.parse(text) as {
          progress?: { fraction: number; detail: string };
          verdict?: Posture;
          error?: string;
        };
        if (line.progress) onProgress(line.progress);
        if (line.verdict) resolve(line.verdict);
        if (line.error) reject(new Refusal(`the host agent could not finish the attacks: ${line.error}`));
      });
      // A connection cut off is an error of both, and each must find a listener.
      const cutOff = () => reject(new Refusal("the host agent ended before it had a verdict"));
      response.on("error", cutOff);
      lines.on("error", cutOff).on("close", cutOff);
    });
    call.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        new Refusal(
          error.code === "EACCES"
            ? "only root may ask for this: run it again as root."
            : `the host agent does not answer on ${socketPath} (${error.code}): is \`npm run up\` still running?`,
        ),
      ),
    );
    call.end();
  });
}

/** For a person: one line per attack, by layer; then what the host is made of; then the sum. */
export function postureTable({ attacks, held, breached, unproven, notManaged, gates }: Posture): string {
  const width = Math.max(...attacks.map(({ id }) => id.length));
  const lines = attacks.map(
    ({ id, layer, from, tries, outcome, evidence }) =>
      `${layer}  ${WORDS[outcome].padEnd(11)}  ${id.padEnd(width)}  ${from.padEnd(9)}  ${tries}\n${" ".repeat(16)}${evidence}`,
  );
  return [
    ...lines,
    "",
    ...gates.map(
      ({ name, have, need, ok }) => `${ok ? "ok    " : "BELOW "} ${name}: ${have} (production needs ${need})`,
    ),
    "",
    `${attacks.length} attacks: ${held} held, ${breached} breached, ${unproven} not proven, ${notManaged} not managed here`,
  ].join("\n");
}
