import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import {
  enrolResponse,
  generateSealingKey,
  generateSigningKey,
  privateSealingJwk,
  privateSigningJwk,
} from "../schema/protocol/index.ts";

/** Private keys, made on this host: they never leave it. `ingress` is what its Caddy says to the edge's door. */
const hostKeys = z.strictObject({
  signing: privateSigningJwk,
  sealing: privateSealingJwk,
  ingress: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
});
export type HostKeys = z.infer<typeof hostKeys>;

/** The keys, and what the edge answered at enrolment. */
const enrolledIdentity = hostKeys.extend(enrolResponse.shape);
export type Identity = z.infer<typeof enrolledIdentity>;

const identityFile = z.union([enrolledIdentity, hostKeys]);

const pathOf = (stateDir: string) => join(stateDir, "identity.json");

/** Null when there is none. Refuses a file that others may read: its keys may be known by now. */
function readIdentityFile(stateDir: string): Identity | HostKeys | null {
  const path = pathOf(stateDir);
  let text: string;
  try {
    const mode = statSync(path).mode & 0o777;
    if (mode & 0o077) throw new Error(`${path} has mode ${mode.toString(8)}: only 600 is accepted`);
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    return identityFile.parse(JSON.parse(text));
  } catch {
    // No detail: JSON.parse quotes what it read, and that is a private key.
    throw new Error(`${path} is damaged: restore it, or move it away and enrol this host under a new name`);
  }
}

/** The identity of an enrolled host; throws one sentence when it is not enrolled. */
export function readIdentity(stateDir: string): Identity {
  const identity = readIdentityFile(stateDir);
  if (!identity || !("hostId" in identity)) throw new Error("this host is not enrolled: run `enrol` first");
  return identity;
}

/** Whole or not at all, and on the disk when it returns: a host that lost its keys is another host. */
export function writeIdentity(stateDir: string, identity: Identity | HostKeys): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const path = pathOf(stateDir);
  const text = `${JSON.stringify(identityFile.parse(identity), null, 2)}\n`;
  withFile(`${path}.new`, "w", (file) => writeSync(file, text));
  renameSync(`${path}.new`, path);
  withFile(stateDir, "r", () => {});
}

/** The keys of this host, made and stored at the first call: a broken enrolment is repeated with the same keys. */
export async function ensureKeys(stateDir: string): Promise<Required<HostKeys>> {
  const existing = readIdentityFile(stateDir);
  const ingress = existing?.ingress ?? randomBytes(32).toString("base64url");
  if (existing) return { signing: existing.signing, sealing: existing.sealing, ingress };
  const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  writeIdentity(stateDir, { signing, sealing, ingress });
  return { signing, sealing, ingress };
}

/** What Caddy is started with, so that the edge believes it: an environment file that only root reads. */
export function writeIngressKey(stateDir: string, { hostId, ingress }: Pick<Identity, "hostId" | "ingress">): void {
  const path = join(stateDir, "ingress.env");
  withFile(`${path}.new`, "w", (file) => writeSync(file, `CHELAR_HOST_KEY=${hostId}.${ingress}\n`));
  renameSync(`${path}.new`, path);
}

function withFile(path: string, flags: string, use: (file: number) => void): void {
  const file = openSync(path, flags, 0o600);
  try {
    use(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
