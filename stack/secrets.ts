import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, watch, writeFileSync } from "node:fs";
import { z } from "zod";
import { generateSigningKey, keyId } from "../schema/protocol/index.ts";

/** The edge's own secrets on a developer's machine; in production each is a Worker secret. */
const edgeSecrets = z.strictObject({
  AUTH_SECRET: z.string(),
  OPERATOR_TOKEN: z.string(),
  COMMAND_KEYS: z.string(),
  COMMAND_KEYS_NEXT: z.string().optional(),
  VAULT_KEYS: z.string(),
  TICKET_KEY: z.string(),
});
export type EdgeSecrets = z.infer<typeof edgeSecrets>;

export const SECRETS_FILE = "edge-secrets.json";
const secretsFile = (directory: string): string => `${directory}/${SECRETS_FILE}`;

/** Null where there are none. Throws where they cannot be read. */
export function readSecrets(directory: string): EdgeSecrets | null {
  const file = secretsFile(directory);
  try {
    return edgeSecrets.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new Error(`${file} cannot be read as the edge's secrets: restore it, or remove .chelar to start anew`);
  }
}

/** A running edge that watches its secrets takes the new ones, as a Worker does that is deployed anew. */
export function changeSecrets(directory: string, change: (secrets: EdgeSecrets) => EdgeSecrets): void {
  const secrets = readSecrets(directory);
  if (!secrets) throw new Error(`there are no secrets of an edge in ${directory}`);
  writeSecrets(directory, change(secrets));
}

function writeSecrets(directory: string, secrets: EdgeSecrets): void {
  const file = secretsFile(directory);
  writeFileSync(`${file}.new`, JSON.stringify(edgeSecrets.parse(secrets), null, 2), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

/** Calls, one at a time, with what the file holds after each change of it. */
export function watchSecrets(
  directory: string,
  onChange: (secrets: EdgeSecrets) => Promise<void>,
): { close(): Promise<void> } {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let working = Promise.resolve();
  const look = async () => {
    const secrets = readSecrets(directory);
    if (secrets) await onChange(secrets);
  };
  const watcher = watch(directory, (_, name) => {
    if (name === SECRETS_FILE) working = working.then(look).catch((error: Error) => console.error(error.message));
  });
  return {
    close() {
      watcher.close();
      return working;
    },
  };
}

/** Reads them from `directory`, or makes them there once: 0600, written whole or not at all. */
export async function bringSecrets(directory: string): Promise<EdgeSecrets> {
  const known = readSecrets(directory);
  if (known) return known;
  const random = () => randomBytes(32).toString("base64url");
  const commandKey = await generateSigningKey();
  const kid = await keyId(commandKey);
  const secrets: EdgeSecrets = {
    AUTH_SECRET: random(),
    OPERATOR_TOKEN: random(),
    COMMAND_KEYS: JSON.stringify({ version: 1, current: kid, keys: [{ kid, ...commandKey }] }),
    VAULT_KEYS: JSON.stringify({ current: 1, keys: { 1: random() } }),
    TICKET_KEY: JSON.stringify(await generateSigningKey()),
  };
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeSecrets(directory, secrets);
  return secrets;
}
