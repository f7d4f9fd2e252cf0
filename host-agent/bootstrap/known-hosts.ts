import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";

const pins = z.record(z.string(), z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/));

/** Fingerprints that an operator has confirmed, by `address:port`. One pin per server: a second key is a changed key. */
export interface KnownHosts {
  file: string;
  find(server: string): string | null;
  pin(server: string, fingerprint: string): void;
}

/** A file that cannot be read as such is refused: treating it as empty would trust any key again. */
export function openKnownHosts(file: string): KnownHosts {
  const read = (): Record<string, string> => {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
      throw error;
    }
    try {
      return pins.parse(JSON.parse(text));
    } catch {
      throw new Error(`${file} cannot be read as known hosts ({"address:port": "SHA256:…"}): repair it, or remove it`);
    }
  };
  return {
    file,
    find: (server) => read()[server] ?? null,
    pin(server, fingerprint) {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      const text = `${JSON.stringify(pins.parse({ ...read(), [server]: fingerprint }), null, 2)}\n`;
      writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
      renameSync(`${file}.new`, file);
    },
  };
}

/** As `ssh-keygen -l` prints it: SHA-256 of the key blob, base64 without padding. */
export const fingerprintOf = (key: Buffer): string =>
  `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
