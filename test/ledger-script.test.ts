import fc from "fast-check";
import { expect, it } from "vitest";
import { LEDGER_START, type LedgerEntry, ledgerText, toBase64url, verifyLedger } from "../schema/protocol/index.ts";
import { LEDGER_SCRIPT } from "../worker/pages/ledger-script.ts";

const TENANT = `tnt_${"a".repeat(26)}`;
/** The very text that browsers are sent. */
const { holds } = (await import(`data:text/javascript,${encodeURIComponent(LEDGER_SCRIPT)}`)) as {
  holds: (agent: string, entries: readonly LedgerEntry[]) => Promise<boolean>;
};

async function chain(length: number): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (let number = 1; number <= length; number++) {
    const entry = {
      ...{ epoch: 1, number, at: 1_760_000_000_000 + number, type: "tenant.apply" as const, generation: number },
      ...{ jti: "j".repeat(22), commandHash: "c".repeat(43), previous: entries.at(-1)?.hash ?? LEDGER_START },
    };
    entries.push(await hashed(entry));
  }
  return entries;
}

async function hashed(entry: Omit<LedgerEntry, "hash">): Promise<LedgerEntry> {
  const bytes = new TextEncoder().encode(ledgerText(TENANT, entry));
  return { ...entry, hash: toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) };
}

type Tamper = (entries: LedgerEntry[], at: number) => LedgerEntry[] | Promise<LedgerEntry[]>;
const swap: Tamper = (entries, at) => entries.with(at, entries.at(at - 1) as LedgerEntry);
const change =
  (part: Partial<LedgerEntry>): Tamper =>
  (entries, at) =>
    entries.map((entry, index) => (index === at ? { ...entry, ...part } : entry));
const TAMPERS: Tamper[] = [
  (entries) => entries,
  (entries, at) => entries.toSpliced(at, 1),
  swap,
  change({ generation: 999 }),
  change({ at: 1 }),
  change({ type: "tenant.purge" }),
  change({ commandHash: "d".repeat(43) }),
  change({ previous: "e".repeat(43) }),
  change({ hash: "f".repeat(43) }),
  // Whoever rewrites a line writes its hash anew: only the line after it shows that.
  async (entries, at) => entries.with(at, await hashed({ ...(entries[at] as LedgerEntry), generation: 999 })),
];

it("a browser finds a ledger unbroken exactly when the protocol does", async () => {
  const whole = await chain(6);
  expect(await holds(TENANT, whole)).toBe(true);
  expect(await holds(`tnt_${"b".repeat(26)}`, whole)).toBe(false);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...TAMPERS), fc.nat(5), async (tamper, at) => {
      const entries = await tamper(whole, at);
      expect(await holds(TENANT, entries)).toBe((await verifyLedger(TENANT, entries)).ok);
    }),
    { numRuns: 200 },
  );
});
