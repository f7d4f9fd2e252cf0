import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { generateSigningKey, keyId } from "../schema/protocol/index.ts";

/** The edge's own secrets on a developer's machine; in production each is a Worker secret. */
const edgeSecrets = z.strictObject({
  AUTH_SECRET: z.string(),
  OPERATOR_TOKEN: z.string(),
  COMMAND_KEYS: z.string(),
  VAULT_KEYS: z.string(),
  TICKET_KEY: z.string(),
});
export type EdgeSecrets = z.infer<typeof edgeSecrets>;

/** Reads them from `directory`, or makes them there once: 0600, written whole or not at all. */
export async function bringSecrets(directory: string): Promise<EdgeSecrets> {
  const file = `${directory}/edge-secrets.json`;
  try {
    return edgeSecrets.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw new Error(`${file} cannot be read as the edge's secrets: restore it, or remove .chelar to start anew`);
    }
  }
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
  writeFileSync(`${file}.new`, JSON.stringify(secrets, null, 2), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
  return secrets;
}
