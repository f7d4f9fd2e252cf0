import { and, eq } from "drizzle-orm";
import { hosts } from "../../schema/db/index.ts";
import {
  type ControlPlane,
  envelopeHash,
  type HeldKeyset,
  type HostApply,
  heldKeyset,
} from "../../schema/protocol/index.ts";
import { type CommandKeys, publicKeysetOf } from "../command-keys.ts";
import { atomically, changedOne, type Database, insist, isGuardFailure } from "../db.ts";
import { announce, type HostRow } from "./store.ts";

/** What a host is to hold about itself. Whatever changes here reaches every host by itself. */
export type HostWord = Omit<HostApply, "type" | "generation">;

export const hostWord = ({
  commandKeys,
  controlPlane,
}: {
  commandKeys: CommandKeys;
  controlPlane?: ControlPlane;
}): HostWord => ({
  keyset: publicKeysetOf(commandKeys),
  ...(controlPlane ? { controlPlane } : {}),
});

export const heldBy = (host: Pick<HostRow, "keyset">): HeldKeyset | null =>
  host.keyset === null ? null : (heldKeyset.safeParse(JSON.parse(host.keyset)).data ?? null);

/** A newer edge has spoken to this host already: one that is about to be replaced must not talk it back. */
export const knowsNewer = (host: HostRow, word: HostWord): boolean =>
  (heldBy(host)?.version ?? 0) > word.keyset.version;

/**
 * Puts the newest word about a host into the outbox where it differs from the last one. Gives the host's row as it is
 * then; null when somebody else was faster.
 */
export async function refreshHost(
  { db, nowMs, word }: { db: Database; nowMs: number; word: HostWord },
  host: HostRow,
): Promise<HostRow | null> {
  const desiredHash = await envelopeHash(JSON.stringify(word));
  if (knowsNewer(host, word) || host.desiredHash === desiredHash) return host;
  return raiseHostGeneration({ db, nowMs }, host, { generation: host.generation + 1, desiredHash });
}

export async function raiseHostGeneration(
  { db, nowMs }: { db: Database; nowMs: number },
  host: HostRow,
  next: { generation: number; desiredHash: string | null },
): Promise<HostRow | null> {
  const { id, generation, epoch } = host;
  try {
    await atomically(db, [
      db
        .update(hosts)
        .set(next)
        .where(and(eq(hosts.id, id), eq(hosts.generation, generation), eq(hosts.epoch, epoch))),
      insist(db, changedOne),
      announce(db, { hostId: id, tenantId: null, generation: next.generation }, nowMs),
    ]);
  } catch (error) {
    if (!isGuardFailure(error)) throw error;
    return null;
  }
  return { ...host, ...next };
}
