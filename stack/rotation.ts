import { z } from "zod";

/** What the edge says of its command keys and of who believes which. */
export const keyStatus = z.object({
  version: z.number(),
  current: z.string(),
  next: z.string().nullable(),
  hosts: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      keyset: z.object({ version: z.number(), kids: z.array(z.string()) }).nullable(),
      lastReportAt: z.string().nullable(),
    }),
  ),
});
export type KeyStatus = z.infer<typeof keyStatus>;

/** A rotation that has begun: the new key, and the version of the keyset that brings it. */
export interface Rotation {
  version: number;
  kid: string;
}

export type RotationStep =
  /** The edge has not got the new key yet. */
  | { step: "add" }
  /** These hosts do not know it yet. Until they do, the edge speaks to them with the old one. */
  | { step: "distribute"; missing: string[] }
  /** Every host knows it: the edge may forget the old one. */
  | { step: "retire" }
  /** These hosts still believe the old one. */
  | { step: "forget"; missing: string[] }
  | { step: "done" };

/**
 * Where a rotation stands, from what the edge says alone: whoever runs it may be ended at any point and begin again.
 * `force`: hosts that do not know the new key are left behind; they must be enrolled again.
 */
export function nextStep(rotation: Rotation, status: KeyStatus, force: boolean): RotationStep {
  const { kid, version } = rotation;
  if (status.current === kid) {
    const missing = status.hosts.filter(({ keyset }) => (keyset?.version ?? 0) <= version).map(({ name }) => name);
    return missing.length === 0 || force ? { step: "done" } : { step: "forget", missing };
  }
  if (status.next !== kid) return { step: "add" };
  const missing = status.hosts.filter(({ keyset }) => !keyset?.kids.includes(kid)).map(({ name }) => name);
  return missing.length === 0 || force ? { step: "retire" } : { step: "distribute", missing };
}

/** Above everything that any host has seen: an edge that was restored may stand below its own hosts. */
export const nextVersion = ({ version, hosts }: KeyStatus): number =>
  Math.max(version, ...hosts.map(({ keyset }) => keyset?.version ?? 0)) + 1;
