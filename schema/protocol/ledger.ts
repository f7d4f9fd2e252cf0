import { z } from "zod";
import { toBase64url } from "./base64url.ts";
import { generation, type tenantId } from "./commands.ts";

/**
 * What a host has accepted about one tenant: an append-only chain. Each entry's hash covers the one before it, so that
 * nothing can be taken out or changed later without every later entry showing it.
 */
const digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

export const ledgerEntry = z.strictObject({
  /** Of the host's enrolment at that time. */
  epoch: z.int().min(1),
  /** From 1, without gaps. */
  number: z.int().min(1),
  /** Milliseconds since the epoch, by the host's clock. */
  at: z.int().min(0).max(8_640_000_000_000_000),
  type: z.enum(["tenant.apply", "tenant.purge", "tenant.halt"]),
  generation,
  jti: z.string().regex(/^[A-Za-z0-9_-]{22}$/),
  /** SHA-256 of the command as it was received: whoever keeps the command can show that this is it. */
  commandHash: digest,
  /** The hash of the entry before; {@link LEDGER_START} for the first. */
  previous: digest,
  hash: digest,
});
export type LedgerEntry = z.infer<typeof ledgerEntry>;

export const LEDGER_START = "A".repeat(43);

/** What is hashed: a list, so that no two entries can be spelled alike. */
export function ledgerText(tenant: z.infer<typeof tenantId>, entry: Omit<LedgerEntry, "hash">): string {
  const { epoch, number, at, type, generation, jti, commandHash, previous } = entry;
  return JSON.stringify([
    "chelar-ledger-1",
    tenant,
    ...[epoch, number, at, type, generation, jti, commandHash, previous],
  ]);
}

export type LedgerVerdict =
  | { ok: true }
  /** This entry is not what its hash says. */
  | { ok: false; reason: "changed"; number: number }
  /** Between the one before and this one something is missing, was put in, or changed places. */
  | { ok: false; reason: "broken"; number: number };

/** Checks a chain in the order of its numbers. A later epoch may begin anew: a lost journal is not hidden by it. */
export async function verifyLedger(tenant: string, entries: readonly LedgerEntry[]): Promise<LedgerVerdict> {
  let before: LedgerEntry | null = null;
  for (const entry of entries) {
    const { number, previous } = entry;
    const bytes = new TextEncoder().encode(ledgerText(tenant, entry));
    const hash = toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
    if (hash !== entry.hash) return { ok: false, reason: "changed", number };
    const isStart = number === 1 && previous === LEDGER_START && (before === null || entry.epoch > before.epoch);
    const isNext = before !== null && number === before.number + 1 && previous === before.hash;
    if (!isStart && !isNext) return { ok: false, reason: "broken", number };
    before = entry;
  }
  return { ok: true };
}
