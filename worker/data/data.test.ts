import { eq } from "drizzle-orm";
import { compactVerify, createLocalJWKSet, decodeJwt, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { deletionReceipts, secrets, slugLocks, tenantEvents, tenants } from "../../schema/db/index.ts";
import { generateSigningKey } from "../../schema/protocol/index.ts";
import { Client } from "../testing/edge.ts";
import { lastWords, proveGone, testimony } from "../testing/leaving.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { decideMove, storageWarning } from "./rules.ts";

let { edge, host, owner } = {} as Settled;
beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
});

/** Its host's last words about an agent; `lie`: what of the signed one is not so. */
const wordsOn = (tenantId: string) => lastWords(host, { tenantId, generation: 2 });
const proofOf = (tenantId: string, lie = {}) => testimony(host, { tenantId, generation: 2 }, lie);
const stored = (tenantId: string) =>
  edge.db.select().from(deletionReceipts).where(eq(deletionReceipts.tenantId, tenantId));

describe("the receipt of a deletion", () => {
  it("is verified by a stock JOSE tool with the published keys, the host's words inside it too", async () => {
    const { id, name } = (await owner.create()).body;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await host.post(edge, await host.report(...(await wordsOn(id))));

    const { body } = await owner.json<{ receipts: { tenantId: string; url: string }[] }>("GET", "/api/v1/receipts");
    const url = body.receipts.find((one) => one.tenantId === id)?.url ?? "";
    const receipt = await (await edge.send(url)).text();
    const jwks = (await (await edge.send("/.well-known/chelar-receipt-keys.json")).json()) as JSONWebKeySet;
    const { payload, protectedHeader } = await compactVerify(receipt, createLocalJWKSet(jwks));
    expect(protectedHeader).toMatchObject({ alg: "EdDSA", typ: "chelar-receipt+jwt" });
    const words = JSON.parse(new TextDecoder().decode(payload));
    expect(words).toMatchObject({ sub: id, name });
    expect(words.remains.length).toBeGreaterThan(0);
    const inner = await compactVerify(words.host, createLocalJWKSet(jwks));
    expect(inner.protectedHeader.typ).toBe("chelar-deletion+jwt");
    expect(decodeJwt(words.host)).toMatchObject({ iss: host.enrolment.hostId, sub: id });

    const [head, body64, signature = ""] = receipt.split(".");
    const forged = [head, body64, `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`].join(".");
    await expect(compactVerify(forged, createLocalJWKSet(jwks))).rejects.toThrow();
    expect(await edge.db.select().from(secrets).where(eq(secrets.tenantId, id))).toEqual([]);
  });

  it("is not made of words by another key, host or agent, nor of an agent that is still wanted", async () => {
    const { id } = (await owner.create()).body;
    const other = (await owner.create()).body.id;
    await host.post(edge, await host.report(await proofOf(id)));
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    const lies = [{ key: await generateSigningKey() }, { iss: `hst_${"a".repeat(26)}` }, { sub: other }];
    for (const lie of lies) await host.post(edge, await host.report(await proofOf(id, lie)));
    expect(await stored(id)).toEqual([]);
    await host.post(edge, await host.report(await proofOf(id)));
    expect(await stored(id)).toHaveLength(1);
  });

  it("is the first one, however often its host says it", async () => {
    const { id } = (await owner.create()).body;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await host.post(edge, await host.report(await proofOf(id)));
    const first = await stored(id);
    await host.post(edge, await host.report(...(await wordsOn(id))));
    expect(await stored(id)).toEqual(first);
  });

  it("is nobody else's to list", async () => {
    const other = await new Client(edge).signUp();
    expect((await other.json<{ receipts: object[] }>("GET", "/api/v1/receipts")).body.receipts).toEqual([]);
    expect((await edge.send("/api/v1/receipts")).status).toBe(401);
    expect((await edge.send("/receipts/nothing")).status).toBe(404);
  });
});

describe("the name of a deleted agent", () => {
  it("is nobody else's for ninety days, however briefly it lived; its former owner's at once", async () => {
    const { id, name } = (await owner.create()).body;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await proveGone(edge, host, id);
    const anotherMay = async (afterMs: number) => {
      edge.world.forward(afterMs);
      const { status, body } = await (await new Client(edge).signUp()).create(name);
      edge.world.forward(-afterMs);
      return status === 201 || body.code;
    };
    const keptMs = 90 * 24 * 3_600_000;
    expect(await anotherMay(0)).toBe("name_taken");
    expect(await anotherMay(keptMs - 60_000)).toBe("name_taken");
    const again = (await owner.create(name)).body.id;
    await owner.request("DELETE", `/api/v1/tenants/${again}`);
    await proveGone(edge, host, again);
    expect(await anotherMay(keptMs + 60_000)).toBe(true);
  });
});

describe("what a receipt promises to forget", () => {
  it("is forgotten in its time: the steps soon, name and line after 90 days", async () => {
    const { id, name } = (await owner.create()).body;
    await owner.request("DELETE", `/api/v1/tenants/${id}`);
    await host.post(edge, await host.report(...(await wordsOn(id))));
    const count = async () => [
      (await edge.db.select().from(tenantEvents).where(eq(tenantEvents.tenantId, id))).length > 0,
      (await edge.db.select().from(tenants).where(eq(tenants.id, id))).length,
      (await edge.db.select().from(slugLocks).where(eq(slugLocks.slug, name))).length,
    ];
    await edge.tick();
    expect(await count()).toEqual([true, 1, 1]);
    edge.world.forward(11 * 60_000);
    await edge.tick();
    expect(await count()).toEqual([false, 1, 1]);
    edge.world.forward(90 * 24 * 3_600_000);
    await edge.tick();
    expect(await count()).toEqual([false, 0, 0]);
    expect(await stored(id)).toHaveLength(1);
  });
});

it("the clock goes on in all other rooms when one breaks, and says so", async () => {
  await edge.db.insert(slugLocks).values({ slug: "long-over", ownerId: "nobody", until: 1 });
  await edge.db.run("alter table tickets rename to tickets_away");
  try {
    await expect(edge.tick()).rejects.toThrow(/tickets/);
  } finally {
    await edge.db.run("alter table tickets_away rename to tickets");
  }
  expect(await edge.db.select().from(slugLocks).where(eq(slugLocks.slug, "long-over"))).toEqual([]);
});

describe("the owner's warning", () => {
  it.each([
    [0, null],
    [79.9, null],
    [80, "nearly_full"],
    [95, "almost_full"],
    [100, "full"],
  ])("at %d %% of the quota is %s", (percent, warning) => {
    expect(storageWarning({ usedBytes: percent * 1_000, limitBytes: 100_000 })).toBe(warning);
  });
});

describe("a move", () => {
  const stopped = {
    ...{ desired: "stopped", observed: "stopped", isUpToDate: true, isHostLost: false, hasCopy: true },
    copies: { asked: 2, made: 2 },
  };
  it.each([
    ["its agent has stopped and was copied since", stopped, "switch"],
    ["it still runs", { ...stopped, observed: "running" }, "wait"],
    ["it was started since", { ...stopped, desired: "running", isHostLost: true }, "forget"],
    ["what was said of it is older than the wish", { ...stopped, isUpToDate: false }, "wait"],
    ["the copy is older than its last words", { ...stopped, copies: { asked: 2, made: 1 } }, "wait"],
    ["its server is lost", { ...stopped, observed: "running", isHostLost: true }, "switch_lost"],
    ["its server is lost after all was copied", { ...stopped, isHostLost: true }, "switch"],
    ["its server is lost and there never was a copy", { ...stopped, isHostLost: true, hasCopy: false }, "wait"],
  ] as const)("goes on only when that loses nothing: %s", (_, now, step) => {
    expect(decideMove(now)).toBe(step);
  });
});
