import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LEDGER_START, type LedgerEntry, ledgerText, toBase64url, verifyLedger } from "./index.ts";

const TENANT = "tnt_abcdefghijklmnopqrstuvwxyz";
const sha256 = async (text: string) =>
  toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));

/** A chain as an honest host makes it; `epochs` begins anew where the journal was lost. */
async function chain(length: number, epoch = 1): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (let number = 1; number <= length; number += 1) {
    const entry = {
      ...{ epoch, number, at: 1_750_000_000_000 + number, type: "tenant.apply" as const, generation: number },
      ...{ jti: String(number).padStart(22, "j"), commandHash: await sha256(`command ${number}`) },
      previous: entries.at(-1)?.hash ?? LEDGER_START,
    };
    entries.push({ ...entry, hash: await sha256(ledgerText(TENANT, entry)) });
  }
  return entries;
}

/** The entry with another content, and the hash that belongs to it: what a host would have to write to hide a change. */
const rehashed = async (entry: LedgerEntry, change: Partial<LedgerEntry>) => {
  const changed = { ...entry, ...change };
  return { ...changed, hash: await sha256(ledgerText(TENANT, changed)) };
};

describe("the ledger of a tenant", () => {
  it("verifies as it was written, also empty, and across a journal that was lost", async () => {
    expect(await verifyLedger(TENANT, await chain(20))).toEqual({ ok: true });
    expect(await verifyLedger(TENANT, [])).toEqual({ ok: true });
    expect(await verifyLedger(TENANT, [...(await chain(4, 1)), ...(await chain(3, 2))])).toEqual({ ok: true });
  });

  it("shows every change of every member of every entry", async () => {
    const entries = await chain(6);
    const changes: Partial<LedgerEntry>[] = [
      ...[{ epoch: 9 }, { number: 99 }, { at: 1 }, { type: "tenant.purge" as const }, { generation: 99 }],
      ...[
        { jti: "x".repeat(22) },
        { commandHash: "x".repeat(43) },
        { previous: "x".repeat(43) },
        { hash: "x".repeat(43) },
      ],
    ];
    for (const [index, entry] of entries.entries()) {
      for (const change of changes) {
        const verdict = await verifyLedger(TENANT, entries.with(index, { ...entry, ...change }));
        expect(verdict, `${index} ${JSON.stringify(change)}`).toMatchObject({ ok: false, reason: "changed" });
      }
    }
  });

  it("shows a change whose hash was made to fit, by the entry after it", async () => {
    const entries = await chain(6);
    for (let index = 0; index < 5; index += 1) {
      const entry = await rehashed(entries[index] as LedgerEntry, { commandHash: "x".repeat(43) });
      expect(await verifyLedger(TENANT, entries.with(index, entry))).toEqual({
        ...{ ok: false, reason: "broken", number: index + 2 },
      });
    }
  });

  it("shows what was taken out, put in twice or moved, wherever it was", async () => {
    const entries = await chain(8);
    await fc.assert(
      fc.asyncProperty(fc.nat(7), fc.nat(7), fc.constantFrom("drop", "repeat", "swap"), async (a, b, how) => {
        const [one, other] = [entries[a], entries[b]] as [LedgerEntry, LedgerEntry];
        if (how === "drop" && a === 7) return;
        if (how === "swap" && a === b) return;
        const changed = {
          drop: entries.toSpliced(a, 1),
          repeat: entries.toSpliced(a, 0, one),
          swap: entries.with(a, other).with(b, one),
        }[how];
        expect((await verifyLedger(TENANT, changed)).ok).toBe(false);
      }),
    );
  });

  it("cannot begin in its middle, nor leave out a number, though every hash fits", async () => {
    const [first, second] = (await chain(2)) as [LedgerEntry, LedgerEntry];
    const headless = await rehashed(first, { previous: "x".repeat(43) });
    expect(await verifyLedger(TENANT, [headless])).toEqual({ ok: false, reason: "broken", number: 1 });
    const skipping = await rehashed(second, { number: 3 });
    expect(await verifyLedger(TENANT, [first, skipping])).toEqual({ ok: false, reason: "broken", number: 3 });
  });

  it("is of one tenant: another's chain does not verify under its name", async () => {
    expect(await verifyLedger(TENANT.replace("a", "b"), await chain(1))).toMatchObject({ reason: "changed" });
  });

  it("cannot begin anew in the same epoch, as if nothing had been before", async () => {
    const [first] = await chain(1);
    expect(await verifyLedger(TENANT, [...(await chain(3)), first as LedgerEntry])).toMatchObject({ reason: "broken" });
  });
});
