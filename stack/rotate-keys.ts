import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { generateSigningKey, keyId, privateSigningJwk } from "../schema/protocol/index.ts";
import type { Operator } from "./operator.ts";
import { type KeyStatus, nextStep, nextVersion, type RotationStep } from "./rotation.ts";
import { changeSecrets } from "./secrets.ts";
import { Refusal } from "./system.ts";

const POLL_MS = 500;

/** The new key while it is on its way: with this file a rotation goes on where it was cut off. Gone when it is over. */
const rotationFile = z.strictObject({
  version: z.int(),
  current: z.string(),
  keys: z.array(privateSigningJwk.extend({ kid: z.string() })).length(1),
});
type NewKeys = z.infer<typeof rotationFile>;

export interface RotateOptions {
  /** Where the file lies, and the local edge's secrets. */
  dir: string;
  /** Whether the edge is the local one, whose secrets are in `dir`; else the operator brings them to Cloudflare. */
  isLocal: boolean;
  force: boolean;
  /** How long edge and hosts may take for each step. */
  waitSeconds: number;
}

/** Takes the edge's command key out of use, without losing a command in flight. Safe to end and to run again. */
export async function rotateKeys(operator: Operator, options: RotateOptions): Promise<number> {
  const { dir, force } = options;
  const file = `${dir}/key-rotation.json`;
  const status = () => operator.keys();
  let keys = readRotation(file);
  console.log(keys ? "A rotation had begun: going on with it." : "Making a new key.");
  keys ??= await makeKeys(await status());
  const patience = () => Date.now() + options.waitSeconds * 1_000;
  let [deadline, said, reached] = [patience(), "", ""];
  const lost = new Set<string>();
  for (;;) {
    // While it is deployed anew it does not answer for a moment.
    const seen = await status().catch(() => null);
    const stands = seen && nextStep(rotation(keys), seen, false);
    if (stands && stands.step !== reached) deadline = patience();
    reached = stands?.step ?? reached;
    const late = Date.now() > deadline;
    // By force too, hosts that are there get their time to hear of it: only those that are away are left behind.
    const missing = stands && "missing" in stands ? stands.missing : [];
    const leavesBehind = force && missing.length > 0 && (late || missing.every((name) => lost.has(name)));
    for (const name of leavesBehind ? missing : []) lost.add(name);
    const isStuck = leavesBehind && Date.now() > deadline + options.waitSeconds * 1_000;
    if ((late && !leavesBehind) || isStuck) throw new Refusal(explain(isStuck ? null : stands));
    if (!seen) {
      await sleep(POLL_MS);
      continue;
    }
    // Not deployed yet, and somebody has been faster: a version that hosts know already would be refused.
    if (seen.current !== keys.current && seen.next !== keys.current)
      keys.version = Math.max(keys.version, nextVersion(seen));
    writeWhole(file, keys);
    const now = nextStep(rotation(keys), seen, leavesBehind);
    const line = `${now.step}${"missing" in now ? `: waiting for ${now.missing.join(", ")}` : ""}`;
    if (line !== said)
      console.log(SAID[now.step] + ("missing" in now ? ` Waiting for ${now.missing.join(", ")} …` : ""));
    if (now.step === "add" && line !== said) bring(options, "COMMAND_KEYS_NEXT", keys);
    if (now.step === "retire" && line !== said) bring(options, "COMMAND_KEYS", { ...keys, version: keys.version + 1 });
    said = line;
    if (now.step === "done") break;
    if ("missing" in now) await operator.distribute().catch(() => {});
    await sleep(POLL_MS);
  }
  rmSync(file, { force: true });
  return 0;
}

const SAID = {
  add: "1/4  The edge gets the new key beside the old one.",
  distribute: "2/4  Every host learns the new key, in a command signed with the old one.",
  retire: "3/4  Every host knows it: the edge forgets the old key.",
  forget: "4/4  Every host forgets the old key.",
  done: "Done: the old key opens nothing any more.",
} as const;

const rotation = ({ current, version }: NewKeys) => ({ kid: current, version });

function explain(now: RotationStep | null): string {
  const again = "Nothing is lost: run the same command again, it goes on from here.";
  switch (now?.step) {
    case "distribute":
      return `${now.missing.join(", ")} did not learn the new key in time; the old one stays in use for them. ${again} With --force they are left behind, and must be enrolled again.`;
    case "forget":
      return `${now.missing.join(", ")} did not forget the old key in time. ${again}`;
    default:
      return `the edge has not taken the new secret in time. ${again}`;
  }
}

async function makeKeys(status: KeyStatus): Promise<NewKeys> {
  const key = await generateSigningKey();
  const kid = await keyId(key);
  return { version: nextVersion(status), current: kid, keys: [{ kid, ...key }] };
}

function readRotation(file: string): NewKeys | null {
  if (!existsSync(file)) return null;
  const parsed = rotationFile.safeParse(JSON.parse(readFileSync(file, "utf8")));
  if (parsed.success) return parsed.data;
  throw new Refusal(`${file} is damaged: remove it, and the rotation begins anew with another key.`);
}

function writeWhole(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

/** Brings a secret to the edge: at once to the local one, else by the operator's own hand. */
function bring({ dir, isLocal }: RotateOptions, name: "COMMAND_KEYS" | "COMMAND_KEYS_NEXT", keys: NewKeys): void {
  const text = JSON.stringify(keys);
  if (isLocal) {
    const isLast = name === "COMMAND_KEYS";
    changeSecrets(dir, (secrets) => ({
      ...secrets,
      [name]: text,
      ...(isLast ? { COMMAND_KEYS_NEXT: undefined } : {}),
    }));
    return;
  }
  // Into a file and not onto the screen: a terminal keeps what it has shown.
  const file = `${dir}/${name}.json`;
  writeWhole(file, keys);
  console.log(
    `     Run this where you deploy from; it is waited for:  wrangler secret put ${name} < ${file} && rm ${file}`,
  );
  if (name === "COMMAND_KEYS") console.log("     And, whenever you like:  wrangler secret delete COMMAND_KEYS_NEXT");
}
