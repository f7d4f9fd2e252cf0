import { z } from "zod";
import type { Keyring } from "../worker/vault/rules.ts";

/** What the edge says of its vault. */
export const vaultStatus = z.object({
  current: z.number(),
  floor: z.number(),
  keys: z.array(
    z.object({
      version: z.number(),
      fingerprint: z.string().nullable(),
      secrets: z.number(),
      wraps: z.number(),
      erased: z.number(),
    }),
  ),
  stale: z.number(),
  warnings: z.array(z.string()),
});
export type VaultStatus = z.infer<typeof vaultStatus>;

const cursor = z.tuple([z.string(), z.string()]);
export const vaultPass = z.object({ done: z.number(), unreadable: z.array(cursor), next: cursor.nullable() });
export type VaultPass = z.infer<typeof vaultPass>;

/** The ring that is to be deployed, as far as decisions need it: version → fingerprint. */
export interface RingFacts {
  current: number;
  floor: number;
  fingerprints: ReadonlyMap<number, string>;
}

export type RotationStep =
  /** The edge has another ring: it must get this one first. */
  | { step: "deploy" }
  /** One key, everything under it: a rotation has ended, or may begin. */
  | { step: "settled" }
  | { step: "promote"; to: number }
  | { step: "sweep"; stale: number }
  | { step: "verify" }
  | { step: "raise_floor" }
  /** A Worker that still had the older ring has sealed after the sweep. */
  | { step: "lower_floor" }
  | { step: "retire" };

/**
 * Where a rotation stands, from the ring and from what the edge says: whoever runs it may be ended at any point and begin
 * again. A key is added in one deployment and used in the next, since not every Worker changes at once, and none may
 * meet a secret under a key that it has not got. The floor rises one deployment before the old key is destroyed: what
 * was sealed late comes to light while it can still be opened.
 */
export function nextStep(ring: RingFacts, status: VaultStatus, isVerified: boolean): RotationStep {
  if (!isDeployed(ring, status)) return { step: "deploy" };
  const newest = Math.max(...ring.fingerprints.keys());
  if (newest > ring.current) return { step: "promote", to: newest };
  const hasOlder = ring.fingerprints.size > 1;
  const below = status.keys.reduce((sum, key) => sum + (key.version < ring.floor ? key.secrets : 0), 0);
  if (hasOlder && below > 0) return { step: "lower_floor" };
  if (status.stale > 0) return { step: "sweep", stale: status.stale };
  if (!hasOlder && ring.floor === ring.current) return { step: "settled" };
  if (!isVerified) return { step: "verify" };
  return ring.floor < ring.current ? { step: "raise_floor" } : { step: "retire" };
}

function isDeployed(ring: RingFacts, { current, floor, keys }: VaultStatus): boolean {
  const held = keys.filter(({ fingerprint }) => fingerprint !== null);
  return (
    current === ring.current &&
    floor === ring.floor &&
    held.length === ring.fingerprints.size &&
    held.every(({ version, fingerprint }) => ring.fingerprints.get(version) === fingerprint)
  );
}

/** The ring after that step; the same ring for steps that leave it alone. */
export function ringAfter(ring: Keyring, { step }: RotationStep): Keyring {
  switch (step) {
    case "promote":
      return { ...ring, current: Math.max(...ring.keys.keys()) };
    case "raise_floor":
      return { ...ring, floor: ring.current };
    case "lower_floor":
      return { ...ring, floor: Math.min(...ring.keys.keys()) };
    case "retire":
      return { ...ring, keys: new Map([...ring.keys].filter(([version]) => version >= ring.floor)) };
    case "deploy":
    case "settled":
    case "sweep":
    case "verify":
      return ring;
  }
}

/** Above every version that the ring has or a row names. */
export function withNewKey(ring: Keyring, status: VaultStatus, key: Uint8Array<ArrayBuffer>): Keyring {
  const version = Math.max(...ring.keys.keys(), ...status.keys.map((known) => known.version)) + 1;
  return { ...ring, keys: new Map([...ring.keys, [version, key]]) };
}
