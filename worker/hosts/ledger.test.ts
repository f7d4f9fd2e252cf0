import { beforeAll, describe, expect, it } from "vitest";
import { ledger } from "../../schema/db/index.ts";
import { LEDGER_START, type LedgerEntry, ledgerText, newId, toBase64url } from "../../schema/protocol/index.ts";
import { Client } from "../testing/edge.ts";
import { type Settled, startSettled } from "../testing/settled.ts";

let { edge, host, owner } = {} as Settled;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

async function entryOf(tenantId: string, number: number, previous: string): Promise<LedgerEntry> {
  const entry = {
    ...{ epoch: 1, number, at: 1_750_000_000_000, type: "tenant.apply" as const, generation: number },
    ...{ jti: "j".repeat(22), commandHash: "c".repeat(43), previous },
  };
  const bytes = new TextEncoder().encode(ledgerText(tenantId, entry));
  return { ...entry, hash: toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) };
}
const tell = async (tenantId: string, ...entries: LedgerEntry[]) =>
  host.post(edge, await host.report(...entries.map((entry) => ({ type: "tenant.command" as const, tenantId, entry }))));

describe("what a host has accepted about an agent", () => {
  it("is shown to its owner as a chain that holds, and to nobody else", async () => {
    const { id } = (await owner.create()).body;
    const first = await entryOf(id, 1, LEDGER_START);
    await tell(id, first, await entryOf(id, 2, first.hash));
    const mine = await owner.json<{ commands: object[] }>("GET", `/api/v1/tenants/${id}/commands`);
    expect(mine.body).toMatchObject({ intact: true, brokenAt: null, commands: [{ number: 1 }, { number: 2 }] });
    const somebody = await new Client(edge).signUp();
    expect((await somebody.request("GET", `/api/v1/tenants/${id}/commands`)).status).toBe(404);
  });

  it("is a chain of each host that it lived on: a move breaks none of them, and hides no gap", async () => {
    const { id } = (await owner.create()).body;
    const first = await entryOf(id, 1, LEDGER_START);
    await tell(id, first, await entryOf(id, 2, first.hash));
    // Its hosts count their enrolments for themselves: after a move the epoch may be the same, or a lower one.
    const later = newId("hst").replace(/^hst_./, "hst_z");
    const moved = await entryOf(id, 1, LEDGER_START);
    await edge.db.insert(ledger).values({ tenantId: id, hostId: later, ...moved });
    const read = () => owner.json("GET", `/api/v1/tenants/${id}/commands`);
    expect((await read()).body).toMatchObject({
      intact: true,
      commands: [{ number: 1 }, { number: 2 }, { number: 1 }],
    });
    const gap = await entryOf(id, 3, moved.hash);
    await edge.db.insert(ledger).values({ tenantId: id, hostId: later, ...gap });
    expect((await read()).body).toMatchObject({ intact: false, brokenAt: 3 });
  });

  it("cannot be told otherwise later: the first word stays, and a chain that does not fit is shown as broken", async () => {
    const { id } = (await owner.create()).body;
    const first = await entryOf(id, 1, LEDGER_START);
    await tell(id, first);
    await tell(id, { ...first, generation: 9 }, await entryOf(id, 2, "x".repeat(43)));
    const { body } = await owner.json("GET", `/api/v1/tenants/${id}/commands`);
    expect(body).toMatchObject({ intact: false, brokenAt: 2, commands: [{ generation: 1 }, { number: 2 }] });
  });
});
